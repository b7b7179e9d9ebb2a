"""What an agent sees and remembers lies open, and equals a plain loop over V and M."""

from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.agents.agent import load_agent
from world_models.agents.perception import Perception
from world_models.models.controller import ControllerInputs, Features
from world_models.models.mdrnn import mixture_mean
from world_models.worlds.latent import WorldModel


@pytest.fixture(scope="module")
def world(finished: Path) -> WorldModel:
    return load_agent(finished / "controller/agent.pt").world


def frames_for(steps: int, rows: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (steps, rows, 64, 64, 3), np.uint8)


@torch.no_grad()
def test_the_state_is_that_of_a_loop_and_so_is_what_is_expected(world: WorldModel) -> None:
    perception = Perception(world)
    frames = frames_for(4, 1)
    perception.reset([8])
    h, c = world.cell.get_init_hidden(1)
    for number, frame in enumerate(frames):
        features = perception.see(frame, np.array([0]))
        z = world.encode(frame)
        torch.testing.assert_close(perception.state.z, z)
        torch.testing.assert_close(features, torch.cat([z, h], dim=1))
        action = np.array([number % 5])
        executed = torch.from_numpy(world.env.action_space.to_model(action))
        mus, _, logpi, _, _, (h, c) = world.cell(executed, z, (h, c))
        perception.remember(action, np.array([0]))
        torch.testing.assert_close(perception.state.h, h)
        torch.testing.assert_close(perception.state.c, c)
        torch.testing.assert_close(perception.expected(np.array([0])), mixture_mean(mus, logpi))


def test_rows_that_do_not_play_stay_as_they_are(world: WorldModel) -> None:
    perception = Perception(world)
    frames = frames_for(2, 3)
    perception.reset([0, 1, 2])
    perception.see(frames[0], np.arange(3))
    perception.remember(np.array([1, 2, 3]), np.arange(3))
    before = [part.clone() for part in perception.state]
    perception.see(frames[1][[2, 0]], np.array([2, 0]))
    perception.remember(np.array([4, 0]), np.array([2, 0]))
    for part, old in zip(perception.state, before, strict=True):
        assert torch.equal(part[1], old[1])
        assert not torch.equal(part[0], old[0]) and not torch.equal(part[2], old[2])


def test_m_runs_where_c_sees_of_it_or_somebody_asks(world: WorldModel) -> None:
    blind = WorldModel(world.vae, world.mdrnn, world.env, ControllerInputs(Features.z))
    frame = frames_for(1, 2)[0]
    rows = np.arange(2)
    for with_memory in (None, True):
        perception = Perception(blind, with_memory)
        perception.reset([0, 1])
        perception.see(frame, rows)
        perception.remember(np.array([1, 1]), rows)
        assert bool(perception.state.h.any()) is bool(with_memory)
