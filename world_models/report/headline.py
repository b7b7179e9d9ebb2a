"""The one number by which a run is compared with others, and where it comes from."""

from dataclasses import dataclass
from pathlib import Path

from world_models.report.modules import heads_a_chain, report_of
from world_models.runs.past import PastRun

QUALITY_OF_PICTURES = "PSNR in dB"
SKILL = "skill over the last frame"


@dataclass(frozen=True)
class Headline:
    """What was measured, the best value of it, which way is better, and the standard deviation
    over episodes."""

    name: str
    value: float
    larger_is_better: bool
    spread: float | None = None
    # keys that are in the number itself: runs that differ in them cannot be ranked by it
    contains: tuple[str, ...] = ()


def headline(run: Path) -> Headline | None:
    """The headline of a run folder, also of one that is not finished; None where there is no
    number yet.

    A chain's is that of its last part that may head it; of an iteration that has not come so far,
    that of the one before. A damaged file is a ValueError.
    """
    past = PastRun(run)
    report = report_of(past.stage)
    if report is not None:
        return report.headline(run)
    heads = [part for part in past.parts if heads_a_chain(part.stage)]
    same = [run / part.folder for part in reversed(heads) if part.stage == heads[-1].stage]
    begun = [path for path in same if (path / "manifest.json").is_file()]
    return next((found for path in begun if (found := headline(path)) is not None), None)
