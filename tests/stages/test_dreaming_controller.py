"""The search in a dream as users start it: what is dreamt, what is real, and how it goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import misfits, newest, small, small_pipeline

import world_models
from world_models.agents.agent import WorldModelPolicy
from world_models.agents.rollout import play
from world_models.envs.make import Backend, make_vector_env
from world_models.main import main
from world_models.measures.search_rows import DreamtRow
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv, read_rows
from world_models.runs.seeding import Purpose, fixed_seeds, fresh_seeds
from world_models.search.dreaming import Dreamers
from world_models.worlds.dream_env import open_dream
from world_models.worlds.dreaming import Dream, Rules
from world_models.worlds.opening import open_world

DREAM = ["stage.world=dream", "stage.dream.max_steps=12", "stage.test_interval=1"]


def search(finished: Path, outputs: Path, *keys: str) -> Path:
    """A small search in the dream of the finished pipeline's M."""
    given = small("controller", f"upstream={finished / 'mdrnn'}", f"outputs={outputs}")
    assert main([*given, *DREAM, *keys]) == 0
    return newest(outputs)


@pytest.fixture(scope="module")
def dreamt(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return search(finished, tmp_path_factory.mktemp("dreamt"))


def test_fitness_is_dreamt_and_the_agent_is_chosen_for_real(dreamt: Path, finished: Path) -> None:
    assert misfits(dreamt) == []
    agent = world_models.load(dreamt / "agent.pt").agent
    last = agent.controllers["mean"]
    envs = make_vector_env(agent.env, Backend.auto, 4)
    real = play(envs, WorldModelPolicy(agent.world, last[None]), fixed_seeds(Purpose.selection, 4))
    dream = Dream(open_world(finished / "mdrnn"), Rules(max_steps=12))
    imagined = Dreamers(dream, 0).play(last[None], fixed_seeds(Purpose.selection, 4))
    row = read_rows(dreamt / "dreamt.csv", DreamtRow)[-1]
    assert row.real == pytest.approx(np.mean([score.total_return for score in real]))
    assert row.dream == pytest.approx(imagined.returns.mean(), abs=1e-6)
    assert row.gap == row.dream - row.real != 0
    selection = read_csv(dreamt / "selection.csv")
    assert [float(line["mean"]) for line in selection] == [
        line.real for line in read_rows(dreamt / "dreamt.csv", DreamtRow)
    ]
    best = max(max(float(line["mean"]), float(line["candidate"])) for line in selection)
    assert float(selection[-1]["best"]) == best


def test_candidates_dream_from_the_seeds_of_the_generation(dreamt: Path, finished: Path) -> None:
    """The first generation, played again by hand."""
    state = torch.load(dreamt / "checkpoints/last.pt")
    told = np.array(state["segments"][0]["history"][0])
    steps = int(read_csv(dreamt / "metrics.csv")[0]["env_steps"])
    dream = Dream(open_world(finished / "mdrnn"), Rules(max_steps=12))
    candidates = first_candidates(state)
    played = Dreamers(dream, 0).play(candidates, fresh_seeds(Purpose.search, 2, 0, "generation", 0))
    np.testing.assert_allclose(played.returns.mean(1), told, atol=1e-9)
    assert played.steps == steps and played.lengths.max() == 12


def first_candidates(state: dict[str, object]) -> np.ndarray:
    from world_models.search.evolution import Evolution

    start = state["start"]
    assert isinstance(start, torch.Tensor)
    return Evolution(start.numpy(), pop_size=6, sigma0=1.0, seed=0).ask()


def test_it_goes_on_bit_for_bit(dreamt: Path, finished: Path, tmp_path: Path) -> None:
    cut = search(finished, tmp_path, "stage.generations=1")
    assert main([f"resume={cut}", "stage.generations=3"]) == 0
    for name in ("metrics.csv", "selection.csv", "dreamt.csv"):
        assert (cut / name).read_bytes() == (dreamt / name).read_bytes()
    means = [torch.load(run / "checkpoints/last.pt")["mean"] for run in (cut, dreamt)]
    assert torch.equal(*means)
    kinds = {item["kind"] for item in read_json(dreamt / "manifest.json")["inputs"]}
    assert kinds == {"vae", "mdrnn", "episodes"}


@pytest.mark.slow
def test_rules_and_dials_reach_the_dream(finished: Path, tmp_path: Path, dreamt: Path) -> None:
    first = (dreamt / "metrics.csv").read_text().splitlines()[1]
    for keys in (
        ["stage.dream.temperature=0.3"],
        ["stage.dream.start_noise=2"],
        ["stage.dream.dropout=0.4"],
        ["stage.dream.starts=episode"],
        ["stage.dream.end=null"],
    ):
        run = search(finished, tmp_path, *keys, "stage.generations=1")
        assert (run / "metrics.csv").read_text().splitlines()[1] != first, keys
    run = search(finished, tmp_path, "stage.dream.reward=survival", "stage.generations=1")
    row = read_csv(run / "metrics.csv")[0]
    assert float(row["mean"]) == float(row["length"]) > 1


def test_dream_steps_are_a_budget(finished: Path, tmp_path: Path) -> None:
    keys = ["stage.generations=null", "stage.env_steps=300"]
    steps = [
        int(row["env_steps"]) for row in read_csv(search(finished, tmp_path, *keys) / "metrics.csv")
    ]
    assert steps[-2] < 300 <= steps[-1]


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (["stage.early_cut=5"], "stage.early_cut is 5"),
        (["stage.dream.end=1.5"], "a dream's end is 1.5"),
        (["stage.dream.temperature=-1"], "stage.dream.temperature is -1.0"),
        (["stage.dream.max_steps=0"], "max_steps is 0"),
        (["stage.dream.source=x", "stage.dream.dropout=0.1"], "names a pixel model"),
    ],
)
def test_what_cannot_be_dreamt_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: list[str], wanted: str
) -> None:
    given = small("controller", f"upstream={finished / 'mdrnn'}", f"outputs={tmp_path}")
    assert main([*given, *DREAM, *keys]) == 1
    assert wanted in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_candidates_dream_the_frames_of_a_pixel_model(finished: Path, tmp_path: Path) -> None:
    heads = ["stage.rewards=true", "stage.ends=true", "stage.max_steps=2"]
    upstream = f"upstream={finished / 'rollout'}"
    assert main(small("pixel", upstream, f"outputs={tmp_path / 'pixel'}", *heads)) == 0
    pixel = newest(tmp_path / "pixel")
    keys = [f"stage.dream.source={pixel}", "stage.dream.max_steps=4", "stage.generations=1"]
    run = search(finished, tmp_path, *keys)
    state = torch.load(run / "checkpoints/last.pt")
    told = np.array(state["segments"][0]["history"][0])
    agent = world_models.load(run / "agent.pt").agent
    env = open_dream(pixel, 3, 4)
    seeds = fresh_seeds(Purpose.search, 2, 0, "generation", 0)
    for vector, fitness in zip(first_candidates(state), told, strict=True):
        scores = play(env, WorldModelPolicy(agent.world, vector[None]), seeds)
        assert np.mean([score.total_return for score in scores]) == fitness
    kinds = {item["kind"] for item in read_json(run / "manifest.json")["inputs"]}
    assert kinds == {"vae", "mdrnn", "episodes", "pixel"}


def test_a_search_of_before_there_were_dreams_goes_on(finished: Path, tmp_path: Path) -> None:
    given = small("controller", f"upstream={finished / 'mdrnn'}", f"outputs={tmp_path}")
    assert main([*given, "stage.generations=1"]) == 0
    run = newest(tmp_path)
    config = run / "config.yaml"
    text = config.read_text()
    begin, end = text.index("  world: real"), text.index("  features:")
    config.write_text(text[:begin] + text[end:])
    assert main([f"resume={run}", "stage.generations=3"]) == 0
    whole = finished / "controller"
    assert (run / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert not (run / "dreamt.csv").exists()


def test_a_memory_that_predicts_no_rewards_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["stage.controller.world=dream", "stage.mdrnn.include_reward=false"]
    assert main(small_pipeline(*keys, f"outputs={tmp_path}")) == 1
    assert "stage.controller.dream.reward=head needs an M" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    upstream = f"upstream={finished / 'vae'}"
    silent = small("mdrnn", upstream, f"outputs={tmp_path}", "stage.include_reward=false")
    assert main([*silent, "stage.num_epochs=1"]) == 0
    given = small("controller", f"upstream={newest(tmp_path)}", f"outputs={tmp_path}", *DREAM)
    assert main(given) == 1
    assert "predicts no rewards: train it with stage.include_reward=true" in capsys.readouterr().err
    assert main([*given, "stage.dream.reward=survival", "stage.generations=1"]) == 0
