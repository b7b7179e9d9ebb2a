"""A pixel head of your own: python examples/extend_head.py stage=pixel stage.head=blend"""

import sys

import torch

from world_models.main import main
from world_models.models.pixel_heads import HEAD_MODULES, PixelHead, start_at_zero


class Blend(PixelHead):
    """Each pixel is a mix of the last frame and of a drawn one."""

    def __init__(self, img_channels: int, summary: int) -> None:
        super().__init__()
        # a drawn picture, and how much of it
        self.planes = img_channels + 1

    def start_as_copy(self, last, repeats):
        """Hardly anything is drawn at first."""
        start_at_zero(last).view(self.planes, repeats)[-1] = -4.0

    def forward(self, frame, planes, summary, moved):
        """frame (B, C, H, W), planes (B, C+1, H, W) -> the next frame (B, C, H, W)."""
        drawn, share = torch.sigmoid(planes.float()).split([frame.shape[1], 1], dim=1)
        return torch.lerp(frame, drawn, share), None


HEAD_MODULES["blend"] = Blend

if __name__ == "__main__":
    sys.exit(main())
