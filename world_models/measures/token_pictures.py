"""Pictures of token dreams beside what came."""

import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import to_bytes
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.numbers import evenly_spaced

COLUMNS = 9
"""Frames of a row, the last that was seen among them."""

Rows = dict[str, np.ndarray]


@torch.inference_mode()
def dream_strip(tokenizer: Tokenizer, truth: Tensor, dreams: Tensor) -> Rows:
    """truth (N, c+H, K), dreams (N, H, K) -> rows of tiles uint8 (n, S, S, C), two for each of N.

    A row begins with the last frame that was seen, and is told in what the tokenizer draws.
    """
    horizon = dreams.shape[1]
    shown = np.unique(evenly_spaced(horizon + 1, COLUMNS, rounded=False))
    truth = truth[:, -horizon - 1 :]
    dreams = torch.cat([truth[:, :1], dreams], dim=1)
    rows = {}
    for number, (came, dream) in enumerate(zip(truth, dreams, strict=True), start=1):
        rows[f"{number} · truth"] = drawn(tokenizer, came[shown])
        rows[f"{number} · dream"] = drawn(tokenizer, dream[shown])
    return rows


def drawn(tokenizer: Tokenizer, tokens: Tensor) -> np.ndarray:
    """Frames uint8 (n, S, S, C) of tokens (n, K)."""
    frames = tokenizer.decode(tokens.unflatten(1, tokenizer.grid))
    return to_bytes(frames).cpu().numpy()
