"""Randomness as a tree: one root seed, a generator for every use, ranges of episode seeds."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import numpy as np
import torch

from world_models.envs.spec import HELD_OUT, SCORED


class Purpose(Enum):
    """What an episode is for.

    Each has `SEEDS_PER_PURPOSE` episode seeds of its own, all below 2**31.
    """

    search = 0
    collection = 1 << 29
    validation = HELD_OUT
    selection = SCORED
    final_test = HELD_OUT + (1 << 29)


SEEDS_PER_PURPOSE = 1 << 28


def derive(seed: int, *labels: str | int) -> int:
    """A 128-bit seed for one use, named by labels such as ("vae", "epoch", 3)."""
    text = "/".join([str(seed), *map(str, labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def generator(seed: int, *labels: str | int) -> np.random.Generator:
    """The numpy generator of one use."""
    return np.random.default_rng(derive(seed, *labels))


def torch_generator(
    seed: int, *labels: str | int, device: str | torch.device = "cpu"
) -> torch.Generator:
    """The torch generator of one use, on `device`."""
    return torch.Generator(device=device).manual_seed(derive(seed, *labels) % (1 << 63))


@contextmanager
def seeded_weights(seed: int, *labels: str | int) -> Iterator[None]:
    """Inside, torch modules are initialised (on the CPU) from this use's seed.

    The global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, *labels) % (1 << 63))
        yield


@contextmanager
def seeded_dropout(device: str, seed: int, *labels: str | int) -> Iterator[None]:
    """Inside, torch's dropout on `device` takes its noise from this use's seed.

    The global generators are left as they were.
    """
    with torch.random.fork_rng(devices=[] if device == "cpu" else [torch.cuda.current_device()]):
        torch.manual_seed(derive(seed, *labels) % (1 << 63))
        yield


def fixed_seeds(purpose: Purpose, count: int) -> list[int]:
    """The first `count` seeds of a range: the same for every run, so that scores compare."""
    if not 0 <= count <= SEEDS_PER_PURPOSE:
        raise ValueError(
            f"{count} episodes asked for {purpose.name}; "
            f"between 0 and {SEEDS_PER_PURPOSE} can be had"
        )
    return [purpose.value + index for index in range(count)]


def fresh_seeds(purpose: Purpose, count: int, seed: int, *labels: str | int) -> list[int]:
    """`count` different seeds drawn from a range for one use of one run."""
    drawn = generator(seed, purpose.name, *labels).choice(
        SEEDS_PER_PURPOSE, size=count, replace=False, shuffle=True
    )
    return [purpose.value + int(value) for value in drawn]


def seed_instead(seed: int) -> int:
    """An episode seed of the same range, always the same, for where this one cannot be played."""
    return seed - seed % SEEDS_PER_PURPOSE + derive(seed, "instead") % SEEDS_PER_PURPOSE
