"""A V of your own: python examples/extend_vae.py stage=vae stage.model=coordinates"""

import sys

from torch import nn

from world_models.main import main
from world_models.models.convvae import VAES, ConvVAE, ConvVAEEncoder
from world_models.models.pixel import with_coordinates


class CoordinateEncoder(nn.Module):
    """An encoder that is told where each pixel is (Liu et al. 2018)."""

    def __init__(self, img_channels, latent_size):
        super().__init__()
        self.convs = ConvVAEEncoder(img_channels + 2, latent_size)

    def forward(self, x):
        """x (B, C, 64, 64) in [0, 1] -> mu (B, L), logsigma (B, L)."""
        return self.convs(with_coordinates(x))


class CoordinateVAE(ConvVAE):
    """The ConvVAE with two planes more that say where a pixel is."""

    def __init__(self, img_channels: int, latent_size: int) -> None:
        super().__init__(img_channels, latent_size)
        self.encoder = CoordinateEncoder(img_channels, latent_size)


VAES["coordinates"] = CoordinateVAE

if __name__ == "__main__":
    sys.exit(main())
