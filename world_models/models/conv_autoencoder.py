"""The convolutional autoencoder: a picture to a small map of latents, and back."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

ALLOWED_FACTORS = (8, 16)
"""By how much the sides of a picture may shrink."""
NORM_GROUPS = 8
"""Groups of channels that are normalised together."""


class ConvAutoencoder(nn.Module):
    """Halves a picture log2(factor) times, and doubles it again.

    Each block is a convolution, GroupNorm and SiLU; block i has `base_channels` * 2^i channels.
    Down: kernel 4, stride 2. Up: nearest neighbour and kernel 3, which leaves no checkerboard
    (Odena et al. 2016). The latents come and go through kernel 1. A picture whose sides `factor`
    does not divide loses its last rows on the way down. On the way up the last features are
    stretched to its size.
    """

    def __init__(
        self, img_channels: int, factor: int = 8, latent_channels: int = 16, base_channels: int = 64
    ) -> None:
        super().__init__()
        if factor not in ALLOWED_FACTORS:
            raise ValueError(
                f"factor is {factor}; it must be one of {', '.join(map(str, ALLOWED_FACTORS))}"
            )
        self.config = {
            "img_channels": img_channels,
            "factor": factor,
            "latent_channels": latent_channels,
            "base_channels": base_channels,
        }
        widths = [base_channels * 2**block for block in range(int(math.log2(factor)))]
        down = [
            _block(nn.Conv2d(*pair, 4, stride=2, padding=1))
            for pair in pairwise([img_channels, *widths])
        ]
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], latent_channels, 1))
        widths = [widths[-1], *reversed(widths)]
        self.open = nn.Conv2d(latent_channels, widths[0], 1)
        self.up = nn.ModuleList(_block(nn.Conv2d(*pair, 3, padding=1)) for pair in pairwise(widths))
        self.close = nn.Conv2d(widths[-1], img_channels, 3, padding=1)

    def encode(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) in [0, 1] -> latents (B, L, H // factor, W // factor).

        A picture smaller than `factor` is a ValueError.
        """
        factor = self.config["factor"]
        channels = self.config["img_channels"]
        if x.ndim != 4 or x.shape[1] != channels or min(x.shape[2:]) < factor:
            raise ValueError(
                f"the autoencoder takes pictures (B, {channels}, H, W) "
                f"of at least {factor}x{factor}, not {tuple(x.shape)}"
            )
        return self.encoder(x)

    def decode(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        """Latents (B, L, h, w) -> pictures (B, C, *size) in [0, 1]."""
        x = self.open(z)
        for block in self.up:
            x = block(functional.interpolate(x, scale_factor=2, mode="nearest"))
        if tuple(x.shape[2:]) != size:
            x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return torch.sigmoid(self.close(x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode x (B, C, H, W) in [0, 1] and decode it again.

        Returns the reconstruction (B, C, H, W) in [0, 1] and the latents (B, L, h, w).
        """
        z = self.encode(x)
        return self.decode(z, (x.shape[2], x.shape[3])), z


def _block(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.GroupNorm(NORM_GROUPS, conv.out_channels), nn.SiLU())
