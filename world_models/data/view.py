"""How a pixel model sees stored frames: as they are, or grey, or at another size."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""


@dataclass(frozen=True)
class View:
    """`size` None: that of the store; `grayscale` makes one channel of three."""

    size: int | None = None
    grayscale: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self)

    def channels(self, stored: int) -> int:
        """Channels that are seen of so many."""
        return 1 if self.grayscale else stored

    def __call__(self, frames: Tensor, device: torch.device | str) -> Tensor:
        """Frames (..., H, W, C) uint8 -> (..., C', H', W') float32 in [0, 1] on `device`.

        They are moved as bytes.
        """
        assert frames.dtype == torch.uint8, frames.dtype
        x = frames.to(device, non_blocking=True).movedim(-1, -3).float().div_(255)
        if self.grayscale and x.shape[-3] == 3:
            x = torch.einsum("...chw,c->...hw", x, x.new_tensor(LUMA)).unsqueeze(-3)
        if self.size is None or x.shape[-2:] == (self.size, self.size):
            return x
        flat = functional.interpolate(
            x.flatten(0, -4),
            size=(self.size, self.size),
            mode="bilinear",
            antialias=True,
            align_corners=False,
        )
        return flat.clamp_(0, 1).view(*x.shape[:-2], self.size, self.size)
