"""Which tracks the candidates of a generation play."""

from dataclasses import dataclass

import numpy as np

from world_models.runs.seeding import Purpose, fresh_seeds
from world_models.search.search import Search
from world_models.search.track_groups import track_group_of


@dataclass(frozen=True)
class GenerationTracks:
    """Fresh tracks for the candidates of one generation."""

    generation: int
    # (P, n) episode seeds of P candidates; those of a group have the same
    seeds: np.ndarray
    # what these seeds were drawn by: the run's seed, and what makes the generation's draws its own
    seed: int
    labels: tuple[int, ...]

    def others(self, count: int) -> list[int]:
        """Tracks that take the place of so many that cannot be played."""
        return fresh_seeds(Purpose.search, count, self.seed, "generation", *self.labels, "instead")


def fresh_tracks(search: Search, seed: int, candidates: int, samples: int) -> GenerationTracks:
    """`samples` tracks for each candidate of the next generation, the same within a group."""
    labels = search.evolution.labels
    groups = search.track_groups
    drawn = fresh_seeds(Purpose.search, groups * samples, seed, "generation", *labels)
    seeds = np.reshape(drawn, (groups, samples))[track_group_of(candidates, groups)]
    return GenerationTracks(search.generation + 1, seeds, seed, labels)
