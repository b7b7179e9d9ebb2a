"""What the manifest of a run says, checked before anything is built on it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from world_models.runs.parsing import Count, Input, Stored, Text, require

Seconds = Annotated[float, Field(ge=0, le=1e10)]
"""What lasted longer cannot be."""


class _Environment(Stored):
    id: Text


class _Commit(Stored):
    commit: Text


class _Part(Stored):
    model_config = ConfigDict(extra="forbid")

    folder: Text
    stage: Text


class _Reused(Stored):
    path: Text
    sha256: Text


class _Resumption(Stored):
    at: Text
    overrides: list[Text]
    device: Text


class RunManifest(Stored):
    """What a run that is listed, or built on, says of itself."""

    stage: Text
    status: Literal["running", "finished", "failed", "interrupted"]
    created: Text
    ended: Text | None = None
    experiment: Text | None = None
    env: _Environment
    seed: int | None = None
    device: Text = ""
    inputs: list[Input] = Field([])
    parts: list[_Part] = Field([])
    reused: dict[Text, _Reused] | None = None
    resumed: list[_Resumption] = Field([])
    error: str | None = None
    wall_seconds: Seconds = 0.0
    command: list[Text] = Field([])
    table_crc32: dict[Text, Count] = Field({})
    upstream: Text | None = None
    versions: dict[Text, Text] = Field({})
    machine: dict[Text, Any] = Field({})
    git: _Commit | None = None


class Choices(Stored):
    """What was chosen for the groups, and the keys that made the environment."""

    env: Text
    env_keys: list[Text]


class ResumableManifest(RunManifest):
    """What a run must say to go on."""

    experiment: Text | None
    choices: Choices
    seed: int
    device: Text
    inputs: list[Input]
    resumed: list[_Resumption]
    upstream: Text | None
    threads: Count
    versions: dict[Text, Text]
    machine: dict[Text, Any]
    git: _Commit | None


def require_resumable(manifest: dict[str, Any], folder: Path) -> None:
    """A manifest with which no run can go on is a ValueError that names the field."""
    require(ResumableManifest, manifest, folder / "manifest.json")
