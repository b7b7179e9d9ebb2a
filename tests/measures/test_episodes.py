"""Episodes beside their latents: each its own rows, and no frame that is not valid."""

from collections.abc import Callable

import numpy as np
import pytest

from world_models.measures.episodes import PLAYED_SIDE_BY_SIDE, LatentEpisodes, batches_by_length

MakeEpisodes = Callable[..., LatentEpisodes]


@pytest.mark.parametrize("has_final_frame", [True, False])
def test_an_episode_is_its_own_rows_of_the_stores(
    make_episodes: MakeEpisodes, has_final_frame: bool
) -> None:
    episodes = make_episodes(has_final_frame=has_final_frame)
    for row in episodes.store.rows:
        whole = episodes.load(row)
        played = episodes.store.episode(row)
        mu, logsigma = episodes.latents.arrays(row.shard)
        frames = slice(row.start, row.start + row.length + has_final_frame)
        np.testing.assert_array_equal(whole.mu, mu[frames])
        np.testing.assert_array_equal(whole.logsigma, logsigma[frames])
        np.testing.assert_array_equal(whole.actions.argmax(1) + 1, played.actions[: row.length])
        np.testing.assert_array_equal(whole.rewards, played.rewards[: row.length])
        assert whole.pairs == row.length - (not has_final_frame)
        assert whole.terminated.sum() == (row.index % 2 == 0)


def test_single_frames_and_actions_are_those_asked_for(make_episodes: MakeEpisodes) -> None:
    episodes = make_episodes()
    rows = [episodes.store.rows[number] for number in (5, 2, 5, 0)]
    steps = [12, 3, 0, 6]
    mu, frames = episodes.at(rows, steps)
    for place, (row, step) in enumerate(zip(rows, steps, strict=True)):
        whole = episodes.load(row)
        np.testing.assert_array_equal(mu[place].numpy(), whole.mu[step])
        np.testing.assert_array_equal(
            frames[place].numpy(), episodes.store.episode(row).frames[step]
        )
        np.testing.assert_array_equal(episodes.actions(row, 0, step), whole.actions[:step])
        np.testing.assert_array_equal(episodes.actions(row, 2, 5), whole.actions[2:5])
        np.testing.assert_array_equal(episodes.posterior(row, 2)[0], whole.mu[:2])


def test_groups_hold_every_episode_once_the_longest_first(make_episodes: MakeEpisodes) -> None:
    rows = make_episodes(
        [("train", 1 + number % 7) for number in range(2 * PLAYED_SIDE_BY_SIDE + 3)]
    ).store.rows
    found = list(batches_by_length(rows))
    assert [len(group) for group in found] == [PLAYED_SIDE_BY_SIDE, PLAYED_SIDE_BY_SIDE, 3]
    lengths = [row.length for group in found for row in group]
    assert lengths == sorted(lengths, reverse=True)
    assert sorted(row.index for group in found for row in group) == list(range(len(rows)))
