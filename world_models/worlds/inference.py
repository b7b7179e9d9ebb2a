"""How rows go through a network: in batches whose widths leave every row's bits alone."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

INFERENCE_MULTIPLE = 4
"""Inference batches are padded to a multiple of this: smaller ones run through other kernels."""
CUDA_BATCH = 64
"""On a GPU, whose kernels change with the width, every batch is cut and padded to exactly this."""

Values = TypeVar("Values", np.ndarray, torch.Tensor)


@dataclass(frozen=True)
class Batch:
    """Rows that go through together, repeated from the first on until they fill the width."""

    # where they stand among those that were given
    place: slice
    # (n,)
    rows: np.ndarray
    width: int

    @property
    def filled(self) -> np.ndarray:
        """The rows and their repetitions, (width,)."""
        return np.resize(self.rows, self.width)

    def fill(self, values: Values) -> Values:
        """Of values (N, ...) of all rows that were given those of this batch: (width, ...)."""
        own = values[self.place]
        return own if len(own) == self.width else own[np.arange(self.width) % len(own)]


def padded(count: int) -> int:
    """The width of a batch of `count` rows on the CPU."""
    return -(-count // INFERENCE_MULTIPLE) * INFERENCE_MULTIPLE


def batches(rows: np.ndarray, device: torch.device) -> list[Batch]:
    """The rows (N,) in batches: on the CPU one, on a GPU as many as it takes."""
    if device.type != "cuda":
        return [Batch(slice(0, len(rows)), rows, padded(len(rows)))]
    places = [slice(first, first + CUDA_BATCH) for first in range(0, len(rows), CUDA_BATCH)]
    return [Batch(place, rows[place], CUDA_BATCH) for place in places]
