"""M as a world: a row equals a plain loop over the cell, whatever rows stand beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from world_models.agents.agent import load_agent
from world_models.data.store import EpisodeStore
from world_models.models.draws import RowDraws, StreamDraws
from world_models.models.mdrnn import mixture_mean, sample_latent
from world_models.runs import seeding
from world_models.worlds.dreaming import BEGINNING, Dream
from world_models.worlds.latent import LatentWorld, WorldModel, encoded_starts
from world_models.worlds.memory import LatentState
from world_models.worlds.starts import Starts
from world_models.worlds.world import place, select

NUM_STEPS = 6


@pytest.fixture(scope="module")
def model(finished: Path) -> WorldModel:
    """V and M whose mixtures are wide apart."""
    model = load_agent(finished / "controller/agent.pt").world
    with torch.no_grad():
        model.cell.gmm_linear.weight.mul_(4)
    return model


@pytest.fixture(scope="module")
def store(finished: Path) -> EpisodeStore:
    return EpisodeStore.open(finished / "rollout/episodes")


@pytest.fixture(scope="module")
def starts(model: WorldModel, store: EpisodeStore) -> LatentState:
    return encoded_starts(model, store, context=3, count=16)


def actions_of(rows: int) -> torch.Tensor:
    numbers = seeding.generator(0, "actions").integers(0, 5, (NUM_STEPS, rows))
    return torch.nn.functional.one_hot(torch.from_numpy(numbers), 5).float()


@torch.no_grad()
def rolled(
    world: LatentWorld, actions: torch.Tensor, rows: np.ndarray
) -> tuple[list[LatentState], list[torch.Tensor]]:
    """States and rewards of the starts `rows`, each with its own actions and noise."""
    state = world.begin(rows)
    states = []
    rewards = []
    for step, action in enumerate(actions):
        draws = RowDraws(torch.from_numpy(rows), torch.full((len(rows),), step))
        after = world.advance(state, action[rows], draws)
        assert after.reward is not None
        state = after.state
        states.append(state)
        rewards.append(after.reward)
    return states, rewards


@pytest.mark.parametrize("mean", [False, True])
@torch.no_grad()
def test_one_row_equals_a_loop_over_the_cell(
    model: WorldModel, starts: LatentState, mean: bool
) -> None:
    world = LatentWorld(model, starts, temperature=0.8, mean=mean)
    actions = actions_of(1)
    state = world.begin(np.array([2]))
    z, h, c = (part[2:3] for part in starts)
    ours, theirs = (StreamDraws(torch.Generator().manual_seed(3)) for _ in range(2))
    for action in actions:
        mus, sigmas, logpi, reward, done, (h, c) = model.cell(action, z, (h, c))
        z = mixture_mean(mus, logpi) if mean else sample_latent(mus, sigmas, logpi, theirs, 0.8)
        after = world.advance(state, action, ours)
        state = after.state
        for found, expected in zip(
            (*state, after.reward, after.done), (z, h, c, reward, done), strict=True
        ):
            assert torch.equal(found, expected)


def test_permuted_rows_give_permuted_results(model: WorldModel, starts: LatentState) -> None:
    world = LatentWorld(model, starts, temperature=1.2)
    actions = actions_of(16)
    order = np.random.default_rng(0).permutation(16)
    states, rewards = rolled(world, actions, np.arange(16))
    shuffled, others = rolled(world, actions, order)
    assert len(states[-1].z.unique(dim=0)) == 16
    for state, other in zip(states, shuffled, strict=True):
        assert all(
            torch.equal(part[order], found) for part, found in zip(state, other, strict=True)
        )
    assert torch.equal(rewards[-1][order], others[-1])


@torch.no_grad()
def test_rows_that_are_over_may_be_left_out(model: WorldModel, starts: LatentState) -> None:
    world = LatentWorld(model, starts)
    actions = actions_of(16)
    left = np.array([1, 4, 5, 15])
    whole, _ = rolled(world, actions, np.arange(16))
    state = select(whole[2], left)
    for step in range(3, NUM_STEPS):
        draws = RowDraws(torch.from_numpy(left), torch.full((4,), step))
        state = world.advance(state, actions[step][left], draws).state
    for part, found in zip(whole[-1], state, strict=True):
        assert torch.equal(part[left], found)
    back = place(whole[2], torch.from_numpy(left), state)
    assert torch.equal(back.z[left], state.z) and torch.equal(back.z[0], whole[2].z[0])


@torch.no_grad()
def test_starts_are_held_out_frames_after_what_came_before(
    model: WorldModel, store: EpisodeStore, starts: LatentState
) -> None:
    known = {}
    for row in store.episodes("validation"):
        episode = store.episode(row)
        latents = model.encode(episode.frames)
        executed = torch.from_numpy(model.env.action_space.to_model(episode.actions[:-1]))
        for step in range(2, row.length):
            hidden = model.cell.get_init_hidden(1)
            for t in (step - 2, step - 1):
                *_, hidden = model.cell(executed[t : t + 1], latents[t : t + 1], hidden)
            known[row.index, step] = torch.cat([latents[step : step + 1], *hidden], dim=1)[0]
    table = torch.stack(list(known.values()))
    found = torch.cat(list(starts), dim=1)
    far = torch.cdist(found, table, compute_mode="donot_use_mm_for_euclid_dist").min(1).values
    assert far.max() < 1e-5 and len(found) == 16
    alone = encoded_starts(model, store, context=1, count=4)
    assert not alone.h.any() and not alone.c.any(), "as the first frame of an episode"


@torch.no_grad()
def test_the_first_z_is_moved_by_as_much_as_was_asked_for(
    model: WorldModel, starts: LatentState
) -> None:
    world = LatentWorld(model, starts, start_noise=0.5)
    dream = Dream(world)
    seeds = torch.arange(2000)
    moved = dream.begin(seeds)
    still = Dream(LatentWorld(model, starts)).begin(seeds)
    noise = moved.z - still.z
    assert abs(noise.std().item() - 0.5) < 0.02 and abs(noise.mean().item()) < 0.02
    assert len(noise.unique(dim=0)) == 2000
    assert torch.equal(moved.h, still.h) and torch.equal(moved.c, still.c)
    for rows in (range(1), range(7), range(5, 18)):
        assert torch.equal(dream.begin(seeds[list(rows)]).z, moved.z[list(rows)])


@torch.no_grad()
def test_an_episode_drops_the_same_all_through(model: WorldModel, starts: LatentState) -> None:
    """Rows equal loops over the cell with masks of their own, whatever stands beside them."""
    world = LatentWorld(model, starts, dropout=0.4)
    seeds, actions = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6]), actions_of(8)
    state = Dream(world).begin(seeds)
    plain = Dream(LatentWorld(model, starts)).begin(seeds)
    masks = model.cell.masks(0.4, 8, RowDraws(seeds, torch.full_like(seeds, BEGINNING)))
    z, h, c = plain
    for step, action in enumerate(actions):
        draws, theirs = (RowDraws(seeds, torch.full_like(seeds, step)) for _ in range(2))
        state = world.advance(state, action, draws).state
        mus, sigmas, logpi, *_, (h, c) = model.cell(action, z * masks.z, (h * masks.h, c))
        z = sample_latent(mus, sigmas, logpi, theirs)
        assert torch.equal(state.keep_z, masks.z) and torch.equal(state.keep_h, masks.h)
        assert all(torch.equal(*both) for both in zip(state[:3], (z, h, c), strict=True))
        assert torch.equal(world.observe(state), model.features(z, h, c))
    assert torch.equal(masks.h[1], masks.h[3]), "of one seed"
    assert len(masks.h.unique(dim=0)) == 7, "each episode has its own"


@torch.no_grad()
def test_masks_stay_with_their_rows(model: WorldModel, starts: LatentState) -> None:
    world = LatentWorld(model, starts, dropout=0.4, start_noise=0.1)
    actions, seeds = actions_of(16), torch.arange(16)
    kept = torch.tensor([7, 2, 11, 4])
    step = torch.full_like(seeds, 0)
    begun = Dream(world).begin(seeds)
    whole = world.advance(begun, actions[0], RowDraws(seeds, step)).state
    left = select(begun, kept)
    some = world.advance(left, actions[0][kept], RowDraws(seeds[kept], step[kept])).state
    for part, found in zip(whole, some, strict=True):
        assert torch.equal(part[kept], found)
    assert torch.equal(place(whole, kept, left).keep_h[kept], begun.keep_h[kept])
    for part, found in zip(Dream(world).begin(kept), left, strict=True):
        assert torch.equal(part, found)


def test_all_cannot_be_dropped(model: WorldModel, starts: LatentState) -> None:
    with pytest.raises(ValueError, match=r"dream\.dropout is 1\.0; it must be at least 0"):
        LatentWorld(model, starts, dropout=1.0)


@pytest.mark.parametrize("dial", ["temperature", "start_noise"])
def test_dials_below_zero_are_refused(model: WorldModel, starts: LatentState, dial: str) -> None:
    with pytest.raises(ValueError, match=rf"dream\.{dial} is -0\.1; it must be 0 or more"):
        LatentWorld(model, starts, **{dial: -0.1})


@pytest.mark.parametrize("value", ["hot", float("inf"), float("nan"), True])
@pytest.mark.parametrize("dial", ["temperature", "start_noise", "dropout"])
def test_dials_are_finite_numbers(
    model: WorldModel, starts: LatentState, dial: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=rf"dream\.{dial} is .*; it must be a finite number"):
        LatentWorld(model, starts, **{dial: value})


def test_starts_may_be_the_first_frames_of_episodes(model: WorldModel, store: EpisodeStore) -> None:
    found = encoded_starts(model, store, starts=Starts.episode)
    episodes = [store.episode(row) for row in store.episodes("validation")]
    first = model.encode(np.stack([episode.frames[0] for episode in episodes]))
    torch.testing.assert_close(found.z, first)
    assert not found.h.any() and not found.c.any()


def test_agents_and_people_look_at_a_state(model: WorldModel, starts: LatentState) -> None:
    world = LatentWorld(model, starts, has_reward=False)
    state = world.begin(np.array([0, 3]))
    assert torch.equal(world.observe(state), model.features(*state))
    picture = world.picture(state)
    assert picture.shape == (2, 64, 64, 3)
    np.testing.assert_array_equal(picture.numpy(), model.decode(state.z))
    with torch.no_grad():
        draws = StreamDraws(torch.Generator().manual_seed(0))
        assert world.advance(state, actions_of(2)[0], draws).reward is None
