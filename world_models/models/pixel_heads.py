"""How a pixel model makes the next frame: it moves pixels, corrects the last frame, or draws."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.models.motion import FARTHEST_SHIFTS, shifts
from world_models.models.pixel import Head

NUM_KERNELS = 4
"""Ways in which a whole frame is moved, among which each pixel chooses."""
COPY_LOGIT = 7.0
"""Logit by which, in the mix of an untrained `advect` head, the copy of the last frame prevails."""
SHIFT_SPREAD = 0.5
"""Standard deviation of what a summary of ones adds to a shift's logit at first."""
UNSEEN_PROBABILITY = 1e-3
"""Probability that is added to each measured shift before its logarithm is taken."""


class PixelHead(nn.Module):
    """What makes the next frame of what a model computes from the last ones.

    The constructor takes the channels of a frame, and how many numbers a summary has.
    """

    # planes (B, planes, H, W) that it is given
    planes: int

    def start_as_copy(self, last: nn.Conv2d, repeats: int) -> None:
        """Set the layer that gives the planes, each `repeats` times, so that the copy prevails."""

    def forward(
        self, frame: Tensor, planes: Tensor, summary: Tensor, moved: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Make the next frame (B, C, H, W); also returns logits of shifts (B, K, S), or None.

        `frame` is the last one (B, C, H, W), `summary` is (B, D), `moved` is `motion` of the
        frames, (B, k-1, S).
        """
        raise NotImplementedError


class Advect(PixelHead):
    """Moves pixels: K separable kernels move the whole frame, and each pixel chooses among them.

    Like CDNA (Finn et al. 2016, section 3.1), with kernels of one dimension each way. Each pixel
    is a convex mix of K moved frames, the last frame as it is, and a drawn one. So it stays in
    [0, 1], to rounding, and a rollout cannot blow up. The first half of the kernels start from how
    the last frame moved, as if things went on so; the others are free.
    """

    def __init__(
        self,
        img_channels: int,
        summary: int,
        kernels: int = NUM_KERNELS,
        reach: tuple[int, int] = FARTHEST_SHIFTS,
    ) -> None:
        super().__init__()
        self.kernels = kernels
        self.reach = reach
        # a drawn picture, and the mix's logits
        self.planes = img_channels + kernels + 2
        self.shifts = nn.Linear(summary, kernels * shifts(reach))
        nn.init.normal_(self.shifts.weight, std=SHIFT_SPREAD / summary**0.5)
        # equal kernels would see equal gradients, and stay equal for ever
        nn.init.normal_(self.shifts.bias)

    def start_as_copy(self, last: nn.Conv2d, repeats: int) -> None:
        """Set the layer that gives the planes, each `repeats` times, so that the copy prevails."""
        start_at_zero(last).view(self.planes, repeats)[-2] = COPY_LOGIT

    def forward(
        self, frame: Tensor, planes: Tensor, summary: Tensor, moved: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Make the next frame (B, C, H, W); also returns the kernels' logits (B, K, S).

        `frame` is the last one (B, C, H, W), `planes` are (B, C+K+2, H, W), `summary` is (B, D).
        `moved` is `motion` of the frames, (B, k-1, S).
        """
        channels = frame.shape[1]
        logits = self.shifts(summary).float().unflatten(1, (self.kernels, -1))
        if moved.shape[1]:
            known = (moved[:, -1:] + UNSEEN_PROBABILITY).log().expand(-1, self.kernels // 2, -1)
            logits = logits + functional.pad(known, (0, 0, 0, self.kernels - known.shape[1]))
        # pixels moved in half precision would fade
        with torch.autocast(frame.device.type, enabled=False):
            drawn = torch.sigmoid(planes[:, :channels].float())
            mix = planes[:, channels:].float().softmax(1)
            mixed = (mix[:, : self.kernels, None] * self.moved(frame, logits)).sum(1)
            copied = mix[:, self.kernels, None] * frame
            return mixed + copied + mix[:, self.kernels + 1, None] * drawn, logits

    def moved(self, frame: Tensor, logits: Tensor) -> Tensor:
        """The K moved frames (B, K, C, H, W).

        frame (B, C, H, W), logits of the shifts (B, K, S).
        """
        batch, channels, height, width = frame.shape
        sizes = [2 * far + 1 for far in self.reach]
        down, right = (part.softmax(-1) for part in logits.split(sizes, dim=-1))
        rows = shift_matrices(down, height).view(batch, self.kernels * height, height)
        lines = rows @ frame.transpose(1, 2).reshape(batch, height, channels * width)
        lines = lines.view(batch, self.kernels, height * channels, width)
        moved = lines @ shift_matrices(right, width).mT
        return moved.view(batch, self.kernels, height, channels, width).transpose(2, 3)


def shift_matrices(weights: Tensor, size: int) -> Tensor:
    """Weights (..., 2r+1) of shifts by -r to r -> the matrices T (..., size, size) that shift so.

    (Tx)_i = sum_s w_s x_(i-s), edges repeated.
    """
    far = weights.shape[-1] // 2
    places = torch.arange(size, device=weights.device)
    steps = torch.arange(-far, far + 1, device=weights.device)
    sources = (places - steps[:, None]).clamp(0, size - 1)
    # (2r+1, size, size)
    basis = functional.one_hot(sources, size).to(weights.dtype)
    return (weights @ basis.flatten(1)).unflatten(-1, (size, size))


def start_at_zero(layer: nn.Linear | nn.Conv2d) -> Tensor:
    """Set weights and biases to 0; returns the biases, to be set otherwise."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer.bias.detach()


class Residual(PixelHead):
    """Corrects the last frame, and cuts off what leaves [0, 1]."""

    def __init__(self, img_channels: int, summary: int) -> None:
        super().__init__()
        self.planes = img_channels

    def start_as_copy(self, last: nn.Conv2d, repeats: int) -> None:
        """Begin without corrections."""
        start_at_zero(last)

    def forward(
        self, frame: Tensor, planes: Tensor, summary: Tensor, moved: Tensor
    ) -> tuple[Tensor, None]:
        """Last frame and planes (B, C, H, W) -> the next frame (B, C, H, W)."""
        return (frame + planes.float()).clamp(0, 1), None


class Direct(PixelHead):
    """Draws the next frame anew."""

    def __init__(self, img_channels: int, summary: int) -> None:
        super().__init__()
        self.planes = img_channels

    def start_as_copy(self, last: nn.Conv2d, repeats: int) -> None:
        """It cannot: the weights stay as they are."""

    def forward(
        self, frame: Tensor, planes: Tensor, summary: Tensor, moved: Tensor
    ) -> tuple[Tensor, None]:
        """planes (B, C, H, W) -> the next frame (B, C, H, W)."""
        return torch.sigmoid(planes.float()), None


HEAD_MODULES: dict[str, type[PixelHead]] = {
    Head.advect: Advect,
    Head.residual: Residual,
    Head.direct: Direct,
}
"""By name; a head of yours joins it under a name of its own."""
