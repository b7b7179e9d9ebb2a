"""The networks of tokenizers that learn: a frame to a map of features, and back."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.models.tokenizers.tokenizer import (
    Tokenizer,
    require_divisible,
    require_frames,
)

NORM_GROUPS = 8
"""Groups of channels that are normalised together."""
NORM_EPS = 1e-6


class Quantised(NamedTuple):
    """A map of features, each replaced by the vector of a code."""

    # (B, D, gh, gw): what the decoder reads; gradients pass to the features unchanged
    z: Tensor
    # (B, gh, gw) int64
    tokens: Tensor
    # scalar: what pulls codes and features together; 0 where codes are fixed
    loss: Tensor


class Quantiser(nn.Module):
    """Replaces features by codes."""

    vocabulary: int
    code_size: int

    @property
    def table(self) -> Tensor:
        """The vectors of all codes, (vocabulary, code_size), without gradient."""
        raise NotImplementedError

    def nearest(self, z: Tensor) -> Tensor:
        """z (B, D, gh, gw) -> tokens (B, gh, gw) int64."""
        raise NotImplementedError

    def forward(self, z: Tensor) -> Quantised:
        """z (B, D, gh, gw) float32 -> its codes."""
        raise NotImplementedError


class Reconstruction(NamedTuple):
    """What comes back of a batch of frames."""

    # (B, C, S, S), as frames are in [-1, 1], but not clipped to it
    frames: Tensor
    # (B, gh, gw) int64
    tokens: Tensor
    # scalar, see Quantised
    loss: Tensor


class ConvTokenizer(Tokenizer):
    """Encoder, quantiser, decoder: no attention and no residual blocks.

    A frame is halved `downsamplings` times, and its channels are doubled from `base_channels` on.
    The networks see frames in [-1, 1].
    """

    def __init__(
        self,
        img_channels: int,
        size: int,
        base_channels: int,
        downsamplings: int,
        quantiser: Quantiser,
    ) -> None:
        super().__init__()
        require_divisible(size, 2**downsamplings, "stage.downsamplings")
        if base_channels < NORM_GROUPS or base_channels % NORM_GROUPS:
            raise ValueError(
                f"stage.base_channels is {base_channels}; it must be a multiple of {NORM_GROUPS}, "
                "above 0"
            )
        widths = [base_channels * 2**number for number in range(downsamplings + 1)]
        side = size // 2**downsamplings
        self.channels, self.size = img_channels, size
        self.vocabulary, self.code_size = quantiser.vocabulary, quantiser.code_size
        self.grid = (side, side)
        self.encoder = encoder(img_channels, widths)
        self.before = nn.Conv2d(widths[-1], quantiser.code_size, 1)
        self.quantiser = quantiser
        self.after = nn.Conv2d(quantiser.code_size, widths[-1], 1)
        self.decoder = decoder(img_channels, widths)

    @property
    def table(self) -> Tensor:
        """See Tokenizer."""
        return self.quantiser.table

    def features(self, frames: Tensor) -> Tensor:
        """frames (B, C, S, S) in [0, 1] -> what is quantised, (B, D, gh, gw) float32."""
        require_frames(frames, self.channels, self.size)
        found: Tensor = self.before(self.encoder(2 * frames - 1))
        return found.float()

    def draw(self, z: Tensor) -> Tensor:
        """Vectors of codes (B, D, gh, gw) -> frames (B, C, S, S) near [-1, 1]."""
        frames: Tensor = self.decoder(self.after(z))
        return frames.float()

    def forward(self, frames: Tensor) -> Reconstruction:
        """frames (B, C, S, S) in [0, 1] -> what comes back of them, for a loss."""
        z, tokens, loss = self.quantiser(self.features(frames))
        return Reconstruction(self.draw(z), tokens, loss)

    def encode(self, frames: Tensor) -> Tensor:
        """See Tokenizer."""
        return self.quantiser.nearest(self.features(frames))

    def decode(self, tokens: Tensor) -> Tensor:
        """See Tokenizer."""
        return ((self.draw(self.codes(tokens)) + 1) / 2).clamp(0, 1)


def encoder(img_channels: int, widths: list[int]) -> nn.Sequential:
    """Frames (B, C, S, S) -> features (B, widths[-1], S / 2^n, S / 2^n), n halvings."""
    first = nn.Conv2d(img_channels, widths[0], 3, padding=1)
    halvings = [Halving(*pair) for pair in pairwise(widths)]
    return nn.Sequential(first, *halvings, *_normed(widths[-1], widths[-1]))


def decoder(img_channels: int, widths: list[int]) -> nn.Sequential:
    """The mirror of `encoder`; the last layer has no nonlinearity."""
    first = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
    doublings = [Doubling(*pair) for pair in pairwise(reversed(widths))]
    return nn.Sequential(first, *doublings, *_normed(widths[0], img_channels))


class Halving(nn.Module):
    """Half the sides: norm, SiLU, a convolution of stride 2, and another."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.halve = nn.Conv2d(channels, out, 3, stride=2)
        self.mix = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, out, H / 2, W / 2)."""
        # a column on the right and a row below: a stride of 2 needs no others
        padded = functional.pad(functional.silu(self.norm(x)), (0, 1, 0, 1))
        halved: Tensor = self.mix(self.halve(padded))
        return halved


class Doubling(nn.Module):
    """Double the sides: norm, SiLU, each pixel four times, and two convolutions."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.narrow = nn.Conv2d(channels, out, 3, padding=1)
        self.mix = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, out, 2H, 2W)."""
        wide = functional.interpolate(
            functional.silu(self.norm(x)), scale_factor=2, mode="nearest-exact"
        )
        doubled: Tensor = self.mix(self.narrow(wide))
        return doubled


def _normed(channels: int, out: int) -> tuple[nn.Module, ...]:
    return _norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(NORM_GROUPS, channels, NORM_EPS)


def passed_through(z: Tensor, code: Tensor) -> Tensor:
    """The value of `code` with the gradient of z: the straight-through estimator.

    Bengio et al. 2013; what follows from the code sends its gradient to z as if they were one.
    """
    return z + (code - z).detach()


def none_lost(z: Tensor) -> Tensor:
    """The loss of a quantiser whose codes are fixed."""
    return torch.zeros((), device=z.device)
