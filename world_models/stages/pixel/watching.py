"""Judging in training, always on the same windows: tables, pictures, and the best is kept."""

import logging
from dataclasses import dataclass, replace

import torch

from world_models.data.datasets import ObservationDataset, SequenceDataset
from world_models.data.loading import watched_split
from world_models.data.store import EpisodeStore
from world_models.data.windows import PixelWindows
from world_models.losses import pixel_error
from world_models.measures import calibration, pixel_heads
from world_models.measures.pixel import horizon_rows, log_line, pixel_errors
from world_models.measures.pixel_baselines import FADE_WINDOWS, Baselines, fitted_baselines
from world_models.measures.pixel_pictures import save_rollout_plot, save_rollout_video, save_strip
from world_models.measures.rows import PixelRow
from world_models.measures.vision_baselines import Sample, mean_picture
from world_models.models.pixel import PixelModel
from world_models.runs.metrics import MetricsLog
from world_models.runs.rows import cells
from world_models.runs.run import Run
from world_models.runs.training import Training
from world_models.stages.pixel.config import PixelConfig

log = logging.getLogger(__name__)


MANY_WINDOWS, MANY_LEVELS = 256, 64
"""Fewer to be judged on give figures of little weight."""


@dataclass(frozen=True)
class Judged:
    """What every validation looks at."""

    # of which split it is
    split: str
    windows: PixelWindows
    # what can be guessed of the windows without a model
    baselines: Baselines
    # on which heads are judged, where the model has any
    steps: pixel_heads.HeldOutSteps | None


def open_judged(cfg: PixelConfig, run: Run, store: EpisodeStore) -> Judged:
    """The watched windows and the baselines; that there are few windows or levels is said."""
    space = run.env.action_space
    horizon = cfg.val_rollout_horizon
    split = watched_split(store, "windows")

    def windows(split: str, count: int) -> PixelWindows:
        data = SequenceDataset(store, split, cfg.n_past_frames - 1 + horizon)
        return PixelWindows(data, cfg.n_past_frames, count, space, cfg.view)

    mean = mean_picture(Sample(ObservationDataset(store, "train"), run.seed))
    seen = cfg.view((mean * 255).round().byte()[None], "cpu")[0]
    watched = windows(split, cfg.val_windows)
    levels = len(set(watched.levels.tolist()))
    if len(watched) < MANY_WINDOWS or levels < MANY_LEVELS:
        log.warning(
            "judged on %d windows of %d levels only: for figures to publish have %d windows and "
            "%d levels",
            len(watched),
            levels,
            MANY_WINDOWS,
            MANY_LEVELS,
        )
    steps = None
    if cfg.rewards or cfg.ends:
        steps = pixel_heads.HeldOutSteps.of(store, split, cfg.n_past_frames, space, cfg.view)
    return Judged(split, watched, fitted_baselines(windows("train", FADE_WINDOWS), seen), steps)


def show(
    run: Run, training: Training[PixelModel], judged: Judged, metrics: MetricsLog, when: str
) -> None:
    """A picture of what the model predicts for a few held-out windows, one frame ahead."""
    path = run.path / "images" / f"{when}_step_{training.step:08d}.png"
    save_strip(path, training.judged, judged.windows, run.device.value)
    metrics.picture(when, path)


def validate(
    cfg: PixelConfig, run: Run, training: Training[PixelModel], judged: Judged, metrics: MetricsLog
) -> None:
    """Judge the averaged weights on the fixed windows: tables, plot and video; keep the best."""
    model = training.judged
    name = f"val_rollout_step_{training.step:08d}"

    def loss(frames: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return pixel_error(frames, truth, cfg.loss, cfg.delta)

    errors = pixel_errors(model, judged.windows, judged.baselines, run.device.value, loss)
    rows = horizon_rows(errors)
    for ahead in rows:
        placed = replace(ahead, step=training.step, split=judged.split)
        metrics.write("val_rollout_metrics", placed)
    first = rows[0]
    row = PixelRow(
        step=training.step,
        val_loss=float(errors.loss[:, 0].mean()),
        val_mse=first.mse,
        val_psnr=first.psnr,
        val_ssim=first.ssim,
        copy_mse=first.copy_mse,
        copy_psnr=first.copy_psnr,
    )
    metrics.write("val_metrics", row)
    log.info("step %d: %s", training.step, log_line(rows))
    validate_heads(run, training, judged, metrics)
    save_rollout_plot(run.path / "plots" / f"{name}.png", rows)
    show(run, training, judged, metrics, "val")
    save_rollout_video(
        run.path / "videos" / f"{name}.mp4",
        model,
        judged.windows,
        run.device.value,
        cfg.val_rollout_fps,
    )
    watched = float(errors.squares["model"].mean())
    if training.stopper.update(watched):
        validation = {name: value for name, value in cells(row).items() if name.startswith("val_")}
        training.save_best(run, validation)
    model.train()


def validate_heads(
    run: Run, training: Training[PixelModel], judged: Judged, metrics: MetricsLog
) -> None:
    """Judge the heads for reward and end, where the model has any."""
    if judged.steps is None:
        return
    _, scores = pixel_heads.judge_heads(training.judged, judged.steps, run.device.value)
    for score in scores:
        metrics.write("val_head_scores", replace(score, step=training.step, split=judged.split))
    log.info("%s", calibration.log_line(scores))
