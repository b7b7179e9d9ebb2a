"""Agents that come with the package, and how one is packed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import newest

from world_models.agents import trained
from world_models.agents.agent import load_agent
from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.envs.make import make_spec
from world_models.envs.preprocess import Preprocessing
from world_models.main import main
from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.files import sha256

MOST_BYTES = 12_000_000


def test_a_driver_comes_with_the_package() -> None:
    assert "car_racing" in trained.names()


@pytest.mark.parametrize("name", trained.names())
def test_what_comes_with_the_package_is_whole_small_and_plays(name: str) -> None:
    path = trained.find_agent(name)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["sha256"] == sha256(path) and record["bytes"] == path.stat().st_size < MOST_BYTES
    state = load_checkpoint(path, "agent")
    assert {
        weight.dtype for part in ("vae", "mdrnn") for weight in state[part]["model"].values()
    } == {torch.float16}
    agent = load_agent(path)
    register(schemas(["evaluate"]))
    assert agent.env == make_spec(compose_config(["stage=evaluate", f"env={name}"]).config.env)
    agent.reset(4)
    actions = agent.act(np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8))
    assert actions.shape == (4, agent.env.action_space.size) and np.isfinite(actions).all()


def test_an_agent_prepares_what_the_environment_shows_and_refuses_what_is_not_prepared() -> None:
    agent = load_agent(trained.find_agent("car_racing"))
    pictures = np.random.default_rng(0).integers(0, 255, (2, 96, 96, 3), np.uint8)
    frames = agent.env.preprocessing.apply(pictures)
    alpha = np.full((96, 96, 1), 255, np.uint8)
    floats = [np.dstack([picture, alpha]).astype(np.float32) / 255 for picture in pictures]
    for shown in (pictures, list(pictures), floats):
        np.testing.assert_array_equal(agent.prepare(shown), frames)
    with pytest.raises(ValueError, match=r"agent.prepare\(\[it\]\)"):
        agent.prepare(pictures[0])
    agent.reset(2)
    agent.act(frames)
    resized = Preprocessing((0, 0, 0, 0), 64, False).apply(pictures)
    for wrong in (pictures, frames[:1], frames[0], frames / 255, list(frames), resized[..., :1]):
        with pytest.raises(ValueError, match=r"agent.prepare\(pictures\) crops and resizes"):
            agent.act(wrong)


def test_packing_halves_the_file_and_describing_it_needs_its_own_evaluation(
    finished: Path, tmp_path: Path
) -> None:
    whole = finished / "controller" / "agent.pt"
    packed = tmp_path / "small.pt"
    trained.pack(finished, packed)
    assert packed.stat().st_size < 0.6 * whole.stat().st_size
    evaluate = [
        "stage=evaluate",
        "env=pellet",
        "stage.episodes=3",
        "stage.workers=0",
        f"outputs={tmp_path}",
    ]
    assert main([*evaluate, f"agent={packed}"]) == 0
    trained.describe(packed, newest(tmp_path))
    record = json.loads(packed.with_suffix(".json").read_text())
    assert record["sha256"] == sha256(packed) and record["scores"]["episodes"] == 3
    with pytest.raises(ValueError, match="did not evaluate"):
        trained.describe(packed, finished / "evaluate")
