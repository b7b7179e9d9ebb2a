"""Stage export: the dream of V, M and C as one HTML file that runs in any browser."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from world_models.config.stage import Setting, Stage
from world_models.play.beginnings import beginnings_of
from world_models.play.export import page_of
from world_models.play.opening import open_cast
from world_models.runs.files import replacing
from world_models.runs.folder import display_path
from world_models.runs.run import PATH, RUNTIME, Run

log = logging.getLogger(__name__)


@dataclass
class ExportConfig:
    """Where the page goes."""

    # an .html file; one that is there is replaced
    file: str = field(default="dream.html", metadata={**RUNTIME, **PATH})

    def __post_init__(self) -> None:
        if Path(self.file).suffix != ".html":
            raise ValueError(f"stage.file is {self.file}; its name must end in .html")


def resolve(cfg: ExportConfig, setting: Setting) -> ExportConfig:
    """A copy with an absolute path."""
    return replace(cfg, file=str(Path(cfg.file).absolute()))


def execute(cfg: ExportConfig, run: Run) -> None:
    """Write the page."""
    # a batch of one row is no work to share
    torch.set_num_threads(1)
    path, cast = Path(cfg.file), open_cast(run, None)
    if cast.tokens is not None:
        raise ValueError("stage=export is for V, M and C: an agent that reads tokens has none")
    page = page_of(cast, beginnings_of(run, cast))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(page.encode())
    size = path.stat().st_size / 1e6
    log.info("open %s in a browser (%.1f MB, all in this one file)", display_path(path), size)


def makes_no_run(cfg: ExportConfig) -> bool:
    """All that is made is the page."""
    return False


STAGE = Stage(
    "export",
    ExportConfig,
    execute,
    needs=("controller", "mdrnn"),
    resolve=resolve,
    on_own_backend=True,
    plays_agents=True,
    makes_run=makes_no_run,
)
