"""V: the convolutional variational autoencoder, from a 64x64 picture to a latent and back."""

import torch
from torch import Tensor, nn

IMAGE_SIZE = 64
FLAT_FEATURES = 256 * 2 * 2
"""What four stride-2 convolutions leave of a 64x64 picture."""


class ConvVAEEncoder(nn.Module):
    """From a picture to the mean and log standard deviation of its latent.

    Four convolutions (kernel 4, stride 2; 32, 64, 128, 256 channels; ReLU), then one linear head
    each (Ha & Schmidhuber 2018, appendix A.1).
    """

    def __init__(self, img_channels: int, latent_size: int) -> None:
        super().__init__()
        self.config = {"img_channels": img_channels, "latent_size": latent_size}
        self.conv1 = nn.Conv2d(img_channels, 32, 4, stride=2)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 128, 4, stride=2)
        self.conv4 = nn.Conv2d(128, 256, 4, stride=2)
        self.fc_mu = nn.Linear(FLAT_FEATURES, latent_size)
        self.fc_logsigma = nn.Linear(FLAT_FEATURES, latent_size)

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

    Dense 1024, then deconvolutions 128@5, 64@5, 32@6, C@6 with stride 2, and a sigmoid.
    """

    def __init__(self, latent_size: int, img_channels: int) -> None:
        super().__init__()
        self.config = {"latent_size": latent_size, "img_channels": img_channels}
        self.fc = nn.Linear(latent_size, 1024)
        self.deconv1 = nn.ConvTranspose2d(1024, 128, 5, stride=2)
        self.deconv2 = nn.ConvTranspose2d(128, 64, 5, stride=2)
        self.deconv3 = nn.ConvTranspose2d(64, 32, 6, stride=2)
        self.deconv4 = nn.ConvTranspose2d(32, img_channels, 6, stride=2)

    def forward(self, z: Tensor) -> Tensor:
        """z (B, L) -> picture (B, C, 64, 64) in [0, 1]."""
        x = torch.relu(self.fc(z))[:, :, None, None]
        for deconv in (self.deconv1, self.deconv2, self.deconv3):
            x = torch.relu(deconv(x))
        return torch.sigmoid(self.deconv4(x))


class ConvVAE(nn.Module):
    """Encoder and decoder with the sampling between them (Kingma & Welling 2014, eq. 10)."""

    def __init__(self, img_channels: int, latent_size: int) -> None:
        super().__init__()
        self.config = {"img_channels": img_channels, "latent_size": latent_size}
        self.encoder = ConvVAEEncoder(img_channels, latent_size)
        self.decoder = ConvVAEDecoder(latent_size, img_channels)

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


VAES: dict[str, type[ConvVAE]] = {"conv": ConvVAE}
"""V by name. One of yours extends `ConvVAE`, takes the same arguments, and has an `encoder` and a
`decoder`."""
