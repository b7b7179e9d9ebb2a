"""How good a pixel model is when it feeds on its own frames, at every horizon, beside guesses that need no model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from world_models.data.windows import WIDTH, PixelWindows
from world_models.measures.bootstrap import Doubles, ratio, ratio_interval
from world_models.measures.pixel_baselines import Baselines
from world_models.measures.vision import psnr
from world_models.models.pixel import PixelModel, PixelPrediction, roll_out
from world_models.runs.metrics import Value

Loss = Callable[[Tensor, Tensor], Tensor]
"""Frames and truth (B, T, C, H, W) -> (B, T)."""
GUESSES = ("copy", "mean", "fade")
AT_ONCE = 16
"""Pictures whose SSIM is taken at once. With more, what lies between is taken from the system and given back each time."""
MOST_DB = 60.0
"""PSNR of a single picture, at most: a picture without an error has an infinite one."""


@dataclass(frozen=True)
class PixelErrors:
    """Of N windows at T horizons: mean squared errors and SSIM by predictor; levels (N,)."""

    squares: dict[str, Doubles]  # model, shuffled, copy, mean, fade: (N, T)
    ssim: dict[str, Doubles]  # model, copy, mean, fade: (N, T)
    loss: Doubles  # what the model minimises, (N, T)
    levels: np.ndarray


@torch.inference_mode()
def pixel_errors(
    model: PixelModel, windows: PixelWindows, baselines: Baselines, device: str, loss: Loss
) -> PixelErrors:
    """Roll the model on through all windows, with the true actions and, from the last context frame on, with those of
    another level's window ("shuffled")."""
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
    others, known = strangers(windows.levels), windows.context - 1
    for first, window in zip(range(0, len(windows), WIDTH), windows, strict=True):
        foreign = windows.load(others[first : first + len(window.future)], "cpu").actions
        context, future = window.context.to(device), window.future.to(device)
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


def strangers(levels: np.ndarray) -> np.ndarray:
    """For each window, of levels (N,), another one: of another level, where there are several."""
    numbers, most = np.arange(len(levels)), int(np.unique(levels, return_counts=True)[1].max())
    if most < len(levels) < 2 * most:
        foreign = {level: numbers[levels != level] for level in np.unique(levels)}
        return np.array(
            [foreign[level][number % len(foreign[level])] for number, level in enumerate(levels)]
        )
    order, others = np.argsort(levels, kind="stable"), np.empty(len(levels), int)
    others[order] = np.roll(order, -most if most < len(levels) else -(most // 2))
    return others


def frames_of(found: list[PixelPrediction]) -> Tensor:
    """Predictions -> (B, T, C, H, W)."""
    return torch.stack([one.frame for one in found], dim=1)


def squared(frames: Tensor, truth: Tensor) -> Doubles:
    """Frames (B, T, C, H, W) in [0, 1] -> mean squared errors (B, T)."""
    return (frames.clamp(0, 1) - truth).square().flatten(2).mean(2).double().cpu().numpy()


def similarity(frames: Tensor, truth: Tensor) -> Doubles:
    """Frames (B, T, C, H, W) in [0, 1] -> SSIM (Wang et al. 2004; torchmetrics' defaults) of each (B, T)."""
    pairs = zip(
        *(pictures.flatten(0, 1).split(AT_ONCE) for pictures in (frames.clamp(0, 1), truth)),
        strict=True,
    )
    return (
        torch.cat([_similarity(*pair) for pair in pairs])
        .view(truth.shape[:2])
        .double()
        .cpu()
        .numpy()
    )


def _similarity(pictures: Tensor, truth: Tensor) -> Tensor:
    found = structural_similarity_index_measure(pictures, truth, data_range=1.0, reduction="none")
    assert isinstance(found, Tensor), type(found)
    return found.view(-1)


def horizon_rows(errors: PixelErrors) -> list[dict[str, Value]]:
    """One row per horizon: errors, PSNR of the pooled error in dB, SSIM, and skill 1 - mse/baseline.

    Intervals are 95 %, bootstrap over levels. `win_rate`: windows that beat the copy, ties counted half.
    `psnr_per_image`: mean over windows, no more than 60 dB each. `delta_psnr`: what the true actions are worth in dB.
    """
    level = np.unique(errors.levels, return_inverse=True)[1]
    return [_row(errors, level, step) for step in range(errors.squares["model"].shape[1])]


def _row(errors: PixelErrors, level: np.ndarray, step: int) -> dict[str, Value]:
    at = {name: values[:, step] for name, values in errors.squares.items()}
    sums: dict[str, Doubles] = {
        name: np.bincount(level, values).astype(np.float64) for name, values in at.items()
    }
    mse = {name: float(values.mean()) for name, values in at.items()}
    ssim = {name: float(values[:, step].mean()) for name, values in errors.ssim.items()}
    row: dict[str, Value] = {"horizon": step + 1, "n": len(level), "levels": int(level.max()) + 1}
    row |= {"mse": mse["model"], "psnr": psnr(mse["model"]), "ssim": ssim["model"]}
    row |= {
        "psnr_per_image": float(
            np.minimum(-10 * np.log10(np.maximum(at["model"], 1e-12)), MOST_DB).mean()
        )
    }
    for name in GUESSES:
        row |= {
            f"{name}_mse": mse[name],
            f"{name}_psnr": psnr(mse[name]),
            f"{name}_ssim": ssim[name],
        }
    for name in GUESSES:
        low, high = ratio_interval(sums["model"], sums[name])
        row |= {
            f"skill_{name}": 1 - ratio(sums["model"], sums[name]),
            f"skill_{name}_low": 1 - high,
        }
        row |= {f"skill_{name}_high": 1 - low}
    best = min(GUESSES, key=lambda name: mse[name])
    row |= {"skill_best": row[f"skill_{best}"]}
    row |= {"win_rate": float((np.sign(at["copy"] - at["model"]) + 1).mean() / 2)}
    row |= {
        "shuffled_action_mse": mse["shuffled"],
        "delta_psnr": psnr(mse["model"]) - psnr(mse["shuffled"]),
    }
    return row


def told(rows: list[dict[str, Value]]) -> str:
    """A judgement in a line for people: error over that of copying the last frame."""
    shown = [row for row in rows if row["horizon"] in (1, 2, 4, 8, 16, 32)]
    ratios = ", ".join(f"{1 - float(row['skill_copy']):.2f} at {row['horizon']}" for row in shown)
    return f"{rows[0]['psnr']:.2f} dB one frame ahead; error over that of copying: {ratios}"
