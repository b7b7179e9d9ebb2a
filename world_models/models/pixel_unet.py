"""A small U-Net that predicts the next frame.

Every block is conditioned on the actions and on how the picture moved.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.models.motion import motion, shifts
from world_models.models.pixel import (
    ActionCondition,
    FiLM,
    PixelModel,
    PixelPrediction,
    group_norm,
    with_coordinates,
)
from world_models.models.pixel_heads import HEAD_MODULES

FOLD_FACTOR = 2
"""Pixels are folded 2x2 into channels before the first convolution, and unfolded after the last."""
SUMMARY_GRID = 4
"""The coarsest scale is summed up in 4x4 means.

What will move depends on what is where, as the ground under the player.
"""


class Block(nn.Module):
    """A residual block: twice norm, FiLM, SiLU, 3x3 convolution."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([group_norm(inputs), group_norm(outputs)])
        self.films = nn.ModuleList([FiLM(condition, inputs), FiLM(condition, outputs)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)]
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, inputs, H, W), condition (B, D) -> (B, outputs, H, W)."""
        y = x
        for norm, film, conv in zip(self.norms, self.films, self.convs, strict=True):
            y = conv(functional.silu(film(norm(y), condition)))
        return self.skip(x) + y


class PixelUNet(PixelModel):
    """U-Net (Ronneberger et al. 2015) over k folded frames.

    `widths` are the channels of its scales, finest first. The norm comes before the FiLM, so that
    no layer is blind to the actions. `rewards` and `ends` add a head each, which reads the
    coarsest scale. Measured motion (`motion.py`) saves it from learning to compare frames.
    """

    def __init__(
        self,
        img_channels: int,
        action_size: int,
        *,
        context: int = 4,
        past_actions: int = 4,
        head: str = "advect",
        widths: Sequence[int] = (24, 48, 64),
        condition: int = 128,
        rewards: bool = False,
        ends: bool = False,
    ) -> None:
        super().__init__()
        self.config = {
            "img_channels": img_channels,
            "action_size": action_size,
            "context": context,
            "past_actions": past_actions,
            "head": head,
            "widths": list(widths),
            "condition": condition,
            "rewards": rewards,
            "ends": ends,
        }
        moved = (context - 1) * shifts()
        self.condition = ActionCondition(action_size, past_actions, condition, moved)
        self.enter = nn.Conv2d(img_channels * context * FOLD_FACTOR**2 + 2, widths[0], 3, padding=1)
        self.down = nn.ModuleList([Block(width, width, condition) for width in widths])
        self.coarser = nn.ModuleList(
            [nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairwise(widths)]
        )
        self.middle = Block(widths[-1], widths[-1], condition)
        self.finer = nn.ModuleList(
            [nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths)]
        )
        self.up = nn.ModuleList([Block(2 * width, width, condition) for width in widths[:-1]])
        summary = SUMMARY_GRID**2 * widths[-1] + condition + moved
        self.head = HEAD_MODULES[head](img_channels, summary)
        self.leave_norm = group_norm(widths[0])
        self.leave_film = FiLM(condition, widths[0])
        self.leave = nn.Conv2d(widths[0], self.head.planes * FOLD_FACTOR**2, 3, padding=1)
        self.head.start_as_copy(self.leave, FOLD_FACTOR**2)
        self.reward = nn.Linear(summary, 1) if rewards else None
        self.done = nn.Linear(summary, 1) if ends else None

    def forward(self, frames: Tensor, actions: Tensor) -> PixelPrediction:
        """frames (B, k, C, H, W) in [0, 1] with even H and W, actions (B, k, A) -> what follows."""
        self.check_inputs(frames, actions)
        moved = motion(frames)
        condition = self.condition(actions, moved.flatten(1))
        folded = functional.pixel_unshuffle(frames.flatten(1, 2), FOLD_FACTOR)
        x = self.enter(with_coordinates(folded).contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for scale, block in enumerate(self.down):
            x = block(x, condition)
            if scale < len(self.coarser):
                skips.append(x)
                x = self.coarser[scale](x)
        x = self.middle(x, condition)
        summary = torch.cat(
            [
                functional.adaptive_avg_pool2d(x, SUMMARY_GRID).flatten(1),
                condition,
                moved.flatten(1),
            ],
            dim=1,
        )
        for finer, block, skip in zip(
            reversed(list(self.finer)), reversed(list(self.up)), reversed(skips), strict=True
        ):
            x = functional.interpolate(finer(x), size=skip.shape[-2:])
            x = block(torch.cat([x, skip], dim=1), condition)
        x = functional.silu(self.leave_film(self.leave_norm(x), condition))
        planes = functional.pixel_shuffle(self.leave(x), FOLD_FACTOR)
        reward, done = (
            None if head is None else head(summary)[:, 0].float()
            for head in (self.reward, self.done)
        )
        frame, shifts_found = self.head(frames[:, -1], planes, summary, moved)
        return PixelPrediction(frame, reward, done, shifts_found)
