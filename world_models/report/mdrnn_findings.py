"""How M stands beside guesses that need no model."""

import math
from collections.abc import Sequence

from world_models.figures.wording import number
from world_models.measures.rows import HeadScore, LikelihoodRow, OpenLoopRow
from world_models.report.heads import head_findings
from world_models.report.horizon_findings import Errors, ahead
from world_models.report.verdict import Finding, apart, capital

BASELINES = {
    "linear": "linear regression from z and action",
    "lags": "linear regression from several z and actions",
    "last": "the last z",
    "marginal": "the mean of all z",
}
PREDICTED_BY = {"M": "M", **BASELINES, "floor": "least possible: V's own uncertainty"}
GUESSES = {"copy": "the last z", "marginal": "the mean of all z"}


def memory_findings(
    likelihood: Sequence[LikelihoodRow],
    open_loop: Sequence[OpenLoopRow],
    scores: Sequence[HeadScore],
) -> list[Finding]:
    """M one step ahead, open loop, and its heads for reward and end."""
    return [*_one_step(likelihood), *_open_loop(open_loop), *head_findings(scores, "M")]


def complete(rows: Sequence[LikelihoodRow]) -> dict[str, LikelihoodRow]:
    """The rows by name; none where M or one of the baselines was not measured.

    Tables of earlier versions have no regression from several frames.
    """
    found = {row.name: row for row in rows if math.isfinite(row.bits_per_dim)}
    return found if {"M", *BASELINES} - {"lags"} <= set(found) else {}


def strongest(found: dict[str, LikelihoodRow]) -> str:
    """The name of the best simple baseline."""
    measured = [name for name in BASELINES if name in found]
    return min(measured, key=lambda name: found[name].bits_per_dim)


def described(row: LikelihoodRow) -> str:
    """What predicts the next z, in words."""
    if row.name == "lags" and row.frames:
        return f"linear regression from the last {row.frames} z and actions"
    return PREDICTED_BY[row.name]


def _one_step(rows: Sequence[LikelihoodRow]) -> list[Finding]:
    found = complete(rows)
    if not found:
        return []
    rival = found[strongest(found)]
    bits = apart(found["M"].bits_per_dim, rival.bits_per_dim)
    what = _outcome(rival, described(rival), bits)
    good = rival.worse > 0 and not rival.low <= 0
    return [Finding(good, capital(f"{what} bits per dimension ({_ground(rival)})."))]


def _outcome(rival: LikelihoodRow, name: str, bits: list[str]) -> str:
    ours, theirs = bits
    if rival.worse == 0 or rival.low <= 0 <= rival.high:
        return f"M does not clearly differ from {name}: {ours} against {theirs}"
    if rival.worse < 0:
        return f"{name} predicts the next z better than M: {theirs} against {ours}"
    return f"M predicts the next z better than {name}: {ours} against {theirs}"


def _ground(rival: LikelihoodRow) -> str:
    if not math.isfinite(rival.low):
        return f"{rival.episodes} episodes, too few for an interval"
    interval = f"{number(rival.low)} to {number(rival.high)}"
    return f"95 % interval of the difference {interval}, over {rival.episodes} episodes"


def _open_loop(rows: Sequence[OpenLoopRow]) -> list[Finding]:
    """M that goes on by itself, feeding back its mean."""

    def errors(predictor: str, name: str) -> Errors:
        chosen = [row for row in rows if row.predictor == predictor]
        return Errors(name, {row.horizon: row.latent_mse for row in chosen})

    ours = errors("mean", "M")
    return [
        finding
        for predictor, name in GUESSES.items()
        for finding in ahead(ours, errors(predictor, name), "squared error of z", "step")
    ]
