"""M's dreams beside the truth: strips and videos."""

import numpy as np

from world_models.data.store import EpisodeStore
from world_models.figures.media import labelled_rows, save_png, save_video, side_by_side
from world_models.measures.dreams import Panels, dream, dream_at_temperatures
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import tracked
from world_models.runs.run import Run
from world_models.stages.mdrnn.config import MDRNNConfig
from world_models.worlds.latent import WorldModel


def show_dream(
    cfg: MDRNNConfig, run: Run, world: WorldModel, store: EpisodeStore, name: str
) -> None:
    """A strip of M's open-loop dream beside the truth."""
    save_strip(run, name, dream(world, store, cfg.temperature, run.seed))


def show_dreams(cfg: MDRNNConfig, run: Run, world: WorldModel, store: EpisodeStore) -> None:
    """Strips and videos of the dream beside the truth, and at several temperatures."""
    shown = {
        "dream": lambda: dream(world, store, cfg.temperature, run.seed),
        "temperatures": lambda: dream_at_temperatures(world, store, run.seed),
    }
    for name, draw in tracked("show dreams", shown.items(), len(shown), "films"):
        panels = draw()
        save_strip(run, name, panels)
        save_video(run.path / "videos" / f"{name}.mp4", side_by_side(panels), fps=15)


def save_strip(run: Run, name: str, panels: Panels) -> None:
    """Ten frames of every panel, from the first to the last."""
    picks = np.unique(evenly_spaced(len(panels["truth"]), 10, rounded=False))
    strip = labelled_rows({label: frames[picks] for label, frames in panels.items()})
    path = run.path / "images" / f"{name}.png"
    save_png(path, strip)
    run.show(path)
