"""Next-frame pixel models: what they share. Frames and actions in, the next frame out."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

LEAST_GROUP_CHANNELS = 4
"""Fewest channels of a normalisation group.

With one, the norm would cancel what an action does to a channel.
"""


class Head(StrEnum):
    """How the next frame is made."""

    advect = "advect"  # what was there is moved, and then corrected
    residual = "residual"  # the last frame is corrected
    direct = "direct"  # the frame is drawn anew


@dataclass(frozen=True)
class PixelPrediction:
    """What a model says of the next frame; None where it has no head for it."""

    # (B, C, H, W) in [0, 1]
    frame: Tensor
    # (B,)
    reward: Tensor | None = None
    # (B,) logits of the episode's end
    done: Tensor | None = None
    # (B, K, S) logits of the shifts of K kernels
    shifts: Tensor | None = None


class PixelModel(nn.Module):
    """Reads the last `context` frames and the actions taken at the last `past_actions` of them.

    The last action leads to the frame that it predicts.
    """

    # arguments of the constructor
    config: dict[str, Any]

    @property
    def context(self) -> int:
        """k, the number of frames that it reads."""
        return int(self.config["context"])

    def forward(self, frames: Tensor, actions: Tensor) -> PixelPrediction:
        """frames (B, k, C, H, W) in [0, 1], actions (B, k, A) -> what follows."""
        raise NotImplementedError

    def predict(self, frames: Tensor, actions: Tensor) -> Tensor:
        """The next frame, of a model of grey frames that reads one action out of a numbered set.

        frames (B, k, H, W) in [0, 1], actions (B,) int64 -> (B, 1, H, W).
        """
        assert self.config["past_actions"] == self.config["img_channels"] == 1, self.config
        numbered = torch.nn.functional.one_hot(actions, self.config["action_size"]).float()
        return self(frames[:, :, None], numbered[:, None].expand(-1, self.context, -1)).frame

    def check_inputs(self, frames: Tensor, actions: Tensor) -> None:
        """Shapes that do not fit are an error of the caller."""
        expected = (len(frames), self.context, self.config["img_channels"])
        assert frames.ndim == 5 and tuple(frames.shape[:3]) == expected, (
            tuple(frames.shape),
            expected,
        )
        expected = (len(frames), self.context, self.config["action_size"])
        assert tuple(actions.shape) == expected, (tuple(actions.shape), expected)


def roll_out(model: PixelModel, frames: Tensor, actions: Tensor) -> list[PixelPrediction]:
    """Go on open loop: each prediction is made from those before it.

    frames (B, k, C, H, W), actions (B, k-1+T, A) -> T predictions. Causal: the first one reads
    actions 0 to k-1, of which the last was taken at the last given frame. The next reads 1 to k.
    """
    found: list[PixelPrediction] = []
    for step in range(actions.shape[1] - model.context + 1):
        found.append(model(frames, actions[:, step : step + model.context]))
        frames = torch.cat([frames[:, 1:], found[-1].frame[:, None]], dim=1)
    return found


class FiLM(nn.Module):
    """Scales and shifts channels by a condition, after a normalisation (Perez et al. 2018, eq. 2).

    It begins as the identity.
    """

    def __init__(self, condition: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, C, H, W), condition (B, D) -> (B, C, H, W)."""
        scale, shift = self.linear(condition)[..., None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


class ActionCondition(nn.Module):
    """The last n actions, each in its place, and `more` numbers beside them, as one vector."""

    def __init__(self, action_size: int, past_actions: int, width: int, more: int = 0) -> None:
        super().__init__()
        self.past_actions = past_actions
        self.layers = nn.Sequential(
            nn.Linear(past_actions * action_size + more, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )

    def forward(self, actions: Tensor, more: Tensor) -> Tensor:
        """actions (B, k, A) with k >= n, more (B, M) -> (B, width)."""
        return self.layers(torch.cat([actions[:, -self.past_actions :].flatten(1), more], dim=1))


def group_norm(channels: int) -> nn.GroupNorm:
    """Up to 32 groups of at least LEAST_GROUP_CHANNELS channels each.

    It has no weights of its own: FiLM has them.
    """
    groups = next(
        count
        for count in range(min(32, channels // LEAST_GROUP_CHANNELS), 0, -1)
        if channels % count == 0
    )
    return nn.GroupNorm(groups, channels, affine=False)


def with_coordinates(x: Tensor) -> Tensor:
    """x (B, C, H, W) -> (B, C+2, H, W): two planes say where a pixel is.

    They go from -1 to 1, down and to the right.
    """
    height, width = x.shape[-2:]
    down, right = (
        torch.linspace(-1, 1, size, device=x.device, dtype=x.dtype) for size in (height, width)
    )
    planes = torch.stack(torch.meshgrid(down, right, indexing="ij"))
    return torch.cat([x, planes.expand(len(x), -1, -1, -1)], dim=1)
