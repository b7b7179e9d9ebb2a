"""V, M and the search begin at those of an agent, by its file or its name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import newest, small

import world_models
from world_models.agents.trained import PACKAGED_AGENTS, load_agent
from world_models.data.store import EpisodeStore
from world_models.learning.starting import part_of, starting_checkpoint
from world_models.main import main
from world_models.runs.files import read_json, sha256
from world_models.runs.metrics import read_csv
from world_models.search.imitation import imitate
from world_models.search.observed import observe

UNCHANGED = ["stage.learning_rate=1e-12", "stage.num_epochs=1"]


def run_of(stage: str, upstream: Path, outputs: Path, *keys: str) -> Path:
    assert main(small(stage, f"upstream={upstream}", f"outputs={outputs}", *keys)) == 0
    return newest(outputs)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "upstream"), [("vae", "rollout"), ("mdrnn", "vae")])
def test_training_begins_at_the_weights_of_an_agent(
    finished: Path, tmp_path: Path, stage: str, upstream: str
) -> None:
    """To the letter as from the checkpoint that went into the agent."""
    agent = finished / "controller/agent.pt"
    runs = [
        run_of(stage, finished / upstream, tmp_path / name, *UNCHANGED, f"stage.start_from={path}")
        for name, path in [("its own", finished / stage), ("in an agent", agent)]
    ]
    losses = [[row["loss"] for row in read_csv(run / "val_metrics.csv")] for run in runs]
    assert losses[0] == losses[1]
    inputs = {
        item["kind"]: item["sha256"] for item in read_json(runs[1] / "manifest.json")["inputs"]
    }
    assert inputs["start_from"] == sha256(agent)


def test_a_packed_agent_gives_its_weights_in_single_precision(
    finished: Path, tmp_path: Path
) -> None:
    agent = load_agent(finished / "controller/agent.pt")
    agent.save(tmp_path / "agent.pt", half=True)
    for kind, model in [("vae", agent.world.vae), ("mdrnn", agent.world.mdrnn)]:
        weights = part_of(tmp_path / "agent.pt", kind)["model"]
        for name, value in model.state_dict().items():
            assert torch.equal(weights[name], value.half().float())


def test_an_agent_of_the_package_goes_by_its_name() -> None:
    needed = {"latent_size": 32}
    path = starting_checkpoint("car_racing", "vae", needed, "stage.latent_size")
    assert path == PACKAGED_AGENTS / "car_racing.pt"
    with pytest.raises(ValueError, match=r"car_racing\.pt does not fit: it has latent_size=32 and"):
        starting_checkpoint("car_racing", "vae", {"latent_size": 8}, "stage.latent_size")


def test_a_search_begins_at_the_c_of_an_agent(
    pipeline: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = pipeline / "controller/agent.pt"
    keys = [f"stage.start_from={path}", "stage.generations=1", "stage.sigma0=1e-9"]
    run = run_of("controller", pipeline / "mdrnn", tmp_path / "begun", *keys)
    best = world_models.load(path).agent.vector
    state = torch.load(run / "checkpoints/last.pt")
    np.testing.assert_array_equal(state["start"].numpy(), best)
    np.testing.assert_allclose(state["mean"].numpy(), best, atol=1e-6)
    assert "another V or M" not in caplog.text
    path.unlink()
    assert main([f"resume={run}", "stage.generations=2"]) == 0


@pytest.mark.slow
def test_an_m_that_began_at_the_agents_own_still_fits_its_c(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = f"stage.start_from={finished / 'controller/agent.pt'}"
    mdrnn = run_of("mdrnn", finished / "vae", tmp_path / "m", *UNCHANGED, agent)
    run_of("controller", mdrnn, tmp_path / "c", agent, "stage.generations=1")
    assert "another V or M" not in caplog.text
    other = run_of("mdrnn", finished / "vae", tmp_path / "other", *UNCHANGED)
    run_of("controller", other, tmp_path / "d", agent, "stage.generations=1")
    assert "has another V or M: its parameters may mean little here" in caplog.text


def test_a_search_begins_at_what_an_agent_would_have_done(finished: Path, tmp_path: Path) -> None:
    """Whatever C it has itself: here one that sees z alone."""
    path = finished / "controller/agent.pt"
    keys = ["stage.imitate=true", "stage.features=z", "stage.generations=1"]
    run = run_of("controller", finished / "mdrnn", tmp_path, f"stage.start_from={path}", *keys)
    agent, begun = load_agent(path), load_agent(run / "agent.pt")
    store = EpisodeStore.open(finished / "rollout/episodes")
    asked = agent(observe(agent.world, store).features)
    observed = observe(begun.world, store)
    space = agent.env.action_space
    found = torch.load(run / "checkpoints/last.pt")["start"].numpy()
    np.testing.assert_allclose(found, imitate(observed.features, asked, space), atol=1e-6)
    assert (asked != observed.actions).mean() > 0.1
    inputs = {item["kind"]: item["sha256"] for item in read_json(run / "manifest.json")["inputs"]}
    assert inputs["start_from"] == sha256(path) and "episodes" in inputs


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            ["stage.features=z"],
            "sees with features=zh, hidden_units=0, latent=mean and this run has",
        ),
        (
            ["stage.imitate=true", "stage.start_from=car_racing"],
            "plays CarRacing-v3, or with other env keys than these: it cannot say what it would do",
        ),
    ],
)
def test_what_an_agents_c_cannot_begin_is_refused(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: list[str],
    sentence: str,
) -> None:
    agent = f"stage.start_from={finished / 'controller/agent.pt'}"
    given = [f"upstream={finished / 'mdrnn'}", agent, *keys, f"outputs={tmp_path / 'o'}"]
    assert main(small("controller", *given)) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
