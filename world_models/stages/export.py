"""Stage export: V, M and C as one HTML file that dreams in any browser, or as ONNX files."""

import logging
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from world_models.config.stage import Setting, Stage
from world_models.models.convvae import ConvVAE, SmallConvVAE
from world_models.play.beginnings import beginnings_of
from world_models.play.cast import Cast
from world_models.play.export import page_of
from world_models.play.networks import require_onnx, write_networks
from world_models.play.opening import open_cast
from world_models.runs.files import replacing
from world_models.runs.folder import display_path
from world_models.runs.run import PATH, RUNTIME, Run

log = logging.getLogger(__name__)


class To(Enum):
    """What is made."""

    # a page in which M's dream goes on
    html = "html"
    # a folder of networks
    onnx = "onnx"


@dataclass
class ExportConfig:
    """What is made, and where it goes."""

    to: To = field(default=To.html, metadata=RUNTIME)  # what is made
    # an .html file, of to=onnx a folder; what is there is replaced. null: dream.html, or onnx
    file: str | None = field(default=None, metadata={**RUNTIME, **PATH})

    def __post_init__(self) -> None:
        is_page = self.file is not None and Path(self.file).suffix == ".html"
        if self.to is To.html and self.file is not None and not is_page:
            raise ValueError(f"stage.file is {self.file}; its name must end in .html")
        if self.to is To.onnx and (is_page or Path(self.file or ".").is_file()):
            raise ValueError(f"stage.file is {self.file}; with stage.to=onnx it is a folder")


def resolve(cfg: ExportConfig, setting: Setting) -> ExportConfig:
    """A copy with an absolute path; ONNX files need an extra."""
    if cfg.to is To.onnx:
        require_onnx()
    default = "dream.html" if cfg.to is To.html else "onnx"
    return replace(cfg, file=str(Path(cfg.file or default).absolute()))


def execute(cfg: ExportConfig, run: Run) -> None:
    """Write the page, or the networks."""
    assert cfg.file is not None, cfg
    path, cast = Path(cfg.file), open_cast(run, None)
    if cast.tokens is not None:
        raise ValueError("stage=export is for V, M and C: an agent that reads tokens has none")
    if cfg.to is To.html:
        write_page(run, cast, path)
        return
    distances = write_networks(cast, path)
    log.info(
        "wrote %s to %s; ONNX Runtime gives what torch gives within %.1g",
        ", ".join(f"{name}.onnx" for name in distances),
        display_path(path),
        max(distances.values()),
    )


def write_page(run: Run, cast: Cast, path: Path) -> None:
    """One HTML file; a V or M that is not of the package is a ValueError."""
    model = cast.model
    ours = (ConvVAE, SmallConvVAE)
    if model is not None and (type(model.vae) not in ours or "cell" in model.mdrnn.config):
        raise ValueError(
            "stage.to=html knows the V and M of this package alone, and yours is another: "
            "use stage.to=onnx"
        )
    page = page_of(cast, beginnings_of(run, cast))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(page.encode())
    size = path.stat().st_size / 1e6
    log.info("open %s in a browser (%.1f MB, all in this one file)", display_path(path), size)


def makes_no_run(cfg: ExportConfig) -> bool:
    """All that is made lies where it was asked for."""
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
    on_one_thread=True,
)
