"""Which of the controllers of a search becomes the agent: scores on tracks fitness never sees."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from world_models.measures.search_rows import SelectionRow
from world_models.runs.progress import ProgressBar
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.runs.statistics import summarize
from world_models.search.quarantine import check_half_played
from world_models.search.search import Search
from world_models.search.team import Team

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """Tests on the first `episodes` selection tracks, which are the same in every run."""

    team: Team
    episodes: int

    def test(self, search: Search) -> np.ndarray:
        """Play the mean vector and the generation's best candidate; keep the best of all so far.

        Returns the mean returns of both, (2,).
        """
        vectors = [search.mean, search.champion]
        seeds = fixed_seeds(Purpose.selection, self.episodes)
        returns = self.play(["mean vector", "best candidate"], vectors, seeds, search.generation)
        for vector, row in zip(vectors, returns, strict=True):
            search.offer(vector, float(row.mean()))
        search.tested = search.generation
        self._report(search, returns)
        return returns.mean(1)

    def _report(self, search: Search, returns: np.ndarray) -> None:
        mean, champion = (summarize(row.tolist()) for row in returns)
        log.info(
            "generation %d: mean vector %.1f (95%% interval %.1f to %.1f), best candidate %.1f, "
            "best so far %.1f",
            search.generation,
            mean.mean,
            mean.low,
            mean.high,
            champion.mean,
            search.best_score,
        )
        row = SelectionRow(
            generation=search.generation,
            mean=mean.mean,
            std=mean.std,
            low=mean.low,
            high=mean.high,
            candidate=champion.mean,
            best=search.best_score,
        )
        self.team.metrics.write("selection", row)

    def play(
        self, names: list[str], vectors: list[np.ndarray], seeds: list[int], generation: int
    ) -> np.ndarray:
        """Returns (players, n) on the n tracks that all of them could play.

        Half of the episodes lost are a WorkerError.
        """
        with ProgressBar("test", len(vectors) * len(seeds), rate_unit="env steps") as bar:
            team = replace(self.team, advance=bar.advance)
            scores = team.play(np.stack(vectors), seeds, names, generation)
        check_half_played(scores, generation)
        returns = np.array([score.total_return for score in scores])
        returns = returns.reshape(len(vectors), len(seeds))
        return returns[:, np.isfinite(returns).all(0)]
