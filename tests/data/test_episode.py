from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from world_models.data.episode import Episode

Make = Callable[..., Episode]


def test_length_and_return(make_episode: Make) -> None:
    episode = make_episode(0, 5)
    assert episode.length == 5 and episode.total_return == 0 + 1 + 2 + 3 + 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: {"frames": e.frames[:1]}, "two rows"),
        (lambda e: {"frames": e.frames.astype(np.float32)}, "float32"),
        (lambda e: {"actions": e.actions[:-1]}, "5 actions for 6 frames"),
        (lambda e: {"actions": e.actions.astype(np.float64)}, "float64"),
        (lambda e: {"rewards": e.rewards + 1}, "last row of rewards is padding"),
        (lambda e: {"rewards": e.rewards[:, None]}, r"\(6, 1\)"),
        (lambda e: {"done": np.eye(6, dtype=np.uint8)[2]}, "done before the last of 5 transitions"),
    ],
)
def test_malformed_episodes_are_refused(
    make_episode: Make, change: Callable[[Episode], dict], message: str
) -> None:
    episode = make_episode(0, 5)
    with pytest.raises(AssertionError, match=message):
        replace(episode, **change(episode))
