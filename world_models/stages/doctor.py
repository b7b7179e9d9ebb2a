"""Stage doctor: say what is installed, what is missing for what, and the command that mends it."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from world_models import __version__
from world_models.config.stage import Look, Stage
from world_models.figures.wording import plain_console
from world_models.runs.machine import Room, disk, gpus, memory, screen
from world_models.runs.numbers import num_cores
from world_models.runs.quotes import printable
from world_models.runs.requirements import CORE, Package, installing, packages

PURPOSES = {
    "torch": "models and training",
    "hydra-core": "the command line",
    "omegaconf": "configurations",
    "gymnasium": "environments, and the window of stage=play",
    "shimmy": "the Procgen games in Gymnasium",
    "procgen-mirror": "env=coinrun and the other Procgen games",
    "cma": "the search for C",
    "numpy": "arrays",
    "opencv-python-headless": "cropping and resizing frames",
    "av": "videos",
    "matplotlib": "plots",
    "pillow": "labels on pictures",
    "markupsafe": "pages",
    "pydantic": "reading stored files",
    "pyyaml": "configurations",
    "jinja2": "pages",
    "rich": "tables and progress bars",
    "torchmetrics": "SSIM",
    "threadpoolctl": "threads of numpy's linear algebra",
    "envpool": "CarRacing, several times as fast",
    "h5py": "HDF5 files in stage=convert",
    "minari": "Minari data sets in stage=convert",
    "vizdoom": "env=take_cover",
    "ale-py": "env=atari",
    "minatar": "env=minatar",
    "hydra-joblib-launcher": "jobs of a sweep side by side",
    "ray": "workers=ray, a cluster",
    "pylance": "make benchmark",
    "pyarrow": "make benchmark",
    "wandb": "wandb.mode",
    "onnx": "stage=export stage.to=onnx",
    "onnxscript": "stage=export stage.to=onnx",
    "onnxruntime": "stage=export stage.to=onnx",
    "tensorboard": "tensorboard=true",
    "starlette": "stage=play stage.ui=web",
    "uvicorn": "stage=play stage.ui=web",
    "websockets": "stage=play stage.ui=web",
    "pytest": "make test",
    "pytest-xdist": "make test",
    "ruff": "make check",
    "mypy": "make check",
    "import-linter": "make check",
    "psutil": "make test",
    "sphinx": "make docs",
    "myst-parser": "make docs",
    "furo": "make docs",
    "hatchling": "building the wheel",
    "stable-baselines3": "the example with PPO",
    "sybil": "running what the pages show",
    "pandas": "the example with curves",
}
"""What each declared package is for."""

PROGRAMS = {
    "git": ("the commit in each run's manifest", "apt install git"),
    "xvfb-run": ("a window where there is no screen", "apt install xvfb"),
    "chromium": ("tests of pages", "apt install chromium"),
}
"""Programs that are of use where they are there, what for, and how to get them."""

ENOUGH_MEMORY = 2 * 10**9
ENOUGH_DISK = 5 * 10**9
"""Bytes; with less free there is something to mend."""


class State(Enum):
    """How a thing stands."""

    good = "ok"
    # of use, and not there
    absent = "–"
    # the core cannot do without
    wrong = "!!"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, what it is for, and what mends it."""

    state: State
    what: str
    found: str
    purpose: str
    mend: str = ""


@dataclass
class DoctorConfig:
    """Nothing to set: the disk that is looked at is that of the root key `outputs`."""


def examine(outputs: Path, console: Console | None = None) -> None:
    """Print what was found; where the core cannot work it is a ValueError that names why."""
    findings = [*of_packages(), *of_programs(), *of_machine(outputs)]
    console = console or plain_console()
    console.print(f"world-models {__version__}, Python {platform.python_version()}")
    console.print(f"{platform.platform()}, {sys.executable}\n")
    console.print(_table(findings))
    wrong = [finding.what for finding in findings if finding.state is State.wrong]
    if wrong:
        raise ValueError(f"the core needs {', '.join(wrong)}: do what is said beside !! above")


def _table(findings: list[Finding]) -> Table:
    table = Table("", "what", "found", "for", "to mend it", box=None, pad_edge=False)
    for finding in findings:
        cells = (finding.what, finding.found, finding.purpose, finding.mend)
        style = "bold" if finding.state is State.wrong else None
        table.add_row(finding.state.value, *map(printable, cells), style=style)
    return table


def of_packages() -> Iterator[Finding]:
    """The declared packages, the core's first."""
    known: dict[str, Package] = {}
    for package in packages():
        # one that two extras need is said once
        known.setdefault(package.name, package)
    for package in known.values():
        purpose = PURPOSES.get(package.name, "")
        if package.fits:
            yield Finding(State.good, package.name, str(package.version), purpose)
        else:
            state = State.wrong if package.extra == CORE else State.absent
            mend = installing(package.extra)
            yield Finding(state, package.name, _lack(package), purpose, mend)


def _lack(package: Package) -> str:
    if package.version is None:
        return "not installed"
    return f"{package.version}, needed: {package.wanted}"


def of_programs() -> Iterator[Finding]:
    """Programs beside Python."""
    for name, (purpose, mend) in PROGRAMS.items():
        path = shutil.which(name)
        if path is None:
            yield Finding(State.absent, name, "not installed", purpose, mend)
        else:
            yield Finding(State.good, name, path, purpose)


def of_machine(outputs: Path) -> Iterator[Finding]:
    """Cores, memory, GPU, screen and disk."""
    yield _cores()
    yield from _memory(memory())
    yield _gpu()
    yield _screen(screen())
    yield _disk(outputs)


def _cores() -> Finding:
    load, cores = os.getloadavg()[0], num_cores()
    threads = os.environ.get("OMP_NUM_THREADS")
    found = f"{cores}, load {load:.1f}" + (f", OMP_NUM_THREADS={threads}" if threads else "")
    busy = cores > 1 and load > cores / 2
    mend = "other work keeps them busy: threads=1 may be faster" if busy else ""
    return Finding(State.good, "cores", found, "workers, and torch's threads", mend)


def _memory(room: Room | None) -> Iterator[Finding]:
    if room is not None:
        short = room.free < ENOUGH_MEMORY
        mend = "end other programs, or take fewer workers: stage.workers=1" if short else ""
        yield Finding(State.good, "memory", _written(room), "models and workers", mend)


def _gpu() -> Finding:
    purpose = "device=cuda; everything works without"
    try:
        found = gpus()
    except OSError as error:
        return Finding(State.absent, "GPU", str(error), purpose, "install the driver anew, reboot")
    if not found:
        return Finding(State.absent, "GPU", "none", purpose)
    built = [package.version or "" for package in packages() if package.name == "torch"]
    if built[0].endswith("+cpu"):
        mend = (
            "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
        )
        return Finding(State.absent, "GPU", f"{found[0]}, but torch is without CUDA", purpose, mend)
    return Finding(State.good, "GPU", ", ".join(found), purpose)


def _screen(found: str | None) -> Finding:
    purpose = "the window of stage=play"
    if found is None:
        mend = "play into a file: stage.record=<name>"
        return Finding(State.absent, "screen", "none", purpose, mend)
    return Finding(State.good, "screen", found, purpose)


def _disk(outputs: Path) -> Finding:
    what, purpose = "disk", f"runs, in {outputs}"
    try:
        room = disk(outputs.absolute())
    except OSError as error:
        mend = "name a folder that you may write: outputs=<folder>"
        return Finding(State.wrong, what, str(error.strerror or error), purpose, mend)
    short = room.free < ENOUGH_DISK
    mend = "make room, or name a folder on another disk: outputs=<folder>" if short else ""
    return Finding(State.good, what, _written(room), purpose, mend)


def _written(room: Room) -> str:
    return f"{room.free / 1e9:.1f} of {room.all / 1e9:.1f} GB free"


def look(cfg: DoctorConfig) -> Look:
    """The table is all that this stage does."""
    return examine


STAGE = Stage("doctor", DoctorConfig, look=look)
