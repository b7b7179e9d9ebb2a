"""How a picture moved as a whole from one frame to the next, measured without weights."""

import torch
from torch import Tensor

FARTHEST_SHIFTS = (8, 3)
"""Farthest shifts in pixels, down and to the right: a game's camera jumps farther up and down."""
SHIFT_SHARPNESS = 4
"""A shift weighs (error + SHIFT_NOISE) ** -SHIFT_SHARPNESS."""
SHIFT_NOISE = 1e-3
"""Error that is added to each shift's: an exact shift weighs much, but not infinitely so."""
FFT_MULTIPLE = 8
"""Sides of the transformed pictures are multiples of this, for speed."""


def shift_errors(frames: Tensor, reach: tuple[int, int] = FARTHEST_SHIFTS) -> Tensor:
    """How far each frame is from the one before it, moved by each shift.

    frames (B, k, C, H, W), larger than `reach`, (a, b) -> mean squared errors
    (B, k-1, 2a+1, 2b+1). Shifts are -a to a pixels down and -b to b to the right; the error is
    taken where the two frames overlap. The square is expanded; its parts are correlations, made
    with FFTs.
    """
    height, width = frames.shape[-2:]
    frames = frames.float()
    size = tuple(
        -(-(side + far) // FFT_MULTIPLE) * FFT_MULTIPLE
        for side, far in zip((height, width), reach, strict=True)
    )
    ones = torch.fft.rfft2(frames.new_ones(height, width), s=size)
    plain = torch.fft.rfft2(frames, s=size)
    squares = torch.fft.rfft2(frames.square().mean(2), s=size)
    mixed = (plain[:, 1:] * plain[:, :-1].conj()).mean(2)
    summed = squares[:, 1:] * ones.conj() + ones * squares[:, :-1].conj() - 2 * mixed
    sums, counts = (torch.fft.irfft2(spectrum, s=size) for spectrum in (summed, ones * ones.conj()))
    down, right = (torch.arange(-far, far + 1, device=frames.device) for far in reach)
    # a negative shift counts from the end
    sums, counts = (part[..., down[:, None], right] for part in (sums, counts))
    return (sums / counts).clamp_min(0)


def motion(frames: Tensor, reach: tuple[int, int] = FARTHEST_SHIFTS) -> Tensor:
    """How likely each shift is, down and then to the right.

    frames (B, k, C, H, W), `reach` (a, b) -> (B, k-1, (2a+1) + (2b+1)). Each pair of frames
    has its errors turned into weights that sum to 1. No gradient comes back.
    """
    if frames.shape[1] == 1:
        return frames.new_zeros(len(frames), 0, shifts(reach))
    weights = (shift_errors(frames.detach(), reach) + SHIFT_NOISE).pow(-SHIFT_SHARPNESS)
    weights = weights / weights.sum((-2, -1), keepdim=True)
    return torch.cat([weights.sum(-1), weights.sum(-2)], dim=-1)


def shifts(reach: tuple[int, int] = FARTHEST_SHIFTS) -> int:
    """Shifts down and to the right, together."""
    return sum(2 * far + 1 for far in reach)
