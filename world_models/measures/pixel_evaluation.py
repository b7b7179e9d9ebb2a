"""A trained pixel model judged: tables, plot, video, GIF.

Its checkpoint says what environment it is of and how frames are seen.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from world_models.data.datasets import SequenceDataset
from world_models.data.loading import watched_split
from world_models.data.store import EpisodeStore
from world_models.data.windows import PixelWindows
from world_models.losses import PixelLoss, pixel_error
from world_models.measures.calibration import log_line as heads_line
from world_models.measures.pixel import horizon_rows, log_line, pixel_errors
from world_models.measures.pixel_baselines import FADE_WINDOWS, Baselines, fitted_baselines
from world_models.measures.pixel_heads import HeldOutSteps, judge_heads
from world_models.measures.pixel_pictures import (
    save_rollout_gif,
    save_rollout_plot,
    save_rollout_video,
)
from world_models.measures.rows import HorizonRow
from world_models.runs.files import write_json
from world_models.runs.metrics import MetricsLog
from world_models.runs.provenance import versions
from world_models.runs.rows import cells
from world_models.worlds.pixel import PixelPredictor

log = logging.getLogger(__name__)


def evaluate_pixel_world(
    folder: Path,
    metrics: MetricsLog,
    world: PixelPredictor,
    store: EpisodeStore,
    count: int,
    horizon: int,
    fps: int,
) -> None:
    """Judge a model on `count` windows, rolled on for `horizon` frames, and write what comes of it.

    The windows are of the store's held-out episodes. Into `folder` go scores.json,
    rollout_metrics.csv, the plot, the MP4 and the GIF. A model with heads for reward or end also
    gets calibration.csv and calibration_scores.csv.
    """
    device = world.device.type
    split = watched_split(store, "windows")
    windows = pixel_windows(world, store, split, count, horizon)
    baselines = Baselines(world.mean, world.fade[:horizon])
    if horizon > len(world.fade):
        train = pixel_windows(world, store, "train", FADE_WINDOWS, horizon)
        baselines = fitted_baselines(train, world.mean)
    rows = horizon_rows(pixel_errors(world.model, windows, baselines, device, _squared_error))
    for row in rows:
        metrics.write("rollout_metrics", replace(row, split=split))
    log.info("%d windows of the %s episodes: %s", len(windows), split, log_line(rows))
    save_rollout_plot(folder / "plots" / "rollout_metrics_vs_horizon.png", rows)
    save_rollout_video(folder / "videos" / "rollout.mp4", world.model, windows, device, fps)
    save_rollout_gif(folder / "videos" / "rollout.gif", world.model, windows, device, fps)
    table = scores(world, rows, split)
    if world.has_heads:
        steps = HeldOutSteps.of(
            store, split, world.model.context, world.env.action_space, world.view
        )
        bins, found = judge_heads(world.model, steps, device)
        for one in bins:
            metrics.write("calibration", replace(one, split=split))
        for score in found:
            metrics.write("calibration_scores", replace(score, split=split))
        table["heads"] = [cells(score) for score in found]
        log.info("%s", heads_line(found))
    write_json(folder / "scores.json", table)


def _squared_error(frames: Tensor, truth: Tensor) -> Tensor:
    """frames, truth (B, T, C, H, W) in [0, 1] -> (B, T)."""
    return pixel_error(frames, truth, PixelLoss.mse)


def pixel_windows(
    world: PixelPredictor, store: EpisodeStore, split: str, count: int, horizon: int
) -> PixelWindows:
    """Up to `count` windows of a split, as the model sees them."""
    context = world.model.context
    data = SequenceDataset(store, split, context - 1 + horizon)
    return PixelWindows(data, context, count, world.env.action_space, world.view)


def scores(world: PixelPredictor, rows: list[HorizonRow], split: str) -> dict[str, Any]:
    """The content of scores.json: the model beside its baselines at every horizon."""
    facts = {
        "env": world.env.id,
        "model": type(world.model).__name__,
        "step": world.step,
        "split": split,
    }
    return {
        **facts,
        "windows": rows[0].n,
        "levels": rows[0].levels,
        "horizons": [cells(row) for row in rows],
        "versions": versions(),
    }
