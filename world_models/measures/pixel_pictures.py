"""Pictures of what a pixel model predicts: strips, videos, and its errors by horizon."""

from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from world_models.data.datasets import to_bytes
from world_models.data.windows import PixelWindows
from world_models.figures.media import labelled_rows, save_gif, save_png, save_video, side_by_side
from world_models.figures.plots import BLUE, GREEN, GREY, ORANGE, PLOT_STYLE
from world_models.measures.pixel import frames_of
from world_models.measures.rows import HorizonRow
from world_models.models.pixel import PixelModel, roll_out
from world_models.runs.files import replacing

WINDOWS_SHOWN = 4
"""Windows in a strip or a video.

They are the middle ones of as many equal groups, from little change to much.
"""
DARK_FRAMES = 4
"""Between two windows of a video."""
BASELINE_CURVES = {
    "copy": (GREY, "copy last frame"),
    "mean": (GREEN, "training mean"),
    "fade": (ORANGE, "fade between them"),
}


def save_strip(path: Path, model: PixelModel, windows: PixelWindows, device: str) -> None:
    """Draw rows of the context, the true next frame, the predicted one, the copy, and the error."""
    context, _, predicted, truth = rolled(model, windows, device, 1)
    heads = [
        f"t{step - windows.context + 1}" if step < windows.context - 1 else "t"
        for step in range(windows.context)
    ]
    columns = torch.cat(
        [context, truth, predicted, context[:, -1:], (predicted - truth).abs()], dim=1
    )
    rows = {f"{number + 1}": _tiles(window) for number, window in enumerate(columns)}
    save_png(path, labelled_rows(rows, [*heads, "truth", "predicted", "copy", "error"]))


def save_rollout_video(
    path: Path, model: PixelModel, windows: PixelWindows, device: str, fps: int
) -> None:
    """Film some windows, one after the other.

    Left is what happened, right what the model went on to predict.
    """
    save_video(path, side_by_side(_panels(model, windows, device)), fps)


def save_rollout_gif(
    path: Path, model: PixelModel, windows: PixelWindows, device: str, fps: int
) -> None:
    """The same as `save_rollout_video`, as a GIF."""
    save_gif(path, side_by_side(_panels(model, windows, device), height=160), fps)


def _panels(model: PixelModel, windows: PixelWindows, device: str) -> dict[str, np.ndarray]:
    _, _, predicted, truth = rolled(model, windows, device, windows.horizon)
    return {"truth": _joined(truth), "prediction": _joined(predicted)}


def _joined(windows: Tensor) -> np.ndarray:
    """Windows (N, T, C, H, W) one after the other, with dark frames in between."""
    dark = windows.new_zeros(DARK_FRAMES, *windows.shape[2:])
    parts = [part for window in windows for part in (window, dark)]
    return _tiles(torch.cat(parts[:-1]))


@torch.inference_mode()
def rolled(
    model: PixelModel, windows: PixelWindows, device: str, horizon: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Context, actions, predicted and true frames of the windows shown, for `horizon` frames.

    All are on the CPU.
    """
    places = np.unique(
        ((np.arange(WINDOWS_SHOWN) + 0.5) * len(windows) / WINDOWS_SHOWN).astype(int)
    )
    window = windows.load(windows.by_change[places], device)
    actions = window.actions[:, : windows.context - 1 + horizon]
    predicted = frames_of(roll_out(model, window.context, actions))
    future = window.future[:, :horizon]
    return window.context.cpu(), actions.cpu(), predicted.cpu(), future.cpu()


def _tiles(frames: Tensor) -> np.ndarray:
    """Frames (N, C, H, W), those of a model perhaps outside of [0, 1] -> uint8 (N, H, W, C)."""
    return to_bytes(frames.clamp(0, 1)).numpy()


def save_rollout_plot(path: Path, rows: list[HorizonRow]) -> None:
    """MSE, PSNR and SSIM against the horizon, the baselines drawn in."""
    horizons = [row.horizon for row in rows]
    with rc_context(PLOT_STYLE):
        figure = Figure(figsize=(13, 3.8), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        mse, psnr, ssim = figure.subplots(1, 3)
        for name, (colour, label) in BASELINE_CURVES.items():
            mse.plot(
                horizons, [getattr(row, f"{name}_mse") for row in rows], color=colour, label=label
            )
            psnr.plot(horizons, [getattr(row, f"{name}_psnr") for row in rows], color=colour)
            ssim.plot(horizons, [getattr(row, f"{name}_ssim") for row in rows], color=colour)
        mse.plot(
            horizons,
            [row.shuffled_action_mse for row in rows],
            color=BLUE,
            linestyle=":",
            label="model, shuffled actions",
        )
        for axes, name in ((mse, "mse"), (psnr, "psnr"), (ssim, "ssim")):
            axes.plot(
                horizons,
                [getattr(row, name) for row in rows],
                color=BLUE,
                linewidth=2.2,
                label="model",
            )
            axes.set_xlabel("frames ahead")
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        mse.set_title("mean squared error", fontsize=12)
        psnr.set_title("PSNR, dB", fontsize=12)
        ssim.set_title("SSIM", fontsize=12)
        mse.set_ylim(bottom=0)
        figure.legend(
            *mse.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            figure.savefig(file, dpi=110, format="png")
