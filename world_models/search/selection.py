"""Which of the controllers that a search comes upon becomes the agent: scores on tracks that fitness never sees."""

import logging
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from world_models.pools.pool import Pool
from world_models.runs.metrics import MetricsLog
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.runs.statistics import summarize
from world_models.search.fitness import (
    block_size,
    candidate_blocks,
    play_what_can_be,
    require_most,
    set_aside,
)
from world_models.search.search import Search

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """Tests on the first `episodes` selection tracks, which are the same in every run; the best `places` are finalists."""

    pool: Pool
    metrics: MetricsLog
    episodes: int
    places: int
    width: int  # slots of a worker
    time_limit: int | None
    # how often a track hung: such a one is not played for ever
    hanging: Counter[int] = field(default_factory=Counter)

    def test(self, search: Search) -> None:
        """Play the mean vector and the generation's best candidate; keep the best of all so far."""
        generation, vectors = search.evolution.generation, [search.mean, search.champion]
        seeds = fixed_seeds(Purpose.selection, self.episodes)
        returns = self._play(["mean vector", "best candidate"], vectors, seeds, generation)
        mean, champion = summarize(returns[0].tolist()), summarize(returns[1].tolist())
        for vector, row in zip(vectors, returns, strict=True):
            search.offer(vector, float(row.mean()), len(row), self.places)
        search.tested = generation
        log.info(
            "generation %d: mean vector %.1f (95%% interval %.1f to %.1f), best candidate %.1f, best so far %.1f",
            *(generation, mean.mean, mean.low, mean.high, champion.mean, search.best_score),
        )
        values = {
            "mean": mean.mean,
            "std": mean.std,
            "low": mean.low,
            "high": mean.high,
            "candidate": champion.mean,
        }
        self.metrics.write(
            "selection", {"generation": generation, **values, "best": search.best_score}
        )

    def decide(self, search: Search) -> None:
        """Play the finalists on twice as many further selection tracks; the best over all that it has played is the agent."""
        generation, finalists = search.evolution.generation, search.finalists
        names = [f"finalist {place}" for place in range(1, len(finalists) + 1)]
        seeds = fixed_seeds(Purpose.selection, 3 * self.episodes)[self.episodes :]
        began = time.monotonic()
        returns = self._play(names, [finalist.vector for finalist in finalists], seeds, generation)
        overall = [
            float(one.score * one.tracks + row.sum()) / (one.tracks + len(row))
            for one, row in zip(finalists, returns, strict=True)
        ]
        for place, (finalist, row) in enumerate(zip(finalists, returns, strict=True), start=1):
            further = float(row.mean()) if len(row) else float("nan")
            values = {
                "place": place,
                "test": finalist.score,
                "further": further,
                "overall": overall[place - 1],
            }
            self.metrics.write("finalists", {"generation": generation, **values})
        search.decide(overall)
        told = ", ".join(f"{score:.1f}" for score in overall)
        log.info(
            "finalists, with %d further tracks in %.0f s: %s",
            returns.shape[1],
            time.monotonic() - began,
            told,
        )

    def _play(
        self, names: list[str], vectors: list[np.ndarray], seeds: list[int], generation: int
    ) -> np.ndarray:
        """Returns (players, n) on the n tracks that all of them could play."""
        size = block_size(len(vectors) * len(seeds), self.width, self.pool.size)
        blocks = candidate_blocks(np.stack(vectors), seeds, size, self.time_limit)
        scores = play_what_can_be(self.pool, blocks, lambda episodes, steps: None, self.hanging)
        set_aside(scores, names, generation, self.metrics)
        require_most(scores, generation)
        returns = np.array([score.total_return for score in scores]).reshape(
            len(vectors), len(seeds)
        )
        return returns[:, np.isfinite(returns).all(0)]
