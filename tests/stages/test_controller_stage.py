"""The search as users start it: what C sees, when it ends, how it goes on from another run."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import newest, small

import world_models
from world_models.agents import rollout
from world_models.data.store import EpisodeStore
from world_models.envs.pellet import PelletEnv
from world_models.main import main
from world_models.measures.search_rows import PublishedRow
from world_models.report.headline import headline
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv
from world_models.runs.seeding import Purpose, fixed_seeds, fresh_seeds
from world_models.search import search as search_module
from world_models.search import tracks as tracks_module
from world_models.search.imitation import explained, imitate
from world_models.search.observed import observe
from world_models.search.reference import published
from world_models.stages.controller import opening


def search(finished: Path, outputs: Path, *keys: str) -> Path:
    """A small search on the finished pipeline's M."""
    assert (
        main(small("controller", f"upstream={finished / 'mdrnn'}", f"outputs={outputs}", *keys))
        == 0
    )
    return newest(outputs)


@pytest.mark.parametrize(
    ("keys", "parameters"),
    [
        (["stage.features=z"], (4 + 1) * 5),
        (["stage.features=zch", "stage.latent=sample"], (4 + 24 + 1) * 5),
        (["stage.hidden_units=5"], (4 + 12 + 1) * 5 + (5 + 1) * 5),
    ],
)
def test_the_agent_remembers_how_it_sees(
    finished: Path, tmp_path: Path, keys: list[str], parameters: int
) -> None:
    run = search(finished, tmp_path, *keys)
    agent = world_models.load(run / "agent.pt").agent
    assert agent.controllers["best"].shape == (parameters,)
    wanted = {"features": "zh", "hidden_units": 0, "latent": "mean"}
    given = dict(key.removeprefix("stage.").split("=") for key in keys)
    assert {
        name: str(value) for name, value in agent.world.controller_inputs.to_dict().items()
    } == {name: str(given.get(name, value)) for name, value in wanted.items()}
    assert main(small("evaluate", f"upstream={run}", f"outputs={tmp_path}")) == 0


def test_the_better_of_mean_and_best_candidate_is_the_agent(finished: Path, tmp_path: Path) -> None:
    run = search(finished, tmp_path, "stage.test_interval=1", "stage.selection_episodes=40")
    table = read_csv(run / "selection.csv")
    scores = [max(float(row["mean"]), float(row["candidate"])) for row in table]
    assert [float(row["best"]) for row in table] == np.maximum.accumulate(scores).tolist()
    assert any(float(row["mean"]) != float(row["candidate"]) for row in table)
    told = headline(run)
    assert told is not None and told.value == max(scores)
    agent = world_models.load(run / "agent.pt").agent
    at_mean = float(table[-1]["mean"]) == max(scores)
    assert np.array_equal(agent.controllers["best"], agent.controllers["mean"]) <= at_mean


def test_environment_steps_are_a_budget(finished: Path, tmp_path: Path) -> None:
    keys = ["stage.generations=null", "stage.env_steps=400", "stage.time_limit=10"]
    steps = [
        int(row["env_steps"]) for row in read_csv(search(finished, tmp_path, *keys) / "metrics.csv")
    ]
    assert steps[-2] < 400 <= steps[-1]


def test_episodes_per_candidate_grow_where_ranks_are_noise(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "rank_reliability", lambda returns: 0.0)
    run = search(
        finished, tmp_path, "stage.generations=11", "stage.most_samples=4", "stage.time_limit=3"
    )
    table = read_csv(run / "metrics.csv")
    assert [int(row["n_samples"]) for row in table] == [2] * 5 + [3] * 5 + [4]
    assert int(table[-1]["episodes"]) == 6 * (2 * 5 + 3 * 5 + 4)


@pytest.mark.slow
def test_a_search_goes_on_from_another_run(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = search(finished, tmp_path)
    later = search(
        finished, tmp_path, f"stage.start_from={first}", "stage.n_samples=3", "stage.generations=1"
    )
    states = [torch.load(run / "checkpoints/last.pt") for run in (first, later)]
    assert states[1]["segments"][0] == states[0]["segments"][0] and len(states[1]["segments"]) == 2
    assert {item["kind"] for item in read_json(later / "manifest.json")["inputs"]} == {
        "vae",
        "mdrnn",
        "start_from",
    }
    assert main([f"resume={later}", "stage.generations=2"]) == 0
    whole = search(
        finished, tmp_path, f"stage.start_from={first}", "stage.n_samples=3", "stage.generations=2"
    )
    assert torch.equal(*(torch.load(run / "checkpoints/last.pt")["mean"] for run in (later, whole)))
    assert "another V or M" not in caplog.text


@pytest.mark.slow
def test_a_search_that_goes_on_needs_the_other_no_more_once_it_has_begun(
    finished: Path, tmp_path: Path
) -> None:
    first = search(finished, tmp_path)
    keys = [f"stage.start_from={first}", "stage.generations=1"]
    later, gone, whole = (search(finished, tmp_path, *keys) for _ in range(3))
    assert main([f"resume={whole}", "stage.generations=2"]) == 0
    assert main([f"resume={first}", "stage.generations=3"]) == 0
    assert main([f"resume={later}", "stage.generations=2"]) == 0
    shutil.rmtree(first)
    assert main([f"resume={gone}", "stage.generations=2"]) == 0
    means = [torch.load(run / "checkpoints/last.pt")["mean"] for run in (later, gone, whole)]
    assert torch.equal(means[0], means[2]) and torch.equal(means[1], means[2])


def test_a_search_begins_at_what_was_done_in_the_episodes(finished: Path, tmp_path: Path) -> None:
    run = search(
        finished, tmp_path, "stage.imitate=true", "stage.generations=1", "stage.sigma0=1e-9"
    )
    state = torch.load(run / "checkpoints/last.pt")
    world = world_models.load(finished / "controller/agent.pt").agent.world
    observed = observe(world, EpisodeStore.open(finished / "rollout/episodes"))
    inputs, space = observed.features, world.env.action_space
    np.testing.assert_allclose(state["start"], imitate(inputs, observed.actions, space), atol=1e-6)
    np.testing.assert_allclose(state["mean"], state["start"], atol=1e-6)
    agent = world_models.load(run / "agent.pt").agent.controllers["mean"]
    weight = agent[:-5].reshape(5, -1)
    expected = explained(state["start"].numpy(), inputs, observed.actions, space)
    np.testing.assert_allclose(
        explained(agent, observed.features, observed.actions, space), expected, atol=1e-4
    )
    assert weight.shape[1] == 16 and (expected > 0).all()
    assert {item["kind"] for item in read_json(run / "manifest.json")["inputs"]} == {
        "vae",
        "mdrnn",
        "episodes",
    }


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ([], {"weight_decay": 0.0, "diagonal": False, "sigma0": 1.0, "pop_size": 6}),
        (
            ["stage.weight_decay=0.5", "stage.diagonal=true"],
            {"weight_decay": 0.5, "diagonal": True},
        ),
        (["stage.sigma0=0.3", "stage.pop_size=4"], {"sigma0": 0.3, "pop_size": 4}),
    ],
    ids=str,
)
def test_keys_of_cma_reach_it(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keys: list[str],
    wanted: dict[str, Any],
) -> None:
    given: dict[str, Any] = {}
    real = opening.Evolution

    def noting(start: np.ndarray, **options: Any) -> Any:
        given.update(options)
        return real(start, **options)

    monkeypatch.setattr(opening, "Evolution", noting)
    search(finished, tmp_path, *keys, "stage.generations=1")
    assert given | wanted == given


def test_hopeless_episodes_are_cut_in_the_search_and_nowhere_else(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts: dict[int, set[int]] = {}
    real = rollout.interact

    def noting(
        envs: Any, policy: Any, seeds: Any, *, max_steps: Any = None, early_cut: int = 0
    ) -> Any:
        if max_steps != 1:  # not when workers warm up
            for seed in seeds:
                cuts.setdefault(early_cut, set()).add(seed)
        return real(envs, policy, seeds, max_steps=max_steps, early_cut=early_cut)

    monkeypatch.setattr(rollout, "interact", noting)
    keys = [
        "stage.early_cut=7",
        "stage.generations=1",
        "stage.selection_episodes=2",
    ]
    run = search(finished, tmp_path, *keys)
    tracks = fresh_seeds(Purpose.search, 2, 0, "generation", 0)
    assert cuts == {7: set(tracks), 0: set(fixed_seeds(Purpose.selection, 2))}
    cuts.clear()
    assert (
        main(
            [
                "stage=evaluate",
                "env=pellet",
                f"upstream={run}",
                "stage.workers=0",
                "stage.episodes=3",
            ]
        )
        == 0
    )
    assert set(cuts) == {0}


def test_the_best_tested_controller_is_the_agent(finished: Path, tmp_path: Path) -> None:
    keys = ["stage.test_interval=1", "stage.selection_episodes=2", "stage.generations=3"]
    run = search(finished, tmp_path, *keys)
    rows = read_csv(run / "selection.csv")
    best = max(float(row[name]) for row in rows for name in ("mean", "candidate"))
    state = torch.load(run / "checkpoints/last.pt")["best"]
    told = headline(run)
    assert told is not None and told.value == state["score"] == pytest.approx(best)
    controllers = world_models.load(run / "agent.pt").agent.controllers
    assert np.array_equal(controllers["best"], state["vector"].numpy().astype(np.float32))


def test_a_search_on_car_racing_is_set_beside_the_published_one() -> None:
    rows = published("CarRacing-v3")
    assert rows[0] == PublishedRow(episodes=25 * 64 * 16, hours=15.1, mean_vector=822.9)
    assert rows[-1].episodes == 1800 * 64 * 16 and rows[-1].mean_vector == 900.5
    assert published("WorldModels/Pellet-v0") == []


def test_a_run_of_a_version_with_more_keys_goes_on_where_they_did_nothing(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An earlier version had `components`, `heats` and `finalists`, and kept what it needs."""
    run = search(finished, tmp_path, "stage.generations=1")
    path = run / "checkpoints/last.pt"
    state = torch.load(path)
    state["search"]["components"] = state["components"] = None
    best = {**state.pop("best"), "tracks": 2, "overall": float("nan")}
    torch.save({**state, "finalists": [best], "decided": -1}, path)
    config = run / "config.yaml"
    more = "  components: null\n  heats: 1\n  finalists: 1\n  imitate:"
    config.write_text(config.read_text().replace("  imitate:", more))
    assert main([f"resume={run}", "stage.generations=2"]) == 0
    whole = search(finished, tmp_path, "stage.generations=2")
    ends = [torch.load(each / "checkpoints/last.pt") for each in (run, whole)]
    assert torch.equal(*(end["mean"] for end in ends))
    # of equals the earlier is kept
    kept = ends[0]["best"]
    assert kept["score"] > best["score"] or torch.equal(kept["vector"], best["vector"])
    config.write_text(config.read_text().replace("components: null", "components: 5"))
    assert main([f"resume={run}", "stage.generations=3"]) == 1
    assert "has stage.components=5, which this version does not have" in capsys.readouterr().err


def test_a_search_along_components_of_an_earlier_version_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = search(finished, tmp_path, "stage.generations=1")
    path = theirs / "checkpoints/last.pt"
    state = torch.load(path)
    state["search"]["components"] = 5
    state["components"] = {"mean": torch.zeros(16), "axes": torch.zeros(16, 5), "outputs": 5}
    torch.save(state, path)
    keys = [f"stage.start_from={theirs}", f"upstream={finished / 'mdrnn'}"]
    assert main(small("controller", *keys, f"outputs={tmp_path / 'o'}")) == 1
    assert "was written by an earlier version" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_that_goes_on_with_another_m_is_told_so(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert (
        main(
            small(
                "mdrnn",
                f"upstream={finished / 'vae'}",
                f"outputs={tmp_path}",
                "stage.learning_rate=0.01",
            )
        )
        == 0
    )
    keys = [
        f"stage.start_from={finished / 'controller'}",
        f"upstream={newest(tmp_path)}",
        f"outputs={tmp_path}",
    ]
    assert main(small("controller", *keys, "stage.generations=1")) == 0
    assert "searched with another V or M: its parameters may mean little here" in caplog.text


@pytest.mark.parametrize(
    "keys",
    [
        ["stage.pop_size=8"],
        ["stage.features=z"],
        ["stage.diagonal=true"],
        ["stage.imitate=true"],
    ],
    ids=str,
)
def test_a_search_that_cannot_go_on_here_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: list[str]
) -> None:
    arguments = [
        "stage.start_from=" + str(finished / "controller"),
        f"upstream={finished / 'mdrnn'}",
    ]
    assert main(small("controller", *arguments, *keys, f"outputs={tmp_path / 'o'}")) == 1
    theirs = "searched with pop_size=6, sigma0=1.0, diagonal=False, imitate=False, features=zh"
    assert theirs in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_search_with_other_sizes_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            small(
                "mdrnn",
                f"upstream={finished / 'vae'}",
                f"outputs={tmp_path}",
                "stage.hidden_size=9",
            )
        )
        == 0
    )
    keys = [f"stage.start_from={finished}", f"upstream={newest(tmp_path)}", f"outputs={tmp_path}"]
    assert main(small("controller", *keys)) == 1
    assert "has a C of 85 parameters; here it has 70" in capsys.readouterr().err


@pytest.mark.slow
def test_what_c_sees_and_who_plays_change_no_number(finished: Path, tmp_path: Path) -> None:
    keys = [
        "stage.features=zch",
        "stage.latent=sample",
        "stage.hidden_units=5",
        "stage.generations=1",
    ]
    here = search(finished, tmp_path / "here", *keys)
    spread = search(finished, tmp_path / "spread", *keys, "stage.max_workers=3")
    assert (here / "metrics.csv").read_bytes() == (spread / "metrics.csv").read_bytes()


def test_a_search_of_an_earlier_version_is_refused(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pipeline / "controller/checkpoints/last.pt"
    state: dict[str, Any] = torch.load(path)
    del state["start"]
    torch.save(state, path)
    assert main([f"resume={pipeline / 'controller'}", "stage.generations=9"]) == 1
    assert "was written by an earlier version" in capsys.readouterr().err
    arguments = small("controller", f"stage.start_from={pipeline}", f"outputs={pipeline.parent}")
    assert main(arguments) == 1
    assert "was written by an earlier version" in capsys.readouterr().err


def close(tracks: Sequence[int], patch: pytest.MonkeyPatch, times: int = 10**9) -> None:
    """On these tracks every episode raises, so many times."""
    reset, left = PelletEnv.reset, iter(range(times))

    def broken(self: PelletEnv, *, seed: int | None = None, **options: Any) -> Any:
        if seed in tracks and next(left, None) is not None:
            raise OSError("no such track")
        return reset(self, seed=seed, **options)

    patch.setattr(PelletEnv, "reset", broken)


@pytest.mark.parametrize("samples", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_track_that_nobody_can_play_gives_way_to_another(
    samples: int,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = fresh_seeds(Purpose.search, samples, 0, "generation", 1)[-1]
    close([bad], monkeypatch)
    run = search(finished, tmp_path, f"stage.n_samples={samples}")
    lost = read_csv(run / "quarantine.csv")
    assert [(row["generation"], row["player"], row["seed"]) for row in lost] == [
        ("2", f"{n}", f"{bad}") for n in range(6)
    ]
    assert all(row["cause"].endswith("OSError: no such track") for row in lost)
    other = fresh_seeds(Purpose.search, 1, 0, "generation", 1, "instead")[0]
    assert f"no candidate could play track {bad}; they play {other} instead" in caplog.text
    assert len(read_csv(run / "metrics.csv")) == 3

    def offered(*arguments: Any) -> list[int]:
        return [other if seed == bad else seed for seed in fresh_seeds(*arguments)]

    monkeypatch.setattr(tracks_module, "fresh_seeds", offered)
    open_again = search(finished, tmp_path / "open", f"stage.n_samples={samples}")
    assert (open_again / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()


def test_a_search_goes_on_without_an_episode_that_cannot_be_played(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = fresh_seeds(Purpose.search, 3, 0, "generation", 1)[1]
    close([bad], monkeypatch, times=9)  # three times in each of two blocks and three times alone
    run = search(finished, tmp_path, "stage.n_samples=3")
    assert [
        (row["generation"], row["player"], row["seed"]) for row in read_csv(run / "quarantine.csv")
    ] == [("2", "0", f"{bad}")]
    assert len(read_csv(run / "metrics.csv")) == 3


def test_a_selection_track_that_cannot_be_played_is_left_out(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(fixed_seeds(Purpose.selection, 4)[2:3], monkeypatch)
    run = search(finished, tmp_path)
    assert [(row["generation"], row["player"]) for row in read_csv(run / "quarantine.csv")] == [
        (generation, player) for generation in "23" for player in ("mean vector", "best candidate")
    ]
    assert [row["generation"] for row in read_csv(run / "selection.csv")] == ["2", "3"]


def test_an_environment_that_nobody_can_play_ends_the_run_at_once(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reset = PelletEnv.reset

    def broken(self: PelletEnv, *, seed: int | None = None, **options: Any) -> Any:
        if seed is not None:
            raise OSError("the road is closed")
        return reset(self, **options)

    monkeypatch.setattr(PelletEnv, "reset", broken)
    assert main(small("controller", f"upstream={finished / 'mdrnn'}", f"outputs={tmp_path}")) == 1
    told = capsys.readouterr().err
    assert re.search("the environment cannot be played: .*OSError: the road is closed", told)


@pytest.mark.slow
def test_a_generation_that_is_half_lost_ends_the_run_with_the_cause(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = fresh_seeds(Purpose.search, 2, 0, "generation", 1)[1]
    other = fresh_seeds(Purpose.search, 1, 0, "generation", 1, "instead")[0]
    with pytest.MonkeyPatch.context() as patch:
        close([bad, other], patch)
        arguments = small("controller", f"upstream={finished / 'mdrnn'}", f"outputs={tmp_path}")
        assert main(arguments) == 1
    told = capsys.readouterr().err
    assert re.search(
        "6 of 12 episodes of generation 2 could not be played: .*OSError: no such track", told
    )
    assert main([f"resume={newest(tmp_path)}"]) == 0, "where the cause is gone, the run goes on"


def test_a_plan_is_made(finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = search(finished, tmp_path, "stage.generations=7")
    assert main([f"resume={run}", "stage.generations=8"]) == 0
    plans = [record.message for record in caplog.records if record.message.startswith("plan: ")]
    for plan, generations in zip(plans, (7, 8), strict=True):
        pace = r"[\d,]+ steps/s, \d+ s per generation and \d+ s of tests"
        assert re.fullmatch(
            rf"plan: {pace}: {generations} generations of 6 x 2 episodes, until about \d\d:\d\d",
            plan,
        )
