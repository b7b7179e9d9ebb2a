"""Synthetic episodes in which everything says where it belongs.

Frame t shows t, action t is t, reward t is t.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from world_models.data.episode import TERMINATED, TRUNCATED, Episode
from world_models.data.store import EpisodeStore, StoreWriter, split_episodes
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec

META = {
    "env": EnvSpec(
        "Counting-v0",
        {},
        Preprocessing((0, 0, 0, 0), 16, False),
        1,
        ActionSpace("box", 2, (0.0, 0.0), (99.0, 99.0), ("affine", "affine")),
        50,
    ).to_dict(),
    "backend": "gymnasium",
    "policy": "counting",
    "seed": 7,
    "versions": {"numpy": "1"},
}
FIRST_ACTION = 50
LENGTHS = [5, 1, 9, 4, 12, 3, 7]


def counting_episode(number: int, length: int, discrete: bool = False, size: int = 4) -> Episode:
    """Frame t holds (t, number, 0); even episodes terminate, odd ones are truncated.

    Numbered actions begin at 50.
    """
    steps = np.arange(length + 1)
    frames = np.zeros((length + 1, size, size, 3), np.uint8)
    frames[..., 0] = steps[:, None, None]
    frames[..., 1] = number
    if discrete:
        actions = FIRST_ACTION + steps
    else:
        actions = np.stack([steps, np.full(length + 1, number)], 1).astype(np.float32)
    rewards = steps.astype(np.float32)
    done = np.zeros(length + 1, np.uint8)
    done[-2] = TRUNCATED if number % 2 else TERMINATED
    actions[-1], rewards[-1] = 0, 0
    return Episode(seed=100 + number, frames=frames, actions=actions, rewards=rewards, done=done)


MakeStore = Callable[..., EpisodeStore]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """make_store(lengths, ...) writes counting episodes of these lengths and opens the store."""

    def make(
        lengths: list[int] = LENGTHS,
        per_shard: int = 3,
        val_fraction: float = 0.0,
        has_final_frame: bool = True,
        discrete: bool = False,
        name: str = "episodes",
    ) -> EpisodeStore:
        episodes = [
            counting_episode(number, length, discrete) for number, length in enumerate(lengths)
        ]
        splits = split_episodes(len(episodes), val_fraction)
        writer = StoreWriter(tmp_path / name, {**META, "has_final_frame": has_final_frame})
        for index, first in enumerate(range(0, len(episodes), per_shard)):
            part = slice(first, first + per_shard)
            writer.write_shard(index, episodes[part], splits[part])
        writer.finish()
        return EpisodeStore.open(tmp_path / name)

    return make


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    return counting_episode


@pytest.fixture
def meta() -> dict[str, object]:
    return {**META, "has_final_frame": True}
