"""Windows of tokens, actions, rewards and ends, for a token world model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from world_models.data.arrays import Array
from world_models.data.batch import TokenBatch
from world_models.data.datasets import Indices, Windows, unpadded
from world_models.data.episode import TERMINATED
from world_models.data.store import EpisodeStore
from world_models.data.tokens import TokenStore

Numbers = npt.NDArray[np.int64]


class TokenWindows(Windows[TokenBatch]):
    """Windows of `seq_len` transitions, `stride` apart, each inside one episode.

    What a step leads to is masked where fewer than `context` frames were seen before it, unless
    the episode has no more. `to_model` turns executed actions (N, ...) into model actions (N, A).
    """

    def __init__(
        self,
        store: EpisodeStore,
        tokens: TokenStore,
        split: str | None,
        seq_len: int,
        stride: int = 1,
        *,
        context: int = 1,
        to_model: Callable[[Any], Any],
    ) -> None:
        super().__init__(store, split, seq_len, stride)
        self.tokens = tokens
        self.context = context
        self.to_model = to_model

    def __getitems__(self, indices: Indices) -> TokenBatch:
        place = self._place(indices)
        tokens = self.tokens.gather(place.shards, place.frames).flatten(2)
        executed, rewards, done = self._steps(place)
        actions = np.asarray(self.to_model(executed.reshape(-1, *executed.shape[2:])), np.float32)
        steps = [actions.reshape(*place.mask.shape, -1), rewards, done == TERMINATED]
        masked = [unpadded(values, place.mask) for values in steps]
        seen = self._seen_enough(indices)
        return TokenBatch(
            tokens, *map(_float, [*masked, place.mask & seen, place.next_mask & seen])
        )

    def _seen_enough(self, indices: Indices) -> npt.NDArray[np.bool_]:
        """Which steps (B, T) have `context` frames before what they lead to, or all there are."""
        _, window = self._locate(indices)
        return (np.arange(self.seq_len) >= self.context - 1) | (window[:, None] == 0)


class TokenSegments(TokenWindows):
    """As many windows of an episode as it has steps; those near its end are all its last one.

    So short episodes are read as often, for their steps, as long ones, and the steps that end an
    episode more often than others.
    """

    def _items_per_episode(self) -> Numbers:
        return self._length

    def _locate(self, indices: Indices) -> tuple[Numbers, Numbers]:
        episode, step = super()._locate(indices)
        return episode, np.minimum(step, np.maximum(self._length[episode] - self.seq_len, 0))


def _float(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
