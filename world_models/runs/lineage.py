"""Which run was built on what: following recorded inputs, and how environments differ."""

from pathlib import Path
from typing import Any

from world_models.runs.past import PastRun


def status(path: Path) -> str:
    """See PastRun.status."""
    return PastRun(path).status


def input_of(run: Path, kind: str) -> Path:
    """See PastRun.input."""
    return PastRun(run).input(kind)


def difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """In which keys two environments differ, and how."""
    keys = [key for key in ours if theirs.get(key) != ours[key]]
    return "; ".join(f"{key} is {theirs.get(key)} there and {ours[key]} here" for key in keys)
