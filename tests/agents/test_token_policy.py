"""Agents that read tokens: what a row does, what is remembered, and the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from agents.token_agents import pellet, token_agent

import world_models
from world_models.agents.bursts import Bursts
from world_models.agents.rollout import Step, collect, interact
from world_models.agents.sequences import Method, PlanConfig
from world_models.agents.token_agent import TOKEN_AGENT, TokenAgent
from world_models.agents.token_policy import TokenPolicy
from world_models.agents.trained import load_player
from world_models.data.datasets import to_float
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def agent() -> TokenAgent:
    return token_agent()


def policy_of(agent: TokenAgent, bursts: float = 0.0, **values: float) -> TokenPolicy:
    space = agent.env.action_space
    held = Bursts(space, bursts) if bursts else None
    return TokenPolicy(agent.tokenizer, agent.model, space, bursts=held, **values)


def test_a_row_does_the_same_whatever_rows_are_beside_it(agent: TokenAgent) -> None:
    together = collect(pellet(3), policy_of(agent), [5, 6, 7])
    for episode in together:
        (alone,) = collect(pellet(1), policy_of(agent), [episode.seed])
        np.testing.assert_array_equal(alone.actions, episode.actions)
    assert len({episode.actions.tobytes() for episode in together}) == 3


@pytest.mark.parametrize("values", [{}, {"noise": 0.9}, {"bursts": 0.9}])
def test_what_was_done_is_remembered_as_it_was_done(
    agent: TokenAgent, values: dict[str, float]
) -> None:
    """Burn-in on the executed actions comes to the same memory."""
    policy = policy_of(agent, **values)
    steps: list[Step] = list(interact(pellet(1), policy, [3], max_steps=12))
    frames = np.concatenate([step.observations for step in steps])
    actions = np.concatenate([step.actions for step in steps])
    tokens = agent.tokenizer.encode(to_float(torch.from_numpy(frames), "cpu"))
    done = torch.from_numpy(agent.env.action_space.to_model(actions))
    valid = torch.ones(1, len(steps), dtype=torch.bool)
    with torch.no_grad():
        burned = agent.model.burn_in(agent.tokenizer.codes(tokens)[None], done[None], valid)
    torch.testing.assert_close(policy.sight.state.h, burned.h, atol=1e-6, rtol=0)


def test_noise_and_bursts_change_what_is_done(agent: TokenAgent) -> None:
    plain, *others = (
        np.concatenate([item.actions for item in collect(pellet(4), policy, range(4))])
        for policy in (
            policy_of(agent, temperature=0.0),
            policy_of(agent, temperature=0.0, noise=0.9),
            policy_of(agent, temperature=0.0, bursts=0.9),
        )
    )
    assert all(plain.tobytes() != other.tobytes() for other in others)


def test_temperature_0_takes_the_likeliest(agent: TokenAgent) -> None:
    policy = policy_of(agent, temperature=0.0)
    policy.reset([0, 1])
    logits = torch.tensor([[0.0, 3, 1, 2, 0], [9.0, 0, 0, 0, 1]])
    assert policy.choose(logits, np.array([0, 1])).tolist() == [1, 0]
    with pytest.raises(ValueError, match="the actor's output is NaN"):
        policy.choose(logits * float("nan"), np.array([0, 1]))


def test_an_agent_is_saved_and_loaded(agent: TokenAgent, tmp_path: Path) -> None:
    agent.save(tmp_path / "agent.pt")
    loaded = world_models.load(tmp_path / "agent.pt").agent
    assert isinstance(loaded, TokenAgent)
    assert loaded.env == agent.env and loaded.temperature == 0.5
    envs = pellet(2)
    ours, theirs = (collect(envs, one.policy(), [1, 2]) for one in (agent, loaded))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)
    frames = ours[0].frames
    # known patches come back exactly
    assert (loaded.reconstruct(frames) == frames).mean() > 0.9
    loaded.reset(2)
    assert loaded.act(frames[:2]).shape == (2,)
    with pytest.raises(ValueError, match="this agent cannot plan"):
        loaded.planner(PlanConfig(Method.icem))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state["env"]["action_space"].update(size=4), "the actions of its parts"),
        (lambda state: state["env"]["preprocessing"].update(size=32), "the frames of its parts"),
        (lambda state: state["actor_critic"]["model"].pop("actor.bias"), "lacks actor.bias"),
        (lambda state: state["tokenizer"].update(architecture="x"), "tokenizer.architecture is"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    agent: TokenAgent, tmp_path: Path, change: Callable[[dict], object], sentence: str
) -> None:
    path = tmp_path / "agent.pt"
    agent.save(path)
    state = load_checkpoint(path, TOKEN_AGENT)
    change(state)
    content = {key: value for key, value in state.items() if key not in ("kind", "schema")}
    save_checkpoint(path, TOKEN_AGENT, content)
    with pytest.raises(ValueError, match=sentence):
        load_player(path)
