"""How a published search went on, to say what a new one may come to."""

from dataclasses import dataclass

import numpy as np

from world_models.measures.search_rows import PublishedRow


@dataclass(frozen=True)
class Reference:
    """Where the published search stood."""

    # mean return of the population
    population: float
    # its mean vector's test over 1,024 episodes; tested from generation 25 on
    mean_vector: float | None
    # on 64 cores
    hours: float


NONE = float("nan")
CAR_RACING = (
    (1, -54.6, NONE, 0.7),
    (2, -44.2, NONE, 1.3),
    (5, 40.8, NONE, 3.0),
    (10, 307.9, NONE, 6.1),
    (15, 438.3, NONE, 9.1),
    (20, 585.2, NONE, 12.1),
    (25, 668.3, 822.9, 15.1),
    (50, 766.8, 867.5, 29.3),
    (75, 766.9, 869.9, 43.5),
    (100, 799.5, 867.0, 57.7),
    (150, 822.4, 875.5, 86.0),
    (200, 822.9, 880.4, 114.1),
    (300, 843.8, 883.2, 179.6),
    (400, 850.2, 883.5, 247.8),
    (600, 863.9, 890.7, 383.0),
    (800, 880.1, 894.7, 504.0),
    (1200, 884.6, 893.6, 757.1),
    (1600, 895.6, 896.8, 1000.4),
    (1800, 890.4, 900.5, 1118.6),
)
"""Generation, population, mean vector, hours; 64 candidates, 16 episodes each.

From log/carracing.cma.16.64.hist.json and hist_best.json of the code of Ha & Schmidhuber 2018
(github.com/hardmaru/WorldModelsExperiments).
"""

SEARCHES = {"CarRacing-v3": CAR_RACING}
EPISODES_PER_GENERATION = 64 * 16


def published(env_id: str) -> list[PublishedRow]:
    """Tests of the published search's mean vector: episodes played by then, hours, score.

    Empty where there is none.
    """
    rows = [row for row in SEARCHES.get(env_id, ()) if np.isfinite(row[2])]
    return [
        PublishedRow(episodes=at * EPISODES_PER_GENERATION, hours=hours, mean_vector=score)
        for at, _, score, hours in rows
    ]


def expected(env_id: str, generation: int) -> Reference | None:
    """The published search at this generation, interpolated.

    None where there is none, or beyond its end.
    """
    if env_id not in SEARCHES or generation > SEARCHES[env_id][-1][0]:
        return None
    at, population, mean_vector, hours = np.array(SEARCHES[env_id]).T
    tested = np.isfinite(mean_vector)
    score = (
        float(np.interp(generation, at[tested], mean_vector[tested]))
        if generation >= at[tested][0]
        else None
    )
    return Reference(
        float(np.interp(generation, at, population)), score, float(np.interp(generation, at, hours))
    )
