"""What a run says at its end: how good it is, where its page is, and what to type next."""

import logging
import shlex

from world_models import stages
from world_models.chains.catalogue import Row, stage
from world_models.config.stage import Stage
from world_models.figures.wording import number
from world_models.report.headline import headline
from world_models.report.next_steps import command, takes
from world_models.report.telling import only_telling
from world_models.report.verdict import verdict_of
from world_models.runs.folder import display_path
from world_models.runs.run import Run
from world_models.runs.sweeps import is_sweep

log = logging.getLogger(__name__)


def say_verdict(run: Run) -> None:
    """Log how good what was made is, beside what it must beat, or else its score alone."""
    with only_telling(f"verdict on {run.name}"):
        found, score = verdict_of(run.path), headline(run.path)
        if found is not None:
            log.info("%s: %s", found.word, " ".join(found.sentences))
        elif score is not None:
            log.info("%s: %s", score.name, number(score.value))


def say_what_follows(row: Row, run: Run) -> None:
    """Log where the page is and what to type next; a job of a sweep is no end."""
    if is_sweep(run.path.parent):
        return
    log.info("done; look at %s", display_path(run.path / "report.html"))
    if isinstance(row, Stage):
        _say_next(row, run)
        return
    for script, purpose in (("eval.sh", "evaluate it again"), ("play.sh", "play it")):
        if (run.path / script).is_file():
            log.info("to %s: %s", purpose, shlex.quote(display_path(run.path / script)))


def _say_next(row: Stage, run: Run) -> None:
    """The command of the first stage that this run can feed, and the names of the others."""
    fed = fed_by(row, run)
    if not fed:
        return
    others = f" (or stage={' or stage='.join(fed[1:])})" if fed[1:] else ""
    log.info("next: %s%s", command(fed[0], run.path, run.manifest), others)


def fed_by(row: Stage, run: Run) -> list[str]:
    """The stages that this run can feed."""
    if row.gives is None or not (run.path / row.gives.file).is_file():
        return []
    names = {row.name, row.stands_for}
    fed = [name for name in stages.STAGES if names & set(stage(name).needs)]
    return [name for name in fed if takes(name, run.env.to_dict())]
