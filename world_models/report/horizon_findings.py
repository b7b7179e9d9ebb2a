"""How errors that grow with the horizon compare with those of a guess, in one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from world_models.report.verdict import Finding, apart, capital


@dataclass(frozen=True)
class Errors:
    """Whose errors, and the error by the steps ahead."""

    name: str
    by_horizon: Mapping[int, float]


def ahead(ours: Errors, theirs: Errors, measure: str, unit: str) -> list[Finding]:
    """A model that goes on by itself beside a guess; `unit` is "step" or "frame".

    It is good where the model is nearer to the truth at every horizon. The numbers are those of the
    first horizon that it loses, or of the last where it loses none.
    """
    known = sorted(at for at in ours.by_horizon if np.isfinite(_pair(ours, theirs, at)).all())
    if not known:
        return []
    lost = [at for at in known if theirs.by_horizon[at] <= ours.by_horizon[at]]
    winner, loser = (theirs, ours) if lost else (ours, theirs)
    at = lost[0] if lost else known[-1]
    numbers = " against ".join(apart(winner.by_horizon[at], loser.by_horizon[at]))
    where = _where(lost or known, known, unit)
    place = f" at {at}" if len(lost or known) > 1 else ""
    what = f"{winner.name} is nearer to what comes than {loser.name} {where}"
    return [Finding(not lost, capital(f"{what}: {measure} {numbers}{place}."))]


def _pair(ours: Errors, theirs: Errors, at: int) -> list[float]:
    return [errors.by_horizon.get(at, np.nan) for errors in (ours, theirs)]


def _where(chosen: Sequence[int], known: Sequence[int], unit: str) -> str:
    """The chosen horizons among those that are known, in words."""
    if len(chosen) == 1:
        return _steps(chosen[0], unit)
    if chosen == known:
        return f"{known[0]} to {_steps(known[-1], unit)}"
    if chosen == known[-len(chosen) :]:
        return f"from {_steps(chosen[0], unit)} on"
    if chosen == known[: len(chosen)]:
        return f"up to {_steps(chosen[-1], unit)}"
    return f"at {len(chosen)} of {len(known)} horizons"


def _steps(count: int, unit: str) -> str:
    return f"{count} {unit}{'s' * (count != 1)} ahead"
