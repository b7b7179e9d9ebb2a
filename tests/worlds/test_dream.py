"""A pixel model as an environment: it shows what the model predicts, step by step, whatever plays beside it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from world_models.agents.agent import WorldModelPolicy, load_agent
from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import interact, play
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.envs.spec import EnvSpec
from world_models.models.pixel import roll_out
from world_models.models.pixel_unet import PixelUNet
from world_models.runs import seeding
from world_models.runs.files import read_json
from world_models.worlds.pixel import PixelWorld
from world_models.worlds.pixel_dream import PixelDream

SMALL: Any = {"head": "residual", "widths": [8, 12], "condition": 16}


@pytest.fixture(scope="module")
def store(finished: Path) -> EpisodeStore:
    return EpisodeStore.open(finished / "rollout/episodes")


@pytest.fixture(scope="module")
def world(finished: Path) -> PixelWorld:
    """An untrained model whose layers all do something."""
    env = EnvSpec.from_dict(read_json(finished / "rollout/episodes/manifest.json")["env"])
    with seeding.seeded_weights(0, "dream test"):
        model = PixelUNet(3, env.action_space.size, rewards=True, ends=True, **SMALL)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    return PixelWorld(model.eval(), env, View(), torch.zeros(3, 64, 64), torch.zeros(4), None, 0)


def test_steps_are_those_of_an_open_loop_rollout(world: PixelWorld, store: EpisodeStore) -> None:
    dream = PixelDream(world, store, 3, max_steps=50)
    frames, _ = dream.reset(seed=[5, 6, 7])
    context, before = dream._seen[:3].clone(), dream._done_before[:3].clone()
    seen, gained, ended = [frames], [], []
    actions = np.random.default_rng(0).integers(0, 5, (6, 3))
    for action in actions:
        if dream.alive.all():
            frames, rewards, terminated, _, _ = dream.step(action)
            seen.append(frames)
            gained.append(rewards)
            ended.append(terminated)
    taken = (
        torch.from_numpy(world.env.action_space.to_model(actions.reshape(-1)))
        .view(6, 3, -1)
        .transpose(0, 1)
    )
    with torch.inference_mode():
        found = roll_out(world.model, context, torch.cat([before, taken], dim=1))
    assert len(gained) > 0
    for step, one in enumerate(found[: len(gained)]):
        shown = (one.frame.permute(0, 2, 3, 1) * 255).round().numpy()
        assert (
            np.abs(seen[step + 1].astype(int) - shown).max() <= 1
        )  # rounded from floats that differ in their last bits
        assert one.reward is not None and one.done is not None
        np.testing.assert_allclose(gained[step], one.reward.numpy(), atol=1e-4)
        np.testing.assert_array_equal(ended[step], (one.done > 0).numpy())


def test_an_episode_begins_at_a_held_out_frame(world: PixelWorld, store: EpisodeStore) -> None:
    frames, _ = PixelDream(world, store, 8).reset(seed=list(range(8)))
    held_out = np.concatenate([store.episode(row).frames for row in store.episodes("validation")])
    for frame in frames:
        assert (held_out == frame).all((1, 2, 3)).any()
    assert len({frame.tobytes() for frame in frames}) > 3


def test_an_episode_is_a_function_of_its_seed_and_actions(
    world: PixelWorld, store: EpisodeStore
) -> None:
    actions = np.random.default_rng(1).integers(0, 5, 12)
    alone, many = (
        PixelDream(world, store, 1, max_steps=12),
        PixelDream(world, store, 7, max_steps=12),
    )
    alone.reset(seed=[3])
    many.reset(seed=[9, 8, 7, 3, 5, 4, 2])
    for step, action in enumerate(actions):
        one = alone.step(np.array([action]))
        others = np.roll(np.arange(7) % 5, step)
        others[3] = action
        rest = many.step(others)
        for left, right in zip(one[:4], rest[:4], strict=True):
            np.testing.assert_array_equal(left[0], right[3])


def test_it_is_a_gymnasium_vector_env(world: PixelWorld, store: EpisodeStore) -> None:
    dream = PixelDream(world, store, 2, max_steps=3)
    assert isinstance(dream, gymnasium.vector.VectorEnv)
    frames, info = dream.reset(seed=[0, 1])
    assert frames in dream.observation_space and info == {}
    silenced = replace(world, model=PixelUNet(3, 5, **SMALL).eval())
    quiet = PixelDream(silenced, store, 2, max_steps=3)
    first, _ = quiet.reset(seed=[0, 1])
    for step in range(3):
        frames, rewards, terminated, truncated, _ = quiet.step(quiet.action_space.sample())
        assert frames in quiet.observation_space and not rewards.any() and not terminated.any()
        assert truncated.tolist() == [step == 2] * 2
        assert np.abs(frames.astype(int) - first).max() <= 3  # an untrained residual head copies
    assert not quiet.alive.any()


def test_controllers_play_in_it_as_in_the_environment(
    finished: Path, world: PixelWorld, store: EpisodeStore
) -> None:
    agent = load_agent(finished / "controller/agent.pt")
    dream = PixelDream(world, store, 4, max_steps=10)
    vectors = np.stack([agent.controllers["best"], -agent.controllers["best"]] * 3)
    scores = play(dream, agent.policy(), range(6))
    several = play(dream, WorldModelPolicy(agent.world, vectors), range(6))
    assert [several[row] for row in (0, 2, 4)] == [scores[row] for row in (0, 2, 4)]
    assert any(several[row].total_return != scores[row].total_return for row in (1, 3, 5))
    steps = list(interact(dream, RandomPolicy(world.env.action_space), range(5), max_steps=4))
    assert {row for step in steps for row in step.rows} == set(range(5))


def test_grey_resized_worlds_show_what_the_model_sees(
    world: PixelWorld, store: EpisodeStore
) -> None:
    model = PixelUNet(1, 5, **SMALL).eval()
    dream = PixelDream(replace(world, model=model, view=View(40, True)), store, 2)
    frames, _ = dream.reset(seed=[0, 1])
    assert frames.shape == (2, 40, 40, 1) and frames in dream.observation_space
    context = dream.starts.load(
        np.array([seeding.generator(0, "dream").integers(len(dream.starts))]), "cpu"
    ).context
    np.testing.assert_array_equal(frames[0, :, :, 0], (context[0, -1, 0] * 255).round().numpy())
