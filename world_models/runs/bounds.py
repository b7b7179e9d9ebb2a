"""The largest numbers of a configuration: beyond them a machine hangs, or its memory is not enough.

They hold for what is typed and for what was stored.
"""

import math
from collections.abc import Iterator
from typing import Any

MOST_WHOLE = 1 << 62
MOST_FRAME_SKIP = 1000
LIMITS = {
    "threads": 512,
    "workers": 1024,
    "max_workers": 1024,
    "num_workers": 128,
    "prefetch_factor": 1000,
    "num_envs": 4096,
    "shard_size": 4096,
    "batch_size": 65_536,
    "train_batch_size": 65_536,
    "size": 4096,
    "height": 4096,
    "image_size": 4096,
    "frame_skip": MOST_FRAME_SKIP,
    "latent_size": 4096,
    "hidden_size": 8192,
    "hidden_units": 8192,
    "gmm_components": 1000,
    "latent_channels": 4096,
    "base_channels": 4096,
    "vocabulary": 32_768,
    "code_size": 4096,
    "levels": 32_768,
    "downsamplings": 8,
    "patch_size": 4096,
    "width": 8192,
    "heads": 1024,
    "layers": 64,
    "context": 256,
    "channels": 4096,
    "hidden": 8192,
    "burn_in": 65_536,
    "condition": 8192,
    "action_embed_dim": 8192,
    "widths": 4096,
    "n_past_frames": 256,
    "n_past_actions": 256,
    "seq_len": 65_536,
    "episodes": 10_000_000,
    "windows": 1_000_000,
    "val_windows": 1_000_000,
    "val_frames": 1_000_000,
    "horizon": 100_000,
    "val_rollout_horizon": 100_000,
    "pop_size": 65_536,
    "n_samples": 10_000,
    "most_samples": 10_000,
    "selection_episodes": 100_000,
    "iterations": 1000,
}
"""By the last part of a key; each number of a list counts."""
ENDLESS = {"deadline", "grad_clip", "target_return"}
"""Keys that may be infinite: there is then no deadline, no clipping, no end by the return."""
MOST_NUMBERS = 1000
"""How many numbers a list may hold."""


def require_bounds(key: str, value: Any) -> None:
    """A number of the configuration that is too large, or none at all, is a ValueError."""
    most = LIMITS.get(key.rpartition(".")[2], MOST_WHOLE)
    numbers = list(_numbers(value))
    if len(numbers) > MOST_NUMBERS:
        raise ValueError(f"{key} holds {len(numbers)} numbers; it may hold {MOST_NUMBERS}")
    for number in numbers:
        if isinstance(number, float) and math.isnan(number):
            raise ValueError(f"{key} is no number (NaN): give one")
        if isinstance(number, float) and math.isinf(number):
            _require_endless(key, number)
        elif abs(number) > most:
            raise ValueError(f"{key} is {_short(number)}; it may be {most} at most")


def _require_endless(key: str, number: float) -> None:
    if key.rpartition(".")[2] not in ENDLESS:
        raise ValueError(f"{key} is {number}: give a finite number")


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _short(number: int | float) -> str:
    """A number for people; one of thousands of digits would not be printed."""
    if isinstance(number, int) and number.bit_length() > 200:
        return f"a number of {number.bit_length()} bits"
    return str(number)
