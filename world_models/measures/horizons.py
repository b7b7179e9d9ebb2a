"""What the errors of a next-frame model at all horizons come to."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from world_models.measures.rows import HorizonRow


def best_rollout(rows: Sequence[HorizonRow]) -> list[HorizonRow]:
    """The rows, one per horizon, of the validation whose error is lowest over all horizons.

    Without a whole validation there are none.
    """
    steps: dict[int | None, list[HorizonRow]] = defaultdict(list)
    for row in rows:
        steps[row.step].append(row)
    longest = max(map(len, steps.values()), default=0)
    whole = [
        found
        for found in steps.values()
        if len(found) == longest and np.isfinite([row.mse for row in found]).all()
    ]
    return min(whole, key=lambda found: np.mean([row.mse for row in found]), default=[])


def over(above: float, below: float) -> float:
    """above / below; NaN where there is nothing below."""
    return above / below if below else math.nan


def skill(rows: Sequence[HorizonRow]) -> float:
    """1 - error / copy's error, over all horizons."""
    errors, copied = ([getattr(row, name) for row in rows] for name in ("mse", "copy_mse"))
    return 1 - over(float(np.sum(errors)), float(np.sum(copied)))
