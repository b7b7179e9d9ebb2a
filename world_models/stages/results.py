"""Stage results: scores of several algorithms in several games, compared."""

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from world_models.config.stage import Look, Stage
from world_models.figures.wording import plain_console
from world_models.measures.score_files import read_scores_folder
from world_models.report.page import Listing
from world_models.report.results import NOTE, listings, write_results
from world_models.runs.folder import display_path
from world_models.runs.progress import ProgressBar
from world_models.runs.quotes import printable
from world_models.runs.run import PATH

log = logging.getLogger(__name__)


@dataclass
class ResultsConfig:
    """`scores`: a folder of JSON files, one for each algorithm, game -> list of runs."""

    # folder of JSON files
    scores: str | None = field(default=None, metadata=PATH)
    low: str = "RANDOM"  # the file of the scores that count as 0
    high: str = "HUMAN"  # the file of the scores that count as 1


def compare(cfg: ResultsConfig, outputs: Path, console: Console | None = None) -> None:
    """Print the tables, and write them with plots as a page below the outputs."""
    if cfg.scores is None:
        raise ValueError(
            "stage.scores is missing: name a folder of JSON files, one for each algorithm"
        )
    folder = Path(cfg.scores)
    algorithms = read_scores_folder(folder, cfg.low, cfg.high)
    with ProgressBar("compare scores", None):
        tables = listings(algorithms)
        page = write_results(outputs / "results" / folder.absolute().name, algorithms, tables)
    console = console or plain_console()
    for listing in tables:
        console.print(_table(listing), "")
    console.print(NOTE)
    log.info("look at %s", display_path(page))


def _table(listing: Listing) -> Table:
    title = {"title": listing.caption, "title_justify": "left"}
    table = Table(*map(printable, listing.columns), box=None, pad_edge=False, **title)  # type: ignore[arg-type]
    for index, row in enumerate(listing.rows):
        table.add_row(*map(printable, row), style="bold" if index == listing.best else None)
    return table


def look(cfg: ResultsConfig) -> Look:
    """The comparison is all that this stage does."""
    return partial(compare, cfg)


STAGE = Stage("results", ResultsConfig, look=look)
