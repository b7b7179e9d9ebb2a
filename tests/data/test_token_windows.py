"""Windows of tokens: what lies where, what is masked, how often each step is read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.data.episode import TERMINATED
from world_models.data.store import EpisodeStore
from world_models.data.token_windows import TokenSegments, TokenWindows
from world_models.data.tokens import TokenStore
from world_models.runs.files import sha256

LENGTH = 5


@pytest.fixture(scope="module")
def stores(finished: Path, patch_run: Path) -> tuple[EpisodeStore, TokenStore]:
    store = EpisodeStore.open(finished / "rollout/episodes")
    best = patch_run / "checkpoints/best.pt"
    return store, TokenStore.open(patch_run / "tokens", sha256(best), store)


def windows(
    stores: tuple[EpisodeStore, TokenStore],
    kind: type[TokenWindows] = TokenWindows,
    stride: int = 1,
    context: int = 1,
) -> TokenWindows:
    to_model = stores[0].env.action_space.to_model
    return kind(*stores, "train", LENGTH, stride, context=context, to_model=to_model)


def test_windows_hold_what_the_stores_do(stores: tuple[EpisodeStore, TokenStore]) -> None:
    store, tokens = stores
    data = windows(stores, stride=LENGTH)
    batch = data.__getitems__(range(len(data)))
    item = 0
    for row in store.episodes("train"):
        arrays, coded = store.arrays(row.shard), tokens.arrays(row.shard)
        for begin in range(0, row.length, LENGTH):
            steps = slice(row.start + begin, row.start + min(begin + LENGTH, row.length))
            count = steps.stop - steps.start
            found = batch.tokens[item, : count + 1].numpy()
            expected = coded[steps.start : steps.stop + 1].reshape(count + 1, -1)
            assert np.array_equal(found, expected)
            given = store.env.action_space.to_model(arrays.actions[steps])
            assert np.array_equal(batch.actions[item, :count].numpy(), given)
            assert np.array_equal(batch.rewards[item, :count].numpy(), arrays.rewards[steps])
            ended = arrays.done[steps] == TERMINATED
            assert np.array_equal(batch.terminated[item, :count].numpy(), ended)
            assert batch.mask[item].sum() == count == batch.next_mask[item].sum()
            item += 1
    assert item == len(data)


def test_what_follows_too_few_frames_is_masked(stores: tuple[EpisodeStore, TokenStore]) -> None:
    data = windows(stores, context=3)
    first = data.windows_per_episode.cumsum() - data.windows_per_episode
    opening = data.__getitems__(first)
    # an episode has no frames before its first
    assert opening.mask[:, 0].all() and opening.next_mask[:, 0].all()
    later = data.__getitems__(first[data.windows_per_episode > 1] + 1)
    assert not later.mask[:, :2].any() and later.mask[:, 2].all()


def test_each_step_begins_a_segment_that_is_whole_if_it_can(
    stores: tuple[EpisodeStore, TokenStore],
) -> None:
    data = windows(stores, TokenSegments)
    lengths = np.array([row.length for row in data.rows])
    assert len(data) == lengths.sum()
    batch = data.__getitems__(range(len(data)))
    assert torch.equal(
        batch.mask.sum(1).long(), torch.from_numpy(np.minimum(lengths, LENGTH).repeat(lengths))
    )
    # every end is in as many segments as any other step, and more
    ends = batch.terminated.sum(1)
    closing = [min(row.length, LENGTH) for row in data.rows]
    assert int(ends.sum()) >= sum(closing) * float(ends[-1])
