"""Metrics mirrored to Weights & Biases, for those who ask for it."""

import hashlib
import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

from world_models.runs.metrics import Mirror, Value

log = logging.getLogger(__name__)


def require_wandb() -> None:
    """A missing package is a ValueError."""
    if importlib.util.find_spec("wandb") is None:
        raise ValueError('wandb.mode needs the extra "wandb": pip install "world-models[wandb]"')


def wandb_mirror(mode: str, project: str, folder: Path) -> Mirror:
    """A function that logs every CSV row and picture to the one W&B run of this run folder."""
    wandb: Any = importlib.import_module("wandb")
    name = "/".join(folder.parts[-3:])
    identity = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    settings = wandb.Settings(silent=True)
    run = wandb.init(
        project=project,
        mode=mode,
        dir=str(folder),
        name=name,
        id=identity,
        resume="allow",
        settings=settings,
    )
    log.info("Weights & Biases: %s", run.url or run.dir)

    def mirror(name: str, row: dict[str, Value | Path]) -> None:
        shown = {
            key: wandb.Image(str(value)) if isinstance(value, Path) else value
            for key, value in row.items()
        }
        run.log({f"{name}/{key}": value for key, value in shown.items()})

    return mirror
