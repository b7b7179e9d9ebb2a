"""Metrics mirrored to Weights & Biases, for those who ask for it."""

from pathlib import Path

from world_models.runs.metrics import Mirror, Value


def wandb_mirror(mode: str, project: str, folder: Path) -> Mirror:
    """A function that logs every CSV row to one W&B run; a missing package is a ValueError."""
    try:
        import wandb
    except ImportError:
        raise ValueError('wandb.mode needs the extra "wandb": pip install "world-models[wandb]"') from None
    run = wandb.init(project=project, mode=mode, dir=str(folder), id=folder.name, resume="allow")  # type: ignore[arg-type]

    def mirror(name: str, row: dict[str, Value]) -> None:
        run.log({f"{name}/{key}": value for key, value in row.items()})

    return mirror
