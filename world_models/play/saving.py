"""Episodes that a person keeps: their seeds, their splits, and the store into which they go."""

from collections.abc import Iterator
from itertools import count

from world_models.data.episode import Episode
from world_models.data.store import StoreWriter
from world_models.runs import seeding
from world_models.runs.seeding import SEEDS_PER_PURPOSE, Purpose

HELD_OUT_EVERY = 10
"""Of so many episodes one is for validation, the second one first."""


def seeds_of(purpose: Purpose, seed: int) -> Iterator[int]:
    """Those of all episodes that are played in a session for a purpose, and are not kept."""
    return (seed_of(purpose, seed, number) for number in count())


def seeds_from(first: int) -> Iterator[int]:
    """The seeds from `first` on."""
    return (number % 2**31 for number in count(first))


class Album:
    """A store that grows by one episode at a time, a shard each.

    Every tenth is for validation: its seed, and so its track or level, is from another range. What
    was kept in an earlier part of the run stays.
    """

    def __init__(self, writer: StoreWriter, seed: int, held_out: bool = True) -> None:
        """`held_out` False: no episode can be, as where there is one level."""
        self.writer, self.seed, self.held_out = writer, seed, held_out
        self.kept = len(writer.finished_shards())

    @property
    def split(self) -> str:
        """That of the next episode that is kept."""
        is_apart = self.held_out and self.kept % HELD_OUT_EVERY == 1
        return "validation" if is_apart else "train"

    def seeds(self) -> Iterator[int]:
        """Episode seeds, each of the range of the split that it would be kept for."""
        for number in count(self.kept):
            purpose = Purpose.validation if self.split == "validation" else Purpose.collection
            yield seed_of(purpose, self.seed, number)

    def keep(self, episode: Episode) -> None:
        """Write an episode that was played with one of the seeds."""
        self.writer.write_shard(self.kept, [episode], [self.split])
        self.kept += 1


def seed_of(purpose: Purpose, seed: int, number: int) -> int:
    """The seed of the episode of this number that is played in a session."""
    return purpose.value + seeding.derive(seed, "play", purpose.name, number) % SEEDS_PER_PURPOSE
