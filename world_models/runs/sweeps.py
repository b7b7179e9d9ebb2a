"""The folder of a sweep: its job list, and how each job stands."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import Field

from world_models.runs.files import read_json, write_json
from world_models.runs.folder import display_path
from world_models.runs.parsing import Stored, Text, damaged, require
from world_models.runs.past import PastRun
from world_models.runs.places import led_to
from world_models.runs.program import Program
from world_models.runs.quotes import without_quotes

log = logging.getLogger(__name__)

SCHEMA = 1
SWEEP_FILE = "sweep.json"
MOST_JOBS = 10_000
FAILURE_FILE = "failure.json"  # in a job's folder: why its last attempt failed


class _Failure(Stored):
    error: str


@dataclass(frozen=True)
class Sweep:
    """What sweep.json holds: written before job 0, never changed."""

    began: str
    command: list[str]
    directory: str  # where relative paths in the jobs begin, seen from the sweep's folder
    launcher: list[str]  # Hydra's overrides about who runs the jobs
    swept: list[str]  # keys that were given several values
    jobs: list[list[str]]  # the overrides of every job
    # the words before the command's arguments; our own program in what was written before
    program: list[str] = field(default_factory=lambda: list(Program().typed))

    def base(self, folder: Path) -> Path:
        """Where relative paths in the jobs of this sweep, which lies in `folder`, begin.

        Nobody works there: a program that is started in a folder imports what lies in it.
        """
        begun_in = led_to(folder.absolute(), self.directory)
        return begun_in if begun_in.is_dir() else Path.cwd()

    def values(self, number: int) -> dict[str, str]:
        """The swept keys of a job and its values of them, as typed."""
        pairs = [item.partition("=")[::2] for item in self.jobs[number]]
        given = {key.lstrip("+"): without_quotes(value) for key, value in pairs}
        return {key: given[key] for key in self.swept if key in given}


class _SweepFields(Stored):
    """The fields of `Sweep` as sweep.json holds them."""

    began: Text
    command: list[Text]
    directory: Text
    launcher: list[Text]
    swept: list[Text]
    jobs: list[list[Text]] = Field(min_length=1, max_length=MOST_JOBS)
    program: list[Text] = Field(list(Program().typed))


def write_sweep(folder: Path, sweep: Sweep) -> None:
    """Write sweep.json."""
    write_json(folder / SWEEP_FILE, {"schema": SCHEMA, **asdict(sweep)})


def read_sweep(folder: Path) -> Sweep:
    """Read sweep.json; one without a job list, or of another version, is a ValueError."""
    path = folder / SWEEP_FILE
    content = read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(
            f"{display_path(path)} holds no job list that this version can read: "
            "start the sweep again"
        )
    require(_SweepFields, content, path)
    sweep = Sweep(**{name: content[name] for name in _SweepFields.model_fields if name in content})
    for number in range(len(sweep.jobs)):
        if len(sweep.values(number)) < len(sweep.swept):
            raise damaged(path, f"job {number} has no value of a key that was swept")
    return sweep


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / SWEEP_FILE).is_file()


@contextmanager
def attempt(folder: Path) -> Iterator[None]:
    """One attempt at a job: why it failed stands in its folder until the next."""
    folder.mkdir(exist_ok=True)
    forget_failure(folder)
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        log.error("job %s failed: %s", folder.name, error)
        log.debug("where it happened", exc_info=True)
        note_failure(folder, str(error) or type(error).__name__)
        raise


def forget_failure(folder: Path) -> None:
    """A job is about to be tried again."""
    (folder / FAILURE_FILE).unlink(missing_ok=True)


def has_failed(folder: Path) -> bool:
    """Whether the last attempt at a job failed."""
    return (folder / FAILURE_FILE).is_file()


def failure(folder: Path) -> str:
    """Why the last attempt at a job failed; empty where that is not written down."""
    path = folder / FAILURE_FILE
    if not path.is_file():
        return ""
    content = read_json(path)
    require(_Failure, content, path)
    return str(content["error"])


def note_failure(folder: Path, error: str) -> None:
    """Write down why a job failed."""
    folder.mkdir(exist_ok=True)
    write_json(folder / FAILURE_FILE, {"error": error})


def job_status(folder: Path) -> str:
    """How a job stands, from its folder alone."""
    stated = PastRun(folder).status if (folder / "manifest.json").is_file() else "not started"
    return "failed" if has_failed(folder) and stated != "finished" else stated
