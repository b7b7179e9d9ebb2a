"""How good a pixel model is when it feeds on its own frames, at every horizon.

Beside it stand guesses that need no model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from world_models.data.windows import WINDOWS_AT_ONCE, PixelWindows
from world_models.measures.bootstrap import Doubles, ratio, ratio_interval
from world_models.measures.pixel_baselines import Baselines
from world_models.measures.rows import GUESSES, HORIZONS_SHOWN, HorizonRow
from world_models.measures.vision import psnr
from world_models.models.pixel import PixelModel, PixelPrediction, roll_out

Loss = Callable[[Tensor, Tensor], Tensor]
"""Frames and truth (B, T, C, H, W) -> (B, T)."""
PICTURES_AT_ONCE = 16
"""Pictures whose SSIM is taken at once.

With more, the memory in between is taken from the system and given back each time.
"""
BORDER = 5
"""Pixels at the edge of a picture around which no whole window of SSIM lies."""
MOST_PSNR = 60.0
"""PSNR of a single picture, at most: a picture without an error has an infinite one."""


@dataclass(frozen=True)
class PixelErrors:
    """Of N windows at T horizons: mean squared errors and SSIM, by predictor."""

    # model, shuffled, copy, mean, fade: (N, T)
    squares: dict[str, Doubles]
    # model, copy, mean, fade: (N, T)
    ssim: dict[str, Doubles]
    # what the model minimises, (N, T)
    loss: Doubles
    # (N,)
    levels: np.ndarray


@torch.inference_mode()
def pixel_errors(
    model: PixelModel, windows: PixelWindows, baselines: Baselines, device: str, loss: Loss
) -> PixelErrors:
    """Roll the model on through all windows.

    It is given the true actions, and then those of another level's window from the last context
    frame on ("shuffled").
    """
    model.eval()
    parts = list(_parts(model, windows, baselines, device, loss))
    squares = {
        name: np.concatenate([part.squares[name] for part in parts]) for name in parts[0].squares
    }
    ssim = {name: np.concatenate([part.ssim[name] for part in parts]) for name in parts[0].ssim}
    losses = np.concatenate([part.loss for part in parts])
    return PixelErrors(squares, ssim, losses, windows.levels)


def _parts(
    model: PixelModel, windows: PixelWindows, baselines: Baselines, device: str, loss: Loss
) -> Iterator[PixelErrors]:
    others = windows_of_other_levels(windows.levels)
    known = windows.context - 1
    for first, window in zip(range(0, len(windows), WINDOWS_AT_ONCE), windows, strict=True):
        foreign = windows.load(others[first : first + len(window.future)], "cpu").actions
        context = window.context.to(device)
        future = window.future.to(device)
        guesses = baselines.guesses(context[:, -1])
        for name, actions in (("model", window.actions), ("shuffled", foreign)):
            given = torch.cat([window.actions[:, :known], actions[:, known:]], dim=1)
            guesses[name] = frames_of(roll_out(model, context, given.to(device)))
        yield PixelErrors(
            {name: squared(frames, future) for name, frames in guesses.items()},
            {name: similarity(guesses[name], future) for name in ("model", *GUESSES)},
            loss(guesses["model"], future).double().cpu().numpy(),
            windows.levels[first : first + len(future)],
        )


def windows_of_other_levels(levels: np.ndarray) -> np.ndarray:
    """For each window, of levels (N,), another one: of another level, where there are several."""
    numbers = np.arange(len(levels))
    most = int(np.unique(levels, return_counts=True)[1].max())
    if most < len(levels) < 2 * most:
        foreign = {level: numbers[levels != level] for level in np.unique(levels)}
        return np.array(
            [foreign[level][number % len(foreign[level])] for number, level in enumerate(levels)]
        )
    order = np.argsort(levels, kind="stable")
    others = np.empty(len(levels), int)
    others[order] = np.roll(order, -most if most < len(levels) else -(most // 2))
    return others


def frames_of(found: list[PixelPrediction]) -> Tensor:
    """Predictions -> (B, T, C, H, W)."""
    return torch.stack([one.frame for one in found], dim=1)


def squared(frames: Tensor, truth: Tensor) -> Doubles:
    """Frames (B, T, C, H, W) in [0, 1] -> mean squared errors (B, T)."""
    return (frames.clamp(0, 1) - truth).square().flatten(2).mean(2).double().cpu().numpy()


def similarity(frames: Tensor, truth: Tensor) -> Doubles:
    """Frames (B, T, C, H, W) in [0, 1] -> SSIM of each (B, T), the mean over its channels.

    As published (Wang et al. 2004): Gaussian windows of 11 pixels with deviation 1.5, K1 = 0.01,
    K2 = 0.03, and the mean over those that lie whole inside the picture.
    """
    drawn = frames.clamp(0, 1).flatten(0, 1).split(PICTURES_AT_ONCE)
    true = truth.flatten(0, 1).split(PICTURES_AT_ONCE)
    found = torch.cat([_similarity(*pair) for pair in zip(drawn, true, strict=True)])
    return found.view(truth.shape[:2]).double().cpu().numpy()


def _similarity(pictures: Tensor, truth: Tensor) -> Tensor:
    """SSIM (N,) of pictures (N, C, H, W). torchmetrics' own mean counts mirrored borders, too."""
    _, found = structural_similarity_index_measure(
        pictures, truth, data_range=1.0, reduction="none", return_full_image=True
    )
    return found[..., BORDER:-BORDER, BORDER:-BORDER].flatten(1).mean(1)


def horizon_rows(errors: PixelErrors) -> list[HorizonRow]:
    """One row per horizon: errors, PSNR of the pooled error in dB, SSIM, and skill.

    Skill is 1 - mse/baseline. Intervals are 95 %, bootstrap over levels. `win_rate`: windows that
    beat the copy, ties counted half. `psnr_per_image`: mean over windows, no more than 60 dB each.
    `delta_psnr`: what the true actions are worth in dB.
    """
    level = np.unique(errors.levels, return_inverse=True)[1]
    return [_row(errors, level, step) for step in range(errors.squares["model"].shape[1])]


def _row(errors: PixelErrors, level: np.ndarray, step: int) -> HorizonRow:
    at = {name: values[:, step] for name, values in errors.squares.items()}
    mse = {name: float(values.mean()) for name, values in at.items()}
    ssim = {name: float(values[:, step].mean()) for name, values in errors.ssim.items()}
    guesses = {}
    for name in GUESSES:
        guesses[f"{name}_mse"] = mse[name]
        guesses[f"{name}_psnr"] = psnr(mse[name])
        guesses[f"{name}_ssim"] = ssim[name]
    skills = _skills(at, level)
    best = min(GUESSES, key=lambda name: mse[name])
    per_image = -10 * np.log10(np.maximum(at["model"], 1e-12))
    return HorizonRow(
        horizon=step + 1,
        n=len(level),
        levels=int(level.max()) + 1,
        mse=mse["model"],
        psnr=psnr(mse["model"]),
        ssim=ssim["model"],
        psnr_per_image=float(np.minimum(per_image, MOST_PSNR).mean()),
        skill_best=skills[f"skill_{best}"],
        win_rate=float((np.sign(at["copy"] - at["model"]) + 1).mean() / 2),
        shuffled_action_mse=mse["shuffled"],
        delta_psnr=psnr(mse["model"]) - psnr(mse["shuffled"]),
        **guesses,  # type: ignore[arg-type]
        **skills,  # type: ignore[arg-type]
    )


def _skills(at: dict[str, Doubles], level: np.ndarray) -> dict[str, float]:
    """Skill beside each guess, with its interval, from the errors (N,) at one horizon."""
    sums: dict[str, Doubles] = {
        name: np.bincount(level, values).astype(np.float64) for name, values in at.items()
    }
    found = {}
    for name in GUESSES:
        low, high = ratio_interval(sums["model"], sums[name])
        found[f"skill_{name}"] = 1 - ratio(sums["model"], sums[name])
        found[f"skill_{name}_low"] = 1 - high
        found[f"skill_{name}_high"] = 1 - low
    return found


def log_line(rows: list[HorizonRow]) -> str:
    """A judgement in a line for people: error over that of copying the last frame."""
    shown = [row for row in rows if row.horizon in HORIZONS_SHOWN]
    ratios = ", ".join(f"{1 - row.skill_copy:.2f} at {row.horizon}" for row in shown)
    return f"{rows[0].psnr:.2f} dB one frame ahead; error over that of copying: {ratios}"
