"""The best of many noisy scores promises too much: finalists play once more before one wins."""

import logging
import time

from world_models.measures.search_rows import FinalistRow
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.search.search import Search
from world_models.search.selection import Selection

log = logging.getLogger(__name__)


def decide(selection: Selection, search: Search) -> None:
    """Play the finalists on twice as many further selection tracks.

    The best over all that it has played is the agent.
    """
    finalists = search.finalists
    names = [f"finalist {place}" for place in range(1, len(finalists) + 1)]
    vectors = [finalist.vector for finalist in finalists]
    seeds = fixed_seeds(Purpose.selection, 3 * selection.episodes)[selection.episodes :]
    began = time.monotonic()
    returns = selection.play(names, vectors, seeds, search.generation)
    overall = []
    for place, (finalist, row) in enumerate(zip(finalists, returns, strict=True), start=1):
        tracks = finalist.tracks + len(row)
        overall.append(float(finalist.score * finalist.tracks + row.sum()) / tracks)
        result = FinalistRow(
            generation=search.generation,
            place=place,
            test=finalist.score,
            further=float(row.mean()) if len(row) else float("nan"),
            overall=overall[-1],
        )
        selection.team.metrics.write("finalists", result)
    search.decide(overall)
    log.info(
        "finalists, with %d further tracks in %.0f s: %s",
        returns.shape[1],
        time.monotonic() - began,
        ", ".join(f"{score:.1f}" for score in overall),
    )
