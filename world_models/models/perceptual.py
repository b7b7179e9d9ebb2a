"""How different two pictures look: LPIPS (Zhang et al. 2018), and a measure without a network."""

from collections.abc import Callable
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Two batches of pictures (B, C, H, W) in [-1, 1] -> how different each pair looks, (B,)."""


class PerceptualKind(Enum):
    """What is added to the squared error of pictures."""

    lpips = "lpips"  # distances between features of VGG16, from files of weights
    multiscale = "multiscale"  # absolute errors at three scales, and those of edges
    none = "none"


CONVOLUTIONS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Numbers of VGG16's convolutions among its layers, by block.

A block ends at 4, 9, 16, 23 and 30; before each but the first lies a max-pooling.
"""
BLOCK_CHANNELS = (64, 128, 256, 512, 512)
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
NORM_EPS = 1e-10
POOLED = (1, 2, 4)
"""Sides of the squares that the multi-scale error averages first."""


def weight_shapes() -> dict[str, tuple[int, ...]]:
    """The weights of LPIPS by the names that their published files give them."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for block, (layers, channels) in enumerate(zip(CONVOLUTIONS, BLOCK_CHANNELS, strict=True)):
        for layer in layers:
            shapes[f"features.{layer}.weight"] = (channels, inputs, 3, 3)
            shapes[f"features.{layer}.bias"] = (channels,)
            inputs = channels
        shapes[f"lin{block}.model.1.weight"] = (1, channels, 1, 1)
    return shapes


class Lpips(nn.Module):
    """Distances between features of VGG16, cut after its last convolution, weighed by channel.

    Its weights are neither parameters nor part of a `state_dict`, so no optimizer and no checkpoint
    takes them, whatever module holds this one. It is always in eval mode.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """`weights` has the names and shapes of `weight_shapes`."""
        super().__init__()
        for name in weight_shapes():
            self._keep(name, weights[name].detach().float())
        self._keep("shift", torch.tensor(SHIFT).view(3, 1, 1))
        self._keep("scale", torch.tensor(SCALE).view(3, 1, 1))
        self.eval()

    def _keep(self, name: str, values: Tensor) -> None:
        self.register_buffer(name.replace(".", "_"), values, persistent=False)

    def _weight(self, name: str) -> Tensor:
        return self.get_buffer(name.replace(".", "_"))

    def train(self, mode: bool = True) -> "Lpips":
        """Does nothing: see the class."""
        return super().train(False)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """See Perceptual; a grey picture is taken for one of three equal channels."""
        distance = torch.zeros(len(left), device=left.device)
        x = torch.cat([left, right]).expand(-1, 3, -1, -1)
        x = (x - self.shift) / self.scale
        for block in range(len(CONVOLUTIONS)):
            x = self._block(x, block)
            first, second = unit_channels(x).chunk(2)
            weighed = functional.conv2d(
                (first - second).square(), self._weight(f"lin{block}.model.1.weight")
            )
            distance = distance + weighed.mean((1, 2, 3))
        return distance

    def _block(self, x: Tensor, block: int) -> Tensor:
        if block:
            x = functional.max_pool2d(x, 2)
        for layer in CONVOLUTIONS[block]:
            weight, bias = (self._weight(f"features.{layer}.{part}") for part in ("weight", "bias"))
            x = functional.relu(functional.conv2d(x, weight, bias, padding=1))
        return x


def unit_channels(x: Tensor) -> Tensor:
    """x (B, C, H, W) with the channels of every place divided by their norm."""
    return x * (x.square().sum(1, keepdim=True) + NORM_EPS).rsqrt()


def multiscale(left: Tensor, right: Tensor) -> Tensor:
    """See Perceptual: absolute errors at full, half and quarter size, and those of edges.

    The mean over the three sizes, plus the mean over differences of neighbours across and down.
    There is no network. An absolute error is least at the median, so a small thing that is seldom
    in one place may stay out of the picture.
    """
    error = left - right
    sizes = [_mean_size(functional.avg_pool2d(error, side)) for side in POOLED]
    edges = [_mean_size(error.diff(dim=axis)) for axis in (-1, -2)]
    return torch.stack(sizes).mean(0) + torch.stack(edges).mean(0)


def _mean_size(error: Tensor) -> Tensor:
    return error.abs().flatten(1).mean(1)


def no_difference(left: Tensor, right: Tensor) -> Tensor:
    """See Perceptual: 0."""
    return torch.zeros(len(left), device=left.device)
