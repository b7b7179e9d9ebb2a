"""CMA-ES that maximises. Exactly resumable without pickle: it is replayed from its fitness."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import cma
import numpy as np

from world_models.runs import seeding
from world_models.runs.progress import tracked


@dataclass
class Segment:
    """Generations of one run."""

    seed: int
    weight_decay: float = 0.0
    # per generation, the fitness of each candidate
    history: list[list[float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists only."""
        return asdict(self)


class Evolution:
    """Ask for a population, tell its fitness (larger is better).

    This is pycma (Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772) with its
    defaults, from the mean `start`. `diagonal` adapts the variances alone, which it learns in
    fewer generations (Ros & Hansen 2008). From the fitness weight_decay * |x|^2 is taken off, so
    that smaller weights are preferred.

    Every ask draws from a generator derived from (seed, segment, generation). So the search is a
    function of the fitness that it was told. `ancestors` are told first.
    """

    def __init__(
        self,
        start: np.ndarray,
        *,
        pop_size: int,
        sigma0: float,
        seed: int,
        diagonal: bool = False,
        weight_decay: float = 0.0,
        ancestors: Sequence[Segment] = (),
    ) -> None:
        self.start = start
        self._generator = np.random.default_rng()
        options = {
            "popsize": pop_size,
            "seed": np.nan,
            "randn": self._normal,
            "verbose": -9,
            "verb_log": 0,
            "CMA_diagonal": diagonal,
        }
        self._strategy = cma.CMAEvolutionStrategy(start, sigma0, options)
        self.ancestors: list[Segment] = []
        for segment in ancestors:
            self._now = Segment(segment.seed, segment.weight_decay)
            self.replay(segment.history)
            self.ancestors.append(self._now)
        self._now = Segment(seed, weight_decay)

    def _normal(self, *shape: int) -> np.ndarray:
        return self._generator.standard_normal(shape)

    @property
    def generation(self) -> int:
        """Generations told, those of ancestors not counted."""
        return len(self._now.history)

    @property
    def labels(self) -> tuple[int, ...]:
        """What makes the draws of this generation its own.

        Its number; in a segment that is not the first, the segment's number comes before it.
        """
        return (len(self.ancestors), self.generation) if self.ancestors else (self.generation,)

    @property
    def segments(self) -> list[Segment]:
        """All that a search which goes on from here must be told."""
        return [*self.ancestors, self._now]

    def ask(self) -> np.ndarray:
        """The next population (pop_size, num_parameters) float64."""
        self._generator = seeding.generator(self._now.seed, "evolution", *self.labels)
        self._population = np.array(self._strategy.ask())
        return self._population

    def tell(self, fitness: Sequence[float]) -> None:
        """Take the fitness of each candidate of the last `ask`."""
        assert np.isfinite(fitness).all(), fitness
        penalty = self._now.weight_decay * np.square(self._population).sum(1)
        # pycma minimises
        self._strategy.tell(list(self._population), list(penalty - np.asarray(fitness)))
        self._now.history.append(list(fitness))

    def replay(self, history: Sequence[Sequence[float]]) -> None:
        """Ask and tell every stored generation again."""
        for fitness in tracked("replay the search", history, len(history), "generations"):
            self.ask()
            self.tell(fitness)

    @property
    def champion(self) -> np.ndarray:
        """The last generation's candidate of the highest fitness, (num_parameters,) float64."""
        return self._population[int(np.argmax(self._now.history[-1]))]

    @property
    def mean(self) -> np.ndarray:
        """Mean vector of the search distribution (num_parameters,) float64."""
        return np.array(self._strategy.mean)

    @property
    def sigma(self) -> float:
        """Mean standard deviation over the parameters."""
        return float(np.mean(self._strategy.stds))
