"""Which tracks the candidates of a generation play."""

from dataclasses import dataclass

from world_models.runs.seeding import Purpose, fresh_seeds
from world_models.search.search import Search


@dataclass(frozen=True)
class GenerationTracks:
    """Fresh tracks for the candidates of one generation."""

    generation: int
    # episode seeds, the same for all candidates
    seeds: list[int]
    # what these seeds were drawn by: the run's seed, and what makes the generation's draws its own
    seed: int
    labels: tuple[int, ...]

    def others(self, count: int) -> list[int]:
        """Tracks that take the place of so many that cannot be played."""
        return fresh_seeds(Purpose.search, count, self.seed, "generation", *self.labels, "instead")


def fresh_tracks(search: Search, seed: int, samples: int) -> GenerationTracks:
    """`samples` tracks for the next generation."""
    labels = search.evolution.labels
    seeds = fresh_seeds(Purpose.search, samples, seed, "generation", *labels)
    return GenerationTracks(search.generation + 1, seeds, seed, labels)
