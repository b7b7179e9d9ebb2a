"""A pipeline of several iterations: the agent collects, and V, M and the search go on."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import STAGES, misfits, newest, small_pipeline
from equality import assert_equal_runs, fails_at

import world_models
from world_models.agents.trained import find_agent, load_agent
from world_models.chains import reuse
from world_models.config.compose import compose_config
from world_models.data.datasets import to_float
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.measures.vision import HeldOut, PictureErrors, moving_pixels
from world_models.runs.files import read_json, sha256
from world_models.runs.metrics import read_csv
from world_models.runs.past import PastRun, part_folder
from world_models.runs.training import Training
from world_models.search.imitation import imitate
from world_models.search.observed import observe
from world_models.search.search import Search
from world_models.worlds.latent import load_vae

AGAIN = {
    "rollout.episodes": 6,
    "rollout.noise": 0.5,
    "vae.num_epochs": 1,
    "mdrnn.num_epochs": 1,
    "controller.generations": 2,
}
SECOND = ["stage.iterations=2", *(f"stage.again.{key}={value}" for key, value in AGAIN.items())]


def copied(finished: Path, outputs: Path) -> Path:
    target = outputs / Path(*finished.parts[-3:])
    shutil.copytree(finished, target)
    return target


@pytest.fixture(scope="module")
def iterated(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished pipeline with a second iteration; for reading only."""
    run = copied(finished, tmp_path_factory.mktemp("iterated"))
    assert main([f"resume={run}", *SECOND]) == 0
    return run


def inputs(run: Path) -> dict[str, str]:
    return {item["kind"]: item["sha256"] for item in read_json(run / "manifest.json")["inputs"]}


def test_the_second_iteration_goes_on_from_the_first(iterated: Path, finished: Path) -> None:
    folders = [part.folder for part in PastRun(iterated).parts]
    assert folders == [*STAGES, *(f"{stage}_2" for stage in STAGES)]
    best = "checkpoints/best.pt"
    assert inputs(iterated / "rollout_2") == {
        "agent": sha256(iterated / "controller/agent.pt"),
        "extends": sha256(iterated / "rollout/episodes/manifest.json"),
    }
    store = sha256(iterated / "rollout_2/episodes/manifest.json")
    for stage in ("vae", "mdrnn"):
        found = inputs(iterated / f"{stage}_2")
        assert found["start_from"] == sha256(iterated / stage / best)
        assert found["episodes"] == store
    states = [
        torch.load(iterated / folder / "checkpoints/last.pt")
        for folder in ("controller", "controller_2")
    ]
    assert [len(item["history"]) for item in states[1]["segments"]] == [3, 2]
    assert states[1]["segments"][0] == states[0]["segments"][0]
    agent = world_models.load(iterated).agent
    assert {item["sha256"] for item in agent.inputs} >= {sha256(iterated / "vae_2" / best)}
    for stage in STAGES:
        assert_equal_runs(finished / stage, iterated / stage)


@pytest.mark.slow
def test_a_search_that_imitates_asks_its_agent_in_the_new_v_and_m(
    finished: Path, tmp_path: Path
) -> None:
    run = copied(finished, tmp_path)
    keys = ["stage.controller.imitate=true", "stage.evaluate.episodes=1", "reuse=true"]
    assert main([*small_pipeline(f"outputs={tmp_path}"), *SECOND, *keys]) == 0
    made = newest(tmp_path)
    assert made != run and (made / "mdrnn").is_symlink()
    second = made / "controller_2"
    agent = load_agent(made / "controller/agent.pt")
    store = EpisodeStore.open(made / "rollout_2/episodes")
    asked = agent(observe(agent.world, store).features)
    inner = load_agent(second / "agent.pt").world
    start = imitate(observe(inner, store).features, asked, agent.env.action_space)
    state = torch.load(second / "checkpoints/last.pt")
    np.testing.assert_allclose(state["start"].numpy(), start, atol=1e-6)
    assert len(state["segments"]) == 1
    assert inputs(second)["start_from"] == sha256(made / "controller/agent.pt")


@pytest.mark.slow
def test_a_search_in_a_dream_begins_anew_at_the_agent_of_the_iteration_before(
    finished: Path, tmp_path: Path
) -> None:
    copied(finished, tmp_path)
    keys = ["stage.controller.world=dream", "stage.evaluate.episodes=1", "reuse=true"]
    assert main([*small_pipeline(f"outputs={tmp_path}"), *SECOND, *keys]) == 0
    made = newest(tmp_path)
    first = load_agent(made / "controller/agent.pt")
    state = torch.load(made / "controller_2/checkpoints/last.pt")
    np.testing.assert_array_equal(state["start"].numpy(), first.vector)
    assert len(state["segments"]) == 1
    assert inputs(made / "controller_2")["start_from"] == sha256(made / "controller/agent.pt")


def test_the_agent_plays_new_tracks_and_the_first_store_stays(iterated: Path) -> None:
    first, second = (
        EpisodeStore.open(iterated / folder / "episodes") for folder in ("rollout", "rollout_2")
    )
    assert len(second.rows) == len(first.rows) + 6 and second.newest == len(first.rows)
    assert second.manifest["additions"][0]["policy"] == "agent"
    assert not {row.seed for row in first.rows} & {row.seed for row in second.rows[second.newest :]}
    second.verify()


def test_v_and_m_are_judged_before_and_after_on_usual_and_rare_frames(iterated: Path) -> None:
    assert [misfits(iterated / part.folder) for part in PastRun(iterated).parts] == [[]] * 10
    for stage, number in (("vae_2", "psnr"), ("mdrnn_2", "bits")):
        rows = read_csv(iterated / stage / "rare.csv")
        kinds = [row["kind"] for row in rows if row["model"] == "before"]
        assert kinds[0] == "usual" and len(rows) == 2 * len(kinds)
        assert len({row[number] for row in rows}) == len(rows)
        assert "before and after going on" in (iterated / stage / "report.html").read_text()
        assert not (iterated / stage.removesuffix("_2") / "rare.csv").exists()
    held_out = HeldOut(EpisodeStore.open(iterated / "rollout_2/episodes"))
    errors = PictureErrors()
    model = load_vae(iterated / "vae/checkpoints/best.pt")
    for frames, before in held_out:
        x = to_float(frames, "cpu")
        drawn, _, _ = model(x, noise=torch.zeros(len(x), 4))
        picked = moving_pixels(frames, before)
        errors.add(drawn.detach().permute(0, 2, 3, 1), x.permute(0, 2, 3, 1), picked)
    found = [row for row in read_csv(iterated / "vae_2/rare.csv") if row["model"] == "before"]
    mse = [int(row["frames"]) * 10 ** (-float(row["psnr"]) / 10) for row in found]
    assert sum(mse) / len(held_out) == pytest.approx(errors.mse, rel=1e-4)


@pytest.mark.slow
def test_it_goes_on_bit_for_bit_wherever_it_was_cut_off(
    finished: Path, iterated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(finished, tmp_path)
    arguments = [f"resume={run}", *SECOND]
    for place, method, call in ((Training, "update", 9), (Search, "tell", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(place, method, fails_at(call, getattr(place, method)))
            assert main(arguments) == 130
        moved = run.with_name(f"{run.name}_moved")
        run.rename(moved)
        run, arguments = moved, [f"resume={moved}"]
    assert main(arguments) == 0
    assert_equal_runs(iterated, run)


def test_everything_that_names_a_chain_takes_its_last_iteration(
    iterated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_agent(str(iterated)) == iterated / "controller_2/agent.pt"
    assert part_folder(iterated, "vae") == iterated / "vae_2"
    assert PastRun(iterated).part("mdrnn").path == iterated / "mdrnn_2"
    page = (iterated / "report.html").read_text()
    assert all(f'id="{stage}_2"' in page for stage in STAGES) and "V · vision (2)" in page
    assert main(["stage=runs", f"outputs={iterated.parents[2]}"]) == 0
    assert "evaluate_2" in capsys.readouterr().out
    keys = ["stage.episodes=5", "stage.workers=0", "threads=1", f"outputs={tmp_path}"]
    assert main(["stage=evaluate", f"upstream={iterated}", *keys]) == 0
    assert inputs(newest(tmp_path))["agent"] == sha256(iterated / "controller_2/agent.pt")


def test_an_iteration_that_has_not_come_so_far_leaves_the_one_before(
    iterated: Path, tmp_path: Path
) -> None:
    run = copied(iterated, tmp_path)
    for stage in ("controller_2", "evaluate_2"):
        shutil.rmtree(run / stage)
    assert find_agent(str(run)) == run / "controller/agent.pt"
    assert part_folder(run, "controller") == run / "controller"
    assert part_folder(run, "mdrnn") == run / "mdrnn_2"


def test_iterations_only_grow_and_their_keys_are_checked_at_once(
    iterated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"resume={iterated}", "stage.iterations=1"]) == 1
    assert "stage.iterations was 2 and is now 1: it may only grow" in capsys.readouterr().err
    assert main([f"resume={iterated}", "stage.again.vae.num_epochs=2"]) == 1
    assert "vae_2 is finished" in capsys.readouterr().err
    keys = ["stage.iterations=2", "stage.again.mdrnn.num_epochs=0", f"outputs={tmp_path / 'o'}"]
    assert main(["stage=pipeline", "env=pellet", *keys]) == 1
    assert "num_epochs is 0" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_a_path_inside_the_chain_counts_by_what_lies_there(tmp_path: Path) -> None:
    config = compose_config(["stage=vae", "env=pellet"]).config
    keys = []
    for chain, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        best = tmp_path / chain / "vae/best.pt"
        best.parent.mkdir(parents=True)
        best.write_bytes(content)
        later = replace(config, stage=replace(config.stage, start_from="../vae/best.pt"))
        keys.append(reuse._deciding_keys(later, tmp_path / chain / "vae_2"))
    assert keys[0] == keys[1] != keys[2]
    with pytest.raises(ValueError, match="does not exist"):
        reuse._deciding_keys(later, tmp_path / "gone" / "vae_2")


@pytest.mark.slow
def test_iterations_are_taken_from_elsewhere(iterated: Path, tmp_path: Path) -> None:
    run = copied(iterated, tmp_path)
    overrides = [
        line.removeprefix("- ") for line in (run / "overrides.yaml").read_text().splitlines()
    ]
    keys = [item for item in overrides if not item.startswith("outputs=")]
    assert main([*keys, *SECOND, "reuse=true", f"outputs={tmp_path}"]) == 0
    made = newest(tmp_path)
    taken = {path.name for path in made.iterdir() if path.is_symlink()}
    assert taken == {name for stage in STAGES for name in (stage, f"{stage}_2")}
