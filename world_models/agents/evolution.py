"""CMA-ES that maximises returns, exactly resumable without pickle: the search is replayed from its stored returns."""

from collections.abc import Sequence

import cma
import numpy as np

from world_models.runs import seeding


class Evolution:
    """Ask for a population, tell its returns (larger is better).

    pycma (Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772) with its defaults, from mean 0. Every ask
    draws from a generator derived from (seed, generation), so the search is a function of the returns it was told.
    """

    def __init__(self, num_parameters: int, *, pop_size: int, sigma0: float, seed: int) -> None:
        self._seed, self.generation = seed, 0
        self._generator = np.random.default_rng()
        options = {"popsize": pop_size, "seed": np.nan, "randn": self._normal, "verbose": -9, "verb_log": 0}
        self._strategy = cma.CMAEvolutionStrategy(np.zeros(num_parameters), sigma0, options)

    def _normal(self, *shape: int) -> np.ndarray:
        return self._generator.standard_normal(shape)

    def ask(self) -> np.ndarray:
        """The next population (pop_size, num_parameters) float64."""
        self._generator = seeding.generator(self._seed, "evolution", self.generation)
        self._population = np.array(self._strategy.ask())
        return self._population

    def tell(self, returns: Sequence[float]) -> None:
        """Take the mean return of each candidate of the last `ask`."""
        assert np.isfinite(returns).all(), returns
        self._strategy.tell(list(self._population), [-value for value in returns])  # pycma minimises
        self.generation += 1

    def replay(self, history: Sequence[Sequence[float]]) -> None:
        """Ask and tell every stored generation again."""
        for returns in history:
            self.ask()
            self.tell(returns)

    @property
    def mean(self) -> np.ndarray:
        """Mean vector of the search distribution (num_parameters,) float64."""
        return np.array(self._strategy.mean)

    @property
    def sigma(self) -> float:
        """Mean standard deviation over the parameters."""
        return float(np.mean(self._strategy.stds))
