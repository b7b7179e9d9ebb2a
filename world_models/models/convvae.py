"""V: the convolutional variational autoencoder, from a 64x64 picture to a latent and back."""

from typing import ClassVar

import torch
from torch import Tensor, nn

IMAGE_SIZE = 64


class ConvVAEEncoder(nn.Module):
    """From a picture to the mean and log standard deviation of its latent.

    Four convolutions (kernel 4, stride 2, ReLU) with `base_channels` and twice as many each time:
    32, 64, 128, 256 in Ha & Schmidhuber (2018), appendix A.1. They leave 2x2 of a picture, which
    one linear head each reads.
    """

    def __init__(self, img_channels: int, latent_size: int, base_channels: int = 32) -> None:
        super().__init__()
        self.config = {
            "img_channels": img_channels,
            "latent_size": latent_size,
            "base_channels": base_channels,
        }
        widths = [base_channels * times for times in (1, 2, 4, 8)]
        self.conv1 = nn.Conv2d(img_channels, widths[0], 4, stride=2)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 4, stride=2)
        self.conv3 = nn.Conv2d(widths[1], widths[2], 4, stride=2)
        self.conv4 = nn.Conv2d(widths[2], widths[3], 4, stride=2)
        self.fc_mu = nn.Linear(widths[3] * 2 * 2, latent_size)
        self.fc_logsigma = nn.Linear(widths[3] * 2 * 2, latent_size)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, 64, 64) float in [0, 1] -> mu (B, L), logsigma (B, L).

        A picture of another shape is a ValueError.
        """
        self._check_shape(x)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = torch.relu(conv(x))
        flat = x.flatten(1)
        return self.fc_mu(flat), self.fc_logsigma(flat)

    def _check_shape(self, x: Tensor) -> None:
        expected = (self.config["img_channels"], IMAGE_SIZE, IMAGE_SIZE)
        if x.ndim != 4 or tuple(x.shape[1:]) != expected:
            raise ValueError(
                f"the ConvVAE takes pictures (B, {', '.join(map(str, expected))}), "
                f"not {tuple(x.shape)}: resize them to 64x64, channels first"
            )


class ConvVAEDecoder(nn.Module):
    """From a latent to a picture.

    Dense 32 times `base_channels`, then four deconvolutions with stride 2 and a sigmoid: 1024, then
    128@5, 64@5, 32@6, C@6 in Ha & Schmidhuber (2018), appendix A.1.
    """

    def __init__(self, latent_size: int, img_channels: int, base_channels: int = 32) -> None:
        super().__init__()
        self.config = {
            "latent_size": latent_size,
            "img_channels": img_channels,
            "base_channels": base_channels,
        }
        widths = [base_channels * times for times in (32, 4, 2, 1)]
        self.fc = nn.Linear(latent_size, widths[0])
        self.deconv1 = nn.ConvTranspose2d(widths[0], widths[1], 5, stride=2)
        self.deconv2 = nn.ConvTranspose2d(widths[1], widths[2], 5, stride=2)
        self.deconv3 = nn.ConvTranspose2d(widths[2], widths[3], 6, stride=2)
        self.deconv4 = nn.ConvTranspose2d(widths[3], img_channels, 6, stride=2)

    def forward(self, z: Tensor) -> Tensor:
        """z (B, L) -> picture (B, C, 64, 64) in [0, 1]."""
        x = torch.relu(self.fc(z))[:, :, None, None]
        for deconv in (self.deconv1, self.deconv2, self.deconv3):
            x = torch.relu(deconv(x))
        return torch.sigmoid(self.deconv4(x))


class ConvVAE(nn.Module):
    """Encoder and decoder with the sampling between them (Kingma & Welling 2014, eq. 10)."""

    base_channels: ClassVar[int] = 32
    """Of the first convolution."""

    def __init__(self, img_channels: int, latent_size: int) -> None:
        super().__init__()
        self.config = {"img_channels": img_channels, "latent_size": latent_size}
        self.encoder = ConvVAEEncoder(img_channels, latent_size, self.base_channels)
        self.decoder = ConvVAEDecoder(latent_size, img_channels, self.base_channels)

    def forward(
        self, x: Tensor, noise: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, C, 64, 64) in [0, 1] -> reconstruction (B, C, 64, 64), mu (B, L), logsigma (B, L).

        z = mu + exp(logsigma) * noise. Where no standard normal `noise` (B, L) is given, it is
        drawn from `generator`.
        """
        mu, logsigma = self.encoder(x)
        if noise is None:
            noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
        return self.decoder(mu + logsigma.exp() * noise), mu, logsigma


class SmallConvVAE(ConvVAE):
    """The ConvVAE with a quarter of its channels, and about a fifteenth of its weights."""

    base_channels = 8


VAES: dict[str, type[ConvVAE]] = {"conv": ConvVAE, "conv_small": SmallConvVAE}
"""V by name. One of yours extends `ConvVAE`, takes the same arguments, and has an `encoder` and a
`decoder`."""
