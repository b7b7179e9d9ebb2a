"""The VQ-VAE: codes are vectors that are learned (van den Oord et al. 2017)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.models.tokenizers.convolutional import (
    ConvTokenizer,
    Quantised,
    Quantiser,
    passed_through,
)
from world_models.models.tokenizers.tokenizer import require_vocabulary


class VectorQuantiser(Quantiser):
    """The nearest of `vocabulary` vectors, which begin as uniform noise of 1 / vocabulary."""

    def __init__(self, vocabulary: int, code_size: int, commitment: float = 1.0) -> None:
        super().__init__()
        require_vocabulary(vocabulary, "stage.vocabulary")
        self.vocabulary, self.code_size = vocabulary, code_size
        self.commitment = commitment
        start = torch.empty(vocabulary, code_size).uniform_(-1 / vocabulary, 1 / vocabulary)
        self.codebook = nn.Parameter(start)

    @property
    def table(self) -> Tensor:
        """See Quantiser."""
        return self.codebook.detach()

    def nearest(self, z: Tensor) -> Tensor:
        """z (B, D, gh, gw) -> the number of the code at the least squared distance.

        In float32, also inside autocast: in half precision codes near each other change places.
        """
        with torch.autocast(z.device.type, enabled=False):
            flat = z.movedim(1, -1).to(self.codebook.dtype)
            # the square of z is the same for all codes
            distance = self.table.square().sum(1) - 2 * flat @ self.table.T
        return distance.argmin(-1)

    def forward(self, z: Tensor) -> Quantised:
        """See Quantiser; the loss is |sg(z) - e|^2 + commitment * |z - sg(e)|^2, a mean (eq. 3)."""
        tokens = self.nearest(z.detach())
        code = functional.embedding(tokens, self.codebook).movedim(-1, 1)
        pulled = (code - z.detach()).square().mean()
        committed = (z - code.detach()).square().mean()
        loss = pulled + self.commitment * committed
        return Quantised(passed_through(z, code.detach()), tokens, loss)


class VQTokenizer(ConvTokenizer):
    """A convolutional VQ-VAE with a plain codebook, learned by gradients."""

    def __init__(
        self,
        img_channels: int,
        size: int,
        base_channels: int = 32,
        downsamplings: int = 3,
        vocabulary: int = 512,
        code_size: int = 256,
        commitment: float = 1.0,
    ) -> None:
        quantiser = VectorQuantiser(vocabulary, code_size, commitment)
        super().__init__(img_channels, size, base_channels, downsamplings, quantiser)
        self.config = {
            "img_channels": img_channels,
            "size": size,
            "base_channels": base_channels,
            "downsamplings": downsamplings,
            "vocabulary": vocabulary,
            "code_size": code_size,
            "commitment": commitment,
        }
