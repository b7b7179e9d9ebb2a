"""Running a stage in its folder, and a chain of stages each in a folder of its own inside one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from world_models.chains import reuse
from world_models.chains.closing import say_verdict
from world_models.config.own_keys import require_own_keys
from world_models.config.schema import Config, check_resumable, flatten, to_yaml
from world_models.config.stage import Chain, ChainPart, Stage, feeder_of
from world_models.config.stored import stored_config
from world_models.envs.make import Backend
from world_models.measures.own import write_own
from world_models.report.report import write_report
from world_models.report.telling import only_telling
from world_models.runs.past import PastRun
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run, begin
from world_models.runs.scripts import Scripts, env_overrides

log = logging.getLogger(__name__)

OWN_IMPLEMENTATION = {Backend.envpool: Backend.gymnasium}
"""Final scores are on the environment's own implementation, not on a faster copy of it."""


@dataclass(frozen=True)
class PartRun:
    """A part of a chain, its configuration as a whole one, and its run."""

    part: ChainPart
    config: Config
    run: Run

    @property
    def is_begun(self) -> bool:
        """Whether its folder is filled."""
        return (self.run.path / "manifest.json").is_file()

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.is_begun and PastRun(self.run.path).status == "finished"


def execute(chain: Chain, cfg: Config, run: Run) -> None:
    """Run every stage in its folder inside `run`; finished ones are skipped, begun ones resumed.

    With `reuse=true` a stage that is not begun is taken from elsewhere, if it was finished there
    just as it would be here.
    """
    parts = chain.parts(cfg.stage)
    run.manifest["parts"] = [{"folder": part.folder, "stage": part.stage.name} for part in parts]
    run.save_manifest()
    for number in range(len(parts)):
        one = part_run(parts, number, cfg, run)
        reuse.check(run, one.run, Path(cfg.outputs).absolute())
        if cfg.reuse and not one.is_begun:
            _take_or_run(parts[:number], one, run)
        else:
            _run_part(one, run)


def _take_or_run(earlier: Sequence[ChainPart], one: PartRun, whole: Run) -> None:
    given = reuse.products({whole.path / part.folder: part.stage for part in earlier})
    wanted = reuse.Wanted(one.part.stage, one.config, one.run, given)
    with wanted.turn():
        with ProgressBar(f"look for a finished {one.part.folder}", None):
            source = wanted.find()
        if source is None:
            _run_part(one, whole)
        else:
            reuse.take(whole, one.run, source)


def _run_part(one: PartRun, whole: Run) -> None:
    if one.is_finished:
        _require_unchanged(one)
        log.info("%s: finished already", one.part.folder)
        require_page(one.run)
    else:
        _open(one, whole)
        run_stage(one.part.stage, one.config, one.run)


def part_run(parts: Sequence[ChainPart], number: int, cfg: Config, whole: Run) -> PartRun:
    """Configuration and run of one part of a chain."""
    part, feeder = parts[number], feeder_of(parts, number)
    backend = backend_for(part.stage, cfg.env.backend)
    outputs = Path(cfg.outputs).absolute()
    config = replace(
        cfg,
        stage=part.config_of(cfg.stage),
        env=replace(cfg.env, backend=backend),
        upstream=f"../{feeder.folder}" if feeder else "latest",
        reuse=False,
    )
    run = replace(
        whole,
        path=whole.path / part.folder,
        upstream=PastRun(whole.path / feeder.folder, outputs) if feeder else None,
        manifest={},
        backend=backend,
    )
    return PartRun(part, config, run)


def _open(one: PartRun, whole: Run) -> None:
    """Fill the folder of a new part; note in that of a begun one which budgets have grown."""
    if one.run.path.is_symlink():
        raise ValueError(
            f"{one.run.name} is a link to another run, which is not finished: "
            "finish it where it lies, or take the link away"
        )
    if one.is_begun:
        _note_growth(one, whole)
    else:
        _begin(one, whole)


def _begin(one: PartRun, whole: Run) -> None:
    """Fill the folder of a new part, as the whole chain was typed."""
    one.run.path.mkdir(exist_ok=True)
    lines = (whole.path / "overrides.yaml").read_text().splitlines()
    overrides = [line.removeprefix("- ") for line in lines]
    stage = one.part.stage
    choices = {**whole.manifest["choices"], "stage": stage.name}
    # they go into a script
    require_own_keys(env_overrides(choices), whole.path / "manifest.json")
    scripts = Scripts(stage.evaluated_by, stage.played_in)
    created = whole.manifest["created"]
    begin(one.run, stage.name, to_yaml(one.config), overrides, choices, scripts, created)


def _note_growth(one: PartRun, whole: Run) -> None:
    """Note in the manifest of a begun part which of its budgets have grown."""
    run = one.run
    run.manifest = PastRun(run.path).manifest
    stored = stored_config(PastRun(run.path), one.part.stage.config)
    check_resumable(stored, one.config, run.path)
    grown = [f"stage.{key}={value}" for key, (_, value) in _changes(one).items()]
    if grown:
        entry = {**whole.manifest["resumed"][-1], "overrides": grown}
        run.manifest["resumed"] = [*run.manifest["resumed"], entry]


def _require_unchanged(one: PartRun) -> None:
    """What follows a finished stage was built on it, so its keys cannot change."""
    for key, (before, after) in _changes(one).items():
        raise ValueError(
            f"stage.{one.part.key}.{key} cannot change from {before} to {after}: "
            f"{one.part.folder} is finished; start a new pipeline"
        )


def _changes(one: PartRun) -> dict[str, tuple[Any, Any]]:
    """Keys of a begun part whose values are not those it was last run with: (before, now).

    Run-time keys are left out.
    """
    stored = stored_config(PastRun(one.run.path), one.part.stage.config)
    before = {key: value for key, value, _ in flatten(stored.stage)}
    now = [(key, value) for key, value, rule in flatten(one.config.stage) if rule != "free"]
    return {key: (before[key], value) for key, value in now if before[key] != value}


def backend_for(stage: Stage | Chain, backend: Backend) -> Backend:
    """The backend that a stage plays on."""
    own = isinstance(stage, Stage) and stage.on_own_backend
    return OWN_IMPLEMENTATION.get(backend, backend) if own else backend


def run_stage(stage: Stage, config: Config, run: Run) -> None:
    """Execute one stage in its run folder; its report is written, also where it ends early."""
    assert stage.execute is not None, stage.name
    log.info("%s in %s", stage.name, run.name)
    try:
        with run.recording():
            stage.execute(config.stage, run)
            write_own(stage.name, run.path)
            say_verdict(run)
    finally:
        report(run)


def run_chain(chain: Chain, config: Config, run: Run) -> None:
    """Execute a chain in its run folder; its report is written, also where it ends early."""
    try:
        with run.recording():
            execute(chain, config, run)
    finally:
        report(run)


def require_page(run: Run | PastRun) -> None:
    """Write report.html of a finished run that was killed before it had it."""
    page, manifest = run.path / "report.html", run.path / "manifest.json"
    is_there = page.is_file() and page.stat().st_mtime_ns >= manifest.stat().st_mtime_ns
    if not is_there and not run.path.is_symlink():
        report(run)


def report(run: Run | PastRun) -> None:
    """Write report.html; that it cannot be written is said, and ends no run."""
    with (
        only_telling(f"report of {run.name}"),
        ProgressBar(f"draw the report of {run.name}", None),
    ):
        log.debug("wrote %s", write_report(run.path))
