"""A run as its page shows it: what its manifest says amiss is left out, and named."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from world_models.runs.files import read_json
from world_models.runs.manifest import RunManifest
from world_models.runs.parsing import flaws
from world_models.runs.past import PastRun


def shown_run(folder: Path) -> tuple[PastRun, list[str]]:
    """A run without the fields of its manifest that are not what they should be, and their names.

    A folder that is no run is a ValueError.
    """
    run = PastRun(folder)
    if not (folder / "manifest.json").is_file():
        raise ValueError(f"{run.name} is no run folder: it has no manifest.json")
    content = read_json(folder / "manifest.json")
    if not isinstance(content, dict) or not isinstance(content.get("stage"), str):
        raise ValueError(f"{run.name} is no run folder: its manifest.json names no stage")
    odd = _odd_fields(content)
    kept = {name: value for name, value in content.items() if name not in odd}
    run.manifest = {"status": "damaged", **kept}
    return run, odd


def _odd_fields(content: dict[str, Any]) -> list[str]:
    """Fields that are there and not what the manifest of a run holds."""
    try:
        RunManifest.model_validate(content)
    except ValidationError as error:
        odd = dict.fromkeys(str(found["loc"][0]) for found in flaws(error))
        return [name for name in odd if name in content]
    return []
