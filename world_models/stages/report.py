"""Stage report: the pages of runs written anew, several runs side by side, a run as it goes on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from world_models.config.stage import Look, Stage
from world_models.report.comparison import compare
from world_models.report.live import follow
from world_models.report.report import Page, page_of, write_page
from world_models.runs.files import typed_path
from world_models.runs.folder import display_path
from world_models.runs.numbers import require_positive
from world_models.runs.past import top_runs
from world_models.runs.run import PATH, RUNTIME
from world_models.runs.sweeps import is_sweep, read_sweep
from world_models.runs.times import moment

log = logging.getLogger(__name__)


@dataclass
class ReportConfig:
    """The page of a run, written anew; of several runs one page that shows them side by side."""

    # run folders, and folders of sweeps, all whose jobs are taken; empty: the newest run
    runs: list[str] = field(default_factory=list, metadata=RUNTIME)
    # the page. null: report.html of the run (while it goes on live.html), of several
    # comparison.html in the working folder
    file: str | None = field(default=None, metadata={**RUNTIME, **PATH})
    # write it anew while the runs go on; the browser fetches it anew, too
    follow: bool = field(default=False, metadata=RUNTIME)
    # of follow: seconds between two pages
    every: float = field(default=10.0, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive("stage", self, "every")
        if self.file is not None and Path(self.file).suffix != ".html":
            raise ValueError(f"stage.file is {self.file}; its name must end in .html")


def write_reports(cfg: ReportConfig, outputs: Path) -> None:
    """Write the page that is asked for, once or as long as its runs go on."""
    named = [_named(path) for path in cfg.runs] or [_newest(outputs)]
    path = Path(cfg.file) if cfg.file is not None else _usual_place(cfg, named)
    write = partial(_write, named, path, cfg.every)
    if cfg.follow:
        write(True)
        log.info("open %s in a browser", display_path(path))
        follow(named, path, write, cfg.every)
    else:
        write(False)
    size = path.stat().st_size / 1e6
    log.info("%s (%.1f MB, all in this one file)", display_path(path), size)


def _named(path: str) -> Path:
    folder = typed_path(path).absolute()
    if not (is_sweep(folder) or (folder / "manifest.json").is_file()):
        raise ValueError(f"stage.runs: {path} is the folder of no run and of no sweep")
    return folder


def _newest(outputs: Path) -> Path:
    runs = top_runs(outputs.absolute())
    if not runs:
        raise ValueError(f"there is no run in {outputs}: name some, as stage.runs=[<run folder>]")
    return max(runs, key=lambda run: moment(run.manifest["created"])).path


def _usual_place(cfg: ReportConfig, named: Sequence[Path]) -> Path:
    if len(_runs_in(named)) > 1:
        return Path("comparison.html")
    return named[0] / ("live.html" if cfg.follow else "report.html")


def _runs_in(named: Sequence[Path]) -> list[Path]:
    """Run folders; of a sweep those of all jobs that are begun."""
    every = [folder for path in named for folder in (_jobs(path) if is_sweep(path) else [path])]
    if not every:
        raise ValueError(f"no job of {display_path(named[0])} has begun")
    return list(dict.fromkeys(every))


def _jobs(sweep: Path) -> list[Path]:
    folders = [sweep / str(number) for number in range(len(read_sweep(sweep).jobs))]
    return [folder for folder in folders if (folder / "manifest.json").is_file()]


def _write(named: Sequence[Path], path: Path, every: float, live: bool) -> None:
    page = _page(_runs_in(named))
    write_page(path, replace(page, again=every) if live else page)


def _page(folders: list[Path]) -> Page:
    return page_of(folders[0]) if len(folders) == 1 else compare(folders)


def look(cfg: ReportConfig) -> Look:
    """Pages are all that this stage makes."""
    return partial(write_reports, cfg)


STAGE = Stage("report", ReportConfig, look=look)
