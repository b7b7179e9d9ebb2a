"""What can be guessed of the next frames without a model."""

from dataclasses import dataclass

import torch
from torch import Tensor

from world_models.data.windows import PixelWindows

FADE_WINDOWS = 2048
"""Training windows from which the fade is fitted."""


@dataclass(frozen=True)
class Baselines:
    """Guesses without a model: the last frame, the training mean, and a fade between the two."""

    # (C, H, W): the training frames' mean
    mean: Tensor
    # (T,): weight of the last frame at each horizon
    fade: Tensor

    def guesses(self, last: Tensor) -> dict[str, Tensor]:
        """last (B, C, H, W) -> what each predicts, (B, T, C, H, W)."""
        horizon = len(self.fade)
        copy = last[:, None]
        mean = self.mean.to(last.device)[None, None]
        weight = self.fade.to(last.device)[None, :, None, None, None]
        return {
            "copy": copy.expand(-1, horizon, -1, -1, -1),
            "mean": mean.expand(len(last), horizon, -1, -1, -1),
            "fade": weight * copy + (1 - weight) * mean,
        }


def fitted_baselines(train: PixelWindows, mean: Tensor) -> Baselines:
    """The fade that least squares gives on training windows.

    w_h = <x_(t+h) - m, x_t - m> / |x_t - m|^2.
    """
    above = torch.zeros(train.horizon, dtype=torch.float64)
    below = 0.0
    for window in train:
        last = window.context[:, -1] - mean
        future = window.future - mean
        above += torch.einsum("bchw,btchw->t", last, future).double()
        below += float(last.square().sum())
    return Baselines(mean, (above / max(below, 1e-12)).float())
