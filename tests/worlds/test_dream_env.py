"""Worlds as environments: what the model predicts is shown, whatever plays beside it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from walker import Walker

from world_models.agents.agent import WorldModelPolicy, load_agent
from world_models.agents.control import ControllerPolicy
from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import interact, play
from world_models.data.episode import TERMINATED
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.envs.spec import EnvSpec
from world_models.models.controller import ControllerInputs, Features
from world_models.models.draws import RowDraws
from world_models.models.mdrnn import sample_latent
from world_models.models.pixel import roll_out
from world_models.models.pixel_unet import PixelUNet
from world_models.runs import seeding
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.files import read_json, write_json
from world_models.worlds import opening
from world_models.worlds.dream_env import DreamEnv, open_dream
from world_models.worlds.dreaming import Dream, Reward, Rules
from world_models.worlds.latent import LatentWorld
from world_models.worlds.opening import open_world
from world_models.worlds.pixel import PixelPredictor, PixelWorld
from world_models.worlds.starts import Starts, held_out_windows

SMALL: Any = {"head": "residual", "widths": [8, 12], "condition": 16}


@pytest.fixture(scope="module")
def store(finished: Path) -> EpisodeStore:
    return EpisodeStore.open(finished / "rollout/episodes")


@pytest.fixture(scope="module")
def predictor(finished: Path) -> PixelPredictor:
    """An untrained model whose layers all do something."""
    env = EnvSpec.from_dict(read_json(finished / "rollout/episodes/manifest.json")["env"])
    with seeding.seeded_weights(0, "dream test"):
        model = PixelUNet(3, env.action_space.size, rewards=True, ends=True, **SMALL)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    baselines = torch.zeros(3, 64, 64), torch.zeros(4)
    return PixelPredictor(model.eval(), env, View(), *baselines, None, 0)


def env_of(world: Any, num_envs: int, max_steps: int = 200) -> DreamEnv:
    return DreamEnv(Dream(world, Rules(max_steps=max_steps)), num_envs)


def world_of(predictor: PixelPredictor, store: EpisodeStore) -> PixelWorld:
    space = predictor.env.action_space
    context = predictor.model.context
    return PixelWorld(predictor, held_out_windows(store, context, space, predictor.view))


@pytest.fixture(scope="module")
def world(predictor: PixelPredictor, store: EpisodeStore) -> PixelWorld:
    return world_of(predictor, store)


def test_steps_are_those_of_an_open_loop_rollout(world: PixelWorld) -> None:
    dream = env_of(world, 3, max_steps=50)
    frames, _ = dream.reset(seed=[5, 6, 7])
    context, before = (part[:3].clone() for part in dream._state)
    seen = [frames]
    gained = []
    ended = []
    actions = np.random.default_rng(0).integers(0, 5, (6, 3))
    for action in actions:
        if dream.alive.all():
            frames, rewards, terminated, _, _ = dream.step(action)
            seen.append(frames)
            gained.append(rewards)
            ended.append(terminated)
    taken = torch.from_numpy(world.env.action_space.to_model(actions.reshape(-1)))
    taken = taken.view(6, 3, -1).transpose(0, 1)
    with torch.inference_mode():
        found = roll_out(world.model, context, torch.cat([before, taken], dim=1))
    assert len(gained) > 0
    for step, one in enumerate(found[: len(gained)]):
        shown = (one.frame.permute(0, 2, 3, 1) * 255).round().numpy()
        # both are rounded, from floats that differ in their last bits
        assert np.abs(seen[step + 1].astype(int) - shown).max() <= 1
        assert one.reward is not None and one.done is not None
        np.testing.assert_allclose(gained[step], one.reward.numpy(), atol=1e-4)
        np.testing.assert_array_equal(ended[step], (one.done > 0).numpy())


def test_an_episode_begins_at_a_held_out_frame(world: PixelWorld, store: EpisodeStore) -> None:
    frames, _ = env_of(world, 8).reset(seed=list(range(8)))
    held_out = np.concatenate([store.episode(row).frames for row in store.episodes("validation")])
    for frame in frames:
        assert (held_out == frame).all((1, 2, 3)).any()
    assert len({frame.tobytes() for frame in frames}) > 3


def test_an_episode_may_begin_where_those_of_the_environment_do(
    predictor: PixelPredictor, store: EpisodeStore
) -> None:
    context, space = predictor.model.context, predictor.env.action_space
    windows = held_out_windows(store, context, space, View(), starts=Starts.episode)
    frames, _ = env_of(PixelWorld(predictor, windows), 8).reset(seed=list(range(8)))
    episodes = [store.episode(row).frames for row in store.episodes("validation")]
    opening = {episode[context - 1].tobytes() for episode in episodes}
    assert len(windows) == len(episodes)
    assert {frame.tobytes() for frame in frames} <= opening


def test_an_episode_is_a_function_of_its_seed_and_actions(world: PixelWorld) -> None:
    actions = np.random.default_rng(1).integers(0, 5, 12)
    alone = env_of(world, 1, max_steps=12)
    many = env_of(world, 7, max_steps=12)
    alone.reset(seed=[3])
    many.reset(seed=[9, 8, 7, 3, 5, 4, 2])
    for step, action in enumerate(actions):
        one = alone.step(np.array([action]))
        others = np.roll(np.arange(7) % 5, step)
        others[3] = action
        rest = many.step(others)
        for left, right in zip(one[:4], rest[:4], strict=True):
            np.testing.assert_array_equal(left[0], right[3])


def test_it_is_a_gymnasium_vector_env(
    predictor: PixelPredictor, world: PixelWorld, store: EpisodeStore
) -> None:
    dream = env_of(world, 2, max_steps=3)
    assert isinstance(dream, gymnasium.vector.VectorEnv)
    frames, info = dream.reset(seed=[0, 1])
    assert frames in dream.observation_space and info == {}
    silenced = replace(predictor, model=PixelUNet(3, 5, **SMALL).eval())
    quiet = env_of(world_of(silenced, store), 2, max_steps=3)
    first, _ = quiet.reset(seed=[0, 1])
    for step in range(3):
        frames, rewards, terminated, truncated, _ = quiet.step(quiet.action_space.sample())
        assert frames in quiet.observation_space and not rewards.any() and not terminated.any()
        assert truncated.tolist() == [step == 2] * 2
        # an untrained residual head copies
        assert np.abs(frames.astype(int) - first).max() <= 3
    assert not quiet.alive.any()


def test_controllers_play_in_it_as_in_the_environment(finished: Path, world: PixelWorld) -> None:
    agent = load_agent(finished / "controller/agent.pt")
    dream = env_of(world, 4, max_steps=10)
    vectors = np.stack([agent.controllers["best"], -agent.controllers["best"]] * 3)
    scores = play(dream, agent.policy(), range(6))
    several = play(dream, WorldModelPolicy(agent.world, vectors), range(6))
    assert [several[row] for row in (0, 2, 4)] == [scores[row] for row in (0, 2, 4)]
    assert any(several[row].total_return != scores[row].total_return for row in (1, 3, 5))
    steps = list(interact(dream, RandomPolicy(world.env.action_space), range(5), max_steps=4))
    assert {row for step in steps for row in step.rows} == set(range(5))


def test_grey_resized_worlds_show_what_the_model_sees(
    predictor: PixelPredictor, store: EpisodeStore
) -> None:
    model = PixelUNet(1, 5, **SMALL).eval()
    dream = env_of(world_of(replace(predictor, model=model, view=View(40, True)), store), 2)
    frames, _ = dream.reset(seed=[0, 1])
    assert frames.shape == (2, 40, 40, 1) and frames in dream.observation_space
    assert all(picture.shape == (40, 40, 3) for picture in dream.render())
    start = seeding.generator(0, "dream").integers(dream.world.num_starts)
    context = dream.world.starts.load(np.array([start]), "cpu").context
    np.testing.assert_array_equal(frames[0, :, :, 0], (context[0, -1, 0] * 255).round().numpy())


class Onward:
    """Goes the second way, always; writes down what it saw."""

    def reset(self, seeds: Sequence[int]) -> None:
        self.seen: list[np.ndarray] = []

    def act(self, observations: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.seen.append(observations)
        return np.ones(len(rows), int)


def test_policies_play_in_a_world_of_numbers() -> None:
    dream = env_of(Walker(), 2)
    policy = Onward()
    assert dream.env_spec.frame_skip == 1 and dream.single_observation_space.dtype == np.float32
    steps = list(interact(dream, policy, [1, 2, 3]))
    starts = [seeding.generator(seed, "dream").integers(5) for seed in (1, 2)]
    np.testing.assert_array_equal(policy.seen[0], [[starts[0], 0], [starts[1], 0]])
    rewards: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for step in steps:
        for row, reward in zip(step.rows, step.rewards, strict=True):
            rewards[row].append(reward)
    assert list(rewards.values()) == [[1, 2, 3, 4, 5, 6]] * 3, "the sixth step is past 5: the end"
    assert steps[-1].done.tolist() == [TERMINATED]
    assert steps[0].next_observations[:, 1].tolist() == [1, 1]


def test_noise_is_a_function_of_the_episodes_seed() -> None:
    def shaken(seeds: list[int], steps: int = 6) -> np.ndarray:
        dream = env_of(Walker(shake=0.3), len(seeds), max_steps=50)
        dream.reset(seed=seeds)
        return np.stack([dream.step(np.zeros(len(seeds), int))[0] for _ in range(steps)])

    many = shaken([4, 9, 2, 7, 5])
    for row, seed in enumerate([4, 9, 2, 7, 5]):
        np.testing.assert_array_equal(many[:, row], shaken([seed])[:, 0])
    assert len(np.unique(np.diff(many[..., 1], axis=0))) == 25, "each row and step has its own"


def test_idle_slots_keep_their_picture() -> None:
    dream = env_of(Walker(), 3, max_steps=2)
    assert all(not picture.any() for picture in dream.render()), "black before anything began"
    dream.reset(seed=[3], options={"reset_mask": np.array([False, True, False])})
    one = [dream.step(np.zeros(3, int)) for _ in range(2)]
    assert one[-1][3].tolist() == [False, True, False] and not dream.alive.any()
    before = dream.render()
    dream.reset(seed=[1], options={"reset_mask": np.array([True, False, False])})
    dream.step(np.ones(3, int))
    np.testing.assert_array_equal(dream.render()[1], before[1])


def test_a_chains_m_dreams(finished: Path) -> None:
    """V and the episodes are found by lineage; C plays on features alone."""
    dream = open_dream(finished, 3, max_steps=5)
    assert isinstance(dream.world, LatentWorld) and dream.world.has_reward
    agent = load_agent(finished / "controller/agent.pt")
    features, _ = dream.reset(seed=[1, 2, 3])
    assert features.shape == (3, agent.world.num_features) and features in dream.observation_space
    assert all(picture.shape == (64, 64, 3) for picture in dream.render())
    vectors = agent.controllers["best"][None]
    policy = ControllerPolicy(agent.world.controller_inputs, agent.env.action_space, vectors)
    scores = play(dream, policy, [1, 2, 3, 4])
    assert all(1 <= score.length <= 5 for score in scores)
    assert scores[1:] == play(open_dream(finished, 2, max_steps=5), policy, [2, 3, 4])


@torch.no_grad()
def test_what_nobody_turns_is_m_at_temperature_one(finished: Path) -> None:
    dream = open_dream(finished, 3, max_steps=6)
    world: Any = dream.world
    seeds, begun = torch.tensor([5, 6, 7, 0]), torch.zeros(4, dtype=torch.int64)
    dream.reset(seed=[5, 6, 7])
    begun[:3] = torch.tensor(
        [seeding.generator(seed, "dream").integers(world.num_starts) for seed in (5, 6, 7)]
    )
    z, h, c = (part[begun] for part in world.starts)
    for step in range(6):
        actions = np.array([step % 5, 1, 2])
        taken = torch.nn.functional.one_hot(torch.tensor([*actions, 0]), 5).float()
        mus, sigmas, logpi, reward, done, (h, c) = world.model.cell(taken, z, (h, c))
        z = sample_latent(mus, sigmas, logpi, RowDraws(seeds, torch.full((4,), step)))
        expected = world.model.features(z, h, c)[:3].numpy()
        going = dream.alive.copy()
        seen, rewards, ended, _, _ = dream.step(actions)
        np.testing.assert_array_equal(seen[going], expected[going])
        np.testing.assert_array_equal(rewards[going], reward[:3].numpy()[going])
        np.testing.assert_array_equal(ended[going], (done[:3] > 0).numpy()[going])
    assert step == 5 and not dream.alive.any()


def test_without_a_reward_head_there_is_no_reward(
    pipeline: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _say_of_rewards(pipeline, False)
    dream = open_dream(pipeline, 2)
    assert "mdrnn predicts no rewards: all are 0; train it with stage.include_reward=true" in (
        caplog.text
    )
    assert "ends" not in caplog.text
    dream.reset(seed=[0, 1])
    assert not dream.step(dream.action_space.sample())[1].any()


def _say_of_rewards(pipeline: Path, rewards: bool | None) -> None:
    """M's checkpoint says this of its rewards, or, as those of before, nothing."""
    path = pipeline / "mdrnn/checkpoints/best.pt"
    content = load_checkpoint(path, "mdrnn")
    content = {name: value for name, value in content.items() if name not in ("kind", "schema")}
    assert content.pop("rewards") is True
    said = {} if rewards is None else {"rewards": rewards}
    save_checkpoint(path, "mdrnn", {**content, **said})


def test_of_a_checkpoint_of_before_the_runs_configuration_says_it(pipeline: Path) -> None:
    _say_of_rewards(pipeline, None)
    assert open_world(pipeline).has_reward
    config = pipeline / "mdrnn/config.yaml"
    config.write_text(config.read_text().replace("include_reward: true", "include_reward: false"))
    assert not open_world(pipeline).has_reward
    config.write_text("stage: {")
    with pytest.raises(ValueError, match=r"config\.yaml is damaged"):
        open_dream(pipeline, 2)


def test_a_model_without_heads_says_what_it_lacks(
    tmp_path: Path,
    world: PixelWorld,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(opening, "open_pixel_world", lambda run, device, starts: world)
    manifest = {"stage": "pixel", "status": "finished", "created": "", "env": {"id": "A"}}
    write_json(tmp_path / "manifest.json", manifest)
    said = ("no rewards: all are 0; train it with stage.rewards=true", "no ends: every episode")
    open_dream(tmp_path, 1)
    assert [words in caplog.text for words in said] == [False, False]
    caplog.clear()
    advance = type(world).advance
    without = {"reward": None, "done": None}
    monkeypatch.setattr(type(world), "advance", lambda *given: replace(advance(*given), **without))
    open_dream(tmp_path, 1)
    assert [words in caplog.text for words in said] == [True, True]
    caplog.clear()
    open_dream(tmp_path, 1, reward=Reward.survival)
    assert [words in caplog.text for words in said] == [False, True]


def test_only_models_that_go_on_can_dream(finished: Path) -> None:
    with pytest.raises(
        ValueError, match="is a vae run: only pixel, mdrnn, token_world and rem runs dream"
    ):
        open_dream(finished / "vae", 1)


def test_rules_and_dials_reach_the_dream(finished: Path) -> None:
    dream = open_dream(finished, 2, 7, reward=Reward.survival, end=None, temperature=0.5)
    assert dream.dream.rules == Rules(Reward.survival, None, 7) and dream.world.temperature == 0.5
    dream.reset(seed=[0, 1])
    assert dream.step(dream.action_space.sample())[1].tolist() == [1, 1]


def test_c_may_see_more_of_a_runs_world(finished: Path) -> None:
    world = open_world(finished, inputs=ControllerInputs(Features.zch), start_noise=0.1)
    state = Dream(world).begin(torch.arange(3))
    assert world.observe(state).shape == (3, 4 + 2 * 12) and world.start_noise == 0.1


@pytest.mark.parametrize("given", [{"temperature": 1.0}, {"inputs": ControllerInputs()}])
def test_a_pixel_model_has_no_dials(tmp_path: Path, given: Any) -> None:
    manifest = {"stage": "pixel", "status": "finished", "created": "", "env": {"id": "A"}}
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(
        ValueError, match=f"is a pixel run, whose dreams have no {next(iter(given))}"
    ):
        open_world(tmp_path, **given)
