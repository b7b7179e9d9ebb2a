"""Metrics mirrored to TensorBoard's event files, for those who ask for it."""

import importlib.util
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from world_models.runs.metrics import Mirror, Value

FOLDER = "tensorboard"
"""In a run folder."""
PLACES = ("step", "generation", "epoch", "episode")
"""Columns along which a table goes on; the first that there is."""


def require_tensorboard() -> None:
    """Where the package is missing it is a ValueError."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            'tensorboard=true needs the extra "tensorboard": '
            'pip install "world-models[tensorboard]"'
        )


@contextmanager
def tensorboard_mirror(folder: Path) -> Iterator[Mirror]:
    """Inside, a function adds each number of a CSV row, and each picture, to this run's events.

    A resumed run begins another file in the same folder, which TensorBoard shows as one run.
    """
    from torch.utils.tensorboard import SummaryWriter

    config, rows = folder / "config.yaml", Counter[str]()
    with SummaryWriter(str(folder / FOLDER)) as writer:
        if config.is_file():
            # indented: Markdown shows it as it is
            text = config.read_text().splitlines()
            writer.add_text("config", "\n".join(f"    {line}" for line in text))

        def mirror(name: str, row: dict[str, Value | Path]) -> None:
            rows[name] += 1
            place = next((row[key] for key in PLACES if key in row), rows[name])
            assert isinstance(place, int), row
            for key, value in row.items():
                if isinstance(value, Path):
                    writer.add_image(f"{name}/{key}", _pixels(value), place, dataformats="HWC")
                elif isinstance(value, int | float) and key not in PLACES:
                    writer.add_scalar(f"{name}/{key}", value, place)
            writer.flush()

        yield mirror


def _pixels(path: Path) -> np.ndarray:
    """A picture as uint8 (H, W, 3)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
