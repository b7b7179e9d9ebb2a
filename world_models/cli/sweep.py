"""Sweeps: the job list is written before job 0, what is left of it is run, then reported."""

import contextlib
import logging
import shlex
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from world_models.chains import catalogue
from world_models.cli import launch
from world_models.cli.multirun import LAUNCHER, expand, is_launcher_key, launch_jobs
from world_models.config.compose import compose_config
from world_models.config.own_keys import require_own_keys, require_own_launcher
from world_models.envs.trust import require_trust
from world_models.report.sweep import print_tables, write_sweep_report
from world_models.report.sweep_table import grouped, read_jobs, write_tables
from world_models.report.telling import only_telling
from world_models.runs.folder import (
    display_path,
    locked,
    new_folder,
    require_own_files,
)
from world_models.runs.past import PastRun, time_after, top_runs
from world_models.runs.places import seen_from
from world_models.runs.program import started
from world_models.runs.progress import ProgressBar
from world_models.runs.quotes import plain_value
from world_models.runs.scripts import write_resume_script
from world_models.runs.signals import interruptible
from world_models.runs.sweeps import (
    SWEEP_FILE,
    Sweep,
    forget_failure,
    has_failed,
    job_status,
    note_failure,
    read_sweep,
    write_sweep,
)

log = logging.getLogger(__name__)


def start(overrides: list[str], command: list[str]) -> None:
    """A new sweep.

    What Hydra refuses of any job, and what all jobs refuse at their start, is refused before
    anything is written.
    """
    plan = expand(overrides)
    began = time_after(top_runs(plan.outputs))
    _require_one_that_starts(plan.jobs, began)
    folder = new_folder(plan.folder.parent, plan.folder.name)
    directory = seen_from(Path.cwd(), folder)
    ours = list(started().typed)
    sweep = Sweep(began, command, directory, plan.launcher, plan.swept, plan.jobs, ours)
    write_sweep(folder, sweep)
    write_resume_script(folder)
    log.info(
        "a sweep of %d job%s in %s",
        len(plan.jobs),
        "s" * (len(plan.jobs) > 1),
        display_path(folder),
    )
    _work_off(folder, plan.launcher)


def _require_one_that_starts(jobs: list[list[str]], began: str) -> None:
    """A mistake of some jobs is theirs; one that no job survives is told at once."""
    errors = []
    for overrides in jobs:
        try:
            launch.prepare(compose_config(overrides), began)
            return
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def resume(folder: Path, overrides: list[str]) -> None:
    """Continue a sweep: finished jobs are kept, begun and failed ones resumed, others started."""
    folder, sweep = folder.absolute(), read_sweep(folder)
    for item in overrides:
        if not is_launcher_key(item):
            raise ValueError(
                f"{item} cannot be given to a sweep that is resumed: "
                f"only {LAUNCHER}= and hydra.launcher.* can"
            )
    given = {item.partition("=")[0] for item in overrides}
    kept = [
        item
        for item in sweep.launcher
        if LAUNCHER not in given and item.partition("=")[0] not in given
    ]
    _require_harmless(sweep.jobs, folder / SWEEP_FILE)
    _require_known_stages(folder, sweep.jobs)
    _work_off(folder, [*require_own_launcher(kept, folder / SWEEP_FILE), *overrides])


def _require_harmless(jobs: list[list[str]], path: Path) -> None:
    """Stored jobs may set our own keys alone, and import no module that the user did not name."""
    for job in jobs:
        for item in require_own_keys(job, path):
            key, _, value = item.partition("=")
            if key.lstrip("+") == "env.id":
                require_trust(plain_value(value))


def _require_known_stages(folder: Path, jobs: list[list[str]]) -> None:
    """A job of a stage that this program does not have is a ValueError."""
    for number, job in enumerate(jobs):
        path = folder / f"{number}"
        typed = [item.partition("=")[2] for item in job if item.startswith("stage=")]
        begun = (path / "manifest.json").is_file()
        for stage in [PastRun(path).stage] if begun else typed:
            catalogue.require_stage(display_path(path), plain_value(stage))


def _work_off(folder: Path, launcher: list[str]) -> None:
    """Run what is left, then tell what came of it."""
    require_own_files(folder, apart=r"\d+")
    with locked(folder), interruptible(), _telling_how_to_continue(folder):
        numbers = range(len(read_sweep(folder).jobs))
        left = [number for number in numbers if job_status(folder / f"{number}") != "finished"]
        for number in left:
            forget_failure(folder / f"{number}")
        if left:
            _run(folder, launcher, left)
    _conclude(folder)


@contextlib.contextmanager
def _telling_how_to_continue(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        log.warning(
            "the sweep is interrupted; continue with %s", shlex.quote(str(folder / "resume.sh"))
        )
        raise


def _run(folder: Path, launcher: list[str], numbers: list[int]) -> None:
    """Run jobs.

    A killed process takes those beside it with it: then the unfinished go on, each in a pool of
    its own.
    """
    sweep = read_sweep(folder)
    try:
        launch_jobs(folder, sweep, launcher, numbers)
    except BrokenProcessPool:
        log.warning("the process of a job was killed: the unfinished jobs go on one by one")
        for number in numbers:
            path = folder / f"{number}"
            if job_status(path) != "finished" and not has_failed(path):
                _run_alone(folder, sweep, launcher, number)


def _run_alone(folder: Path, sweep: Sweep, launcher: list[str], number: int) -> None:
    try:
        launch_jobs(folder, sweep, launcher, [number])
    except BrokenProcessPool:
        note_failure(folder / f"{number}", "its process was killed; look for memory")


def _conclude(folder: Path) -> None:
    """Write and print the tables, draw the report; failed jobs are a ValueError at the end."""
    jobs = read_jobs(folder)
    groups = grouped(jobs)
    write_tables(folder, jobs, groups)
    print_tables(jobs, groups)
    with only_telling(f"report of {display_path(folder)}"):
        with ProgressBar("draw the report of the sweep", None):
            page = write_sweep_report(folder, jobs, groups)
        log.info("done; look at %s", display_path(page))
    left = [job.status for job in jobs if job.status != "finished"]
    if left:
        verb = "failed" if set(left) == {"failed"} else "are not finished"
        table = display_path(folder / "sweep.csv")
        raise ValueError(
            f"{len(left)} of {len(jobs)} jobs {verb}, see {table}; "
            f"resume={display_path(folder)} tries them again"
        )
