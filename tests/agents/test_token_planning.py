"""Planning in a world of tokens: it keeps step with real episodes, and each row plans alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.agents.rollout import collect
from world_models.agents.sequences import Method, PlanConfig
from world_models.agents.token_planning import TokenMemory, token_planner
from world_models.envs.config import Backend
from world_models.envs.make import make_vector_env
from world_models.worlds.opening import open_world
from world_models.worlds.token import TokenWorld

ROWS = np.arange(2)


@pytest.fixture(scope="module")
def world(token_world_run: Path) -> TokenWorld:
    """Of two frames of context."""
    opened = open_world(token_world_run)
    assert isinstance(opened, TokenWorld)
    return replace(opened, dreamer=replace(opened.dreamer, context=2))


def test_a_state_is_that_after_the_last_frames(world: TokenWorld) -> None:
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (4, 2, 64, 64, 3), dtype=np.uint8)
    actions = draw.integers(0, 5, (3, 2))
    memory = TokenMemory(world)
    memory.reset([7, 8])
    for step, shown in enumerate(frames):
        memory.see(shown, ROWS)
        states = memory.states(ROWS)
        first = max(0, step - 1)
        for row in ROWS:
            expected = world.after_frames(frames[first : step + 1, row], actions[first:step, row])
            for ours, theirs in zip(states, expected, strict=True):
                assert torch.equal(ours[row : row + 1], theirs)
        if step < len(actions):
            memory.remember(actions[step], ROWS)


def test_a_row_plans_as_it_would_alone(world: TokenWorld) -> None:
    cfg = PlanConfig(Method.icem, horizon=3, candidates=8, rounds=2, elites=2)
    envs = [make_vector_env(world.env, Backend.gymnasium, count) for count in (2, 1)]
    both = collect(envs[0], token_planner(world, cfg), [3, 4], max_steps=3)
    alone = collect(envs[1], token_planner(world, cfg), [4], max_steps=3)
    assert np.array_equal(both[1].actions, alone[0].actions)
    assert np.array_equal(both[1].frames, alone[0].frames)
    for env in envs:
        env.close()
