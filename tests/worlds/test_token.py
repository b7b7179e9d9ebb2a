"""The token world: begins at stored places, draws its noise row by row, shows what it decodes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from world_models.data.store import EpisodeStore
from world_models.envs.autoreset import Autoreset
from world_models.envs.stable_baselines import StableBaselinesEnv
from world_models.models.draws import RowDraws
from world_models.worlds.dream_env import open_dream
from world_models.worlds.dreaming import Dream, Rules
from world_models.worlds.opening import open_world
from world_models.worlds.starts import Starts
from world_models.worlds.token import TokenWorld, beginnings, can_begin, load_token_model
from world_models.worlds.tokenizing import token_encoder
from world_models.worlds.world import select

STEPS = 3


@pytest.fixture(scope="module")
def world(token_world_run: Path) -> TokenWorld:
    opened = open_world(token_world_run)
    assert isinstance(opened, TokenWorld)
    return opened


def played(world: TokenWorld, seeds: torch.Tensor) -> list[torch.Tensor]:
    """The tokens of a few steps, each row's action by its seed."""
    dream = Dream(world, Rules(max_steps=STEPS))
    state, found = dream.begin(seeds), []
    for step in range(STEPS):
        steps = torch.full_like(seeds, step)
        actions = torch.eye(5)[(seeds + step) % 5]
        state = dream.step(state, actions, RowDraws(seeds, steps), steps).state
        found.append(state.tokens)
    return found


def test_it_begins_at_held_out_frames(world: TokenWorld, finished: Path) -> None:
    store = EpisodeStore.open(finished / "rollout/episodes")
    frames = [store.arrays(row.shard).frames[row.start] for row in store.episodes("validation")]
    run = Path(world.starts.windows.tokens.folder)  # type: ignore[union-attr]
    assert run.name == "tokens"
    encode = token_encoder(world.tokenizer, "cpu")
    begun = world.begin(np.arange(world.num_starts))
    known = {tuple(row) for row in begun.tokens.tolist()}
    first = encode(torch.from_numpy(np.stack(frames))).flatten(1)
    assert {tuple(row) for row in first.tolist()} <= known
    assert world.observe(begun).shape == (world.num_starts, 64, 64, 3)
    assert world.observe(begun).dtype == torch.uint8
    assert torch.equal(world.tokens(begun).flatten(1), begun.tokens)


def test_it_may_begin_at_first_frames_alone(token_world_run: Path, finished: Path) -> None:
    store = EpisodeStore.open(finished / "rollout/episodes")
    opened = open_world(token_world_run, starts=Starts.episode)
    assert opened.num_starts == len(store.episodes("validation"))


def test_it_begins_where_an_episode_is_long_enough(
    world: TokenWorld, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out episodes are too short for its context, some of training are not; then none is."""
    assert world.starts is not None
    store, tokens = EpisodeStore.open(finished / "rollout/episodes"), world.starts.windows.tokens
    train = store.episodes("train")
    far = replace(world.dreamer, context=max(row.length for row in train))
    assert can_begin(store, far.context) and not can_begin(store, far.context + 1)
    too_short = {"train": train, "validation": [replace(row, length=1) for row in train[:1]]}
    monkeypatch.setattr(store, "episodes", too_short.__getitem__)
    assert beginnings(far, store, tokens).windows.rows == train
    with pytest.raises(ValueError, match="or train a world with a smaller context"):
        beginnings(replace(far, context=far.context + 1), store, tokens)


def test_a_dream_after_frames_is_one_at_the_stored_place(world: TokenWorld, finished: Path) -> None:
    store = EpisodeStore.open(finished / "rollout/episodes")
    row = store.episodes("validation")[0]
    frames = store.arrays(row.shard).frames[row.start : row.start + 1]
    after = world.after_frames(frames, np.zeros(0, np.int64))
    begun = world.begin(np.zeros(1, int))
    for ours, theirs in zip(after, begun, strict=True):
        assert torch.equal(ours, theirs)


def test_a_row_depends_on_no_row_beside_it(world: TokenWorld) -> None:
    seeds = torch.arange(8)
    whole = played(world, seeds)
    for ours, theirs in zip(played(world, seeds.flip(0)), whole, strict=True):
        assert torch.equal(ours.flip(0), theirs)
    # untrained, so that any other number would show
    assert len({tuple(row) for row in whole[-1].tolist()}) == 8


def test_dials_say_how_tokens_are_drawn(token_world_run: Path) -> None:
    cold = open_world(token_world_run, temperature=0.0)
    seeds = torch.tensor([3, 3 + 2**20])
    dream = Dream(cold)
    state = select(dream.begin(seeds), [0, 0])
    steps = torch.zeros(2, dtype=torch.int64)
    after = dream.step(state, torch.eye(5)[[1, 1]], RowDraws(seeds, steps), steps).state
    assert torch.equal(after.tokens[0], after.tokens[1])
    counted = open_world(token_world_run, drawing="counted")
    assert isinstance(counted, TokenWorld) and counted.drawing == "counted"
    with pytest.raises(ValueError, match=r"dream\.drawing is dice; it must be independent or"):
        open_world(token_world_run, drawing="dice")
    with pytest.raises(ValueError, match="is a token_world run, whose dreams have no dropout"):
        open_world(token_world_run, dropout=0.1)
    with pytest.raises(ValueError, match=r"dream\.temperature is -1"):
        open_world(token_world_run, temperature=-1.0)


def test_it_stands_behind_gymnasiums_ids(token_world_run: Path) -> None:
    given: dict[str, Any] = {"num_envs": 2, "run": token_world_run}
    dream = gymnasium.make_vec("WorldModels/Dream-v0", **given, max_steps=4, drawing="counted")
    real = gymnasium.make_vec("WorldModels/Real-v0", **given)
    assert dream.single_observation_space == real.single_observation_space
    for envs in (dream, real):
        envs.reset(seed=1)
        frames, *_ = envs.step(np.array([1, 2]))
        assert frames in envs.observation_space and envs.render()[0].any()


def test_somebody_elses_learner_learns_in_it(token_world_run: Path) -> None:
    learners = pytest.importorskip("stable_baselines3")
    envs = StableBaselinesEnv(Autoreset(open_dream(token_world_run, 3, 2), "SameStep"))
    envs.reset()
    for _ in range(3):
        frames, rewards, _, infos = envs.step(np.array([0, 1, 2]))
    assert frames.shape == (3, 64, 64, 3) and rewards.shape == (3,) and len(infos) == 3
    agent = learners.PPO("CnnPolicy", envs, n_steps=4, batch_size=6, n_epochs=1, seed=0)
    before = [weights.clone() for weights in agent.policy.parameters()]
    agent.learn(12)
    after = agent.policy.parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_a_checkpoint_that_does_not_fit_itself_is_refused(
    token_world_run: Path, tmp_path: Path
) -> None:
    state = torch.load(token_world_run / "checkpoints/best.pt")
    for change, sentence in (
        ({"grid": [4, 5]}, "config is not of the tokens and actions of its grid and env"),
        ({"context": 0}, "context"),
        ({"kind": "vae"}, "holds a checkpoint of kind 'vae'"),
    ):
        torch.save({**state, **change}, tmp_path / "best.pt")
        with pytest.raises(ValueError, match=sentence):
            load_token_model(tmp_path / "best.pt")
