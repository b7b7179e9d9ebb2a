"""A run as its page shows it: what its manifest says amiss is left out, and named."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from world_models.runs.files import read_json
from world_models.runs.folder import display_path
from world_models.runs.parsing import Stored, flaws
from world_models.runs.past import PastRun

LONGEST_RUN = 1e10
"""Seconds; what lasted longer cannot be."""


class _Input(Stored):
    kind: str
    path: str
    sha256: str


class _Part(Stored):
    folder: str
    stage: str


class _Source(Stored):
    path: str
    sha256: str


class _Commit(Stored):
    commit: str


class _Shown(Stored):
    """Fields of a manifest that the page reads."""

    status: str = ""
    created: str = ""
    experiment: str | None = None
    error: str | None = None
    env: dict[str, Any] | None = None
    command: list[Any] | None = None
    versions: dict[str, Any] | None = None
    machine: dict[str, Any] | None = None
    git: _Commit | None = None
    reused: dict[str, _Source] | None = None
    inputs: list[_Input] | None = None
    parts: list[_Part] = Field([])
    wall_seconds: Annotated[float, Field(ge=0, le=LONGEST_RUN)] | None = None


def shown_run(folder: Path) -> tuple[PastRun, list[str]]:
    """A run without the fields of its manifest that are not what they should be, and their names.

    A folder that is no run is a ValueError.
    """
    run = PastRun(folder)
    if not (folder / "manifest.json").is_file():
        raise ValueError(f"{run.name} is no run folder: it has no manifest.json")
    content = read_json(folder / "manifest.json")
    if not isinstance(content, dict) or not isinstance(content.get("stage"), str):
        raise ValueError(
            f"{display_path(folder)} is no run folder: its manifest.json names no stage"
        )
    odd = _odd_fields(content)
    kept = {name: value for name, value in content.items() if name not in odd}
    run.manifest = {"status": "damaged", **kept}
    return run, odd


def _odd_fields(content: dict[str, Any]) -> list[str]:
    try:
        _Shown.model_validate(content)
    except ValidationError as error:
        return list(dict.fromkeys(str(found["loc"][0]) for found in flaws(error)))
    return []
