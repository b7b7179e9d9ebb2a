"""Measured motion, beside brute force, and what is made of it."""

import math

import numpy as np
import pytest
import torch

from world_models.losses import shift_error
from world_models.models.motion import FARTHEST_SHIFTS, motion, shift_errors, shifts
from world_models.models.pixel_unet import PixelUNet


def drifting(down: int, right: int, size: int = 32, steps: int = 4) -> torch.Tensor:
    """A window (1, steps, 3, size, size) on a large picture that moves by (down, right) a frame."""
    far = steps * 8
    draw = torch.Generator().manual_seed(0)
    picture = torch.rand(3, size + 2 * far, size + 2 * far, generator=draw)
    corners = [(far - step * down, far - step * right) for step in range(steps)]
    return torch.stack([picture[:, y : y + size, x : x + size] for y, x in corners])[None]


@pytest.mark.parametrize(("height", "width"), [(20, 17), (16, 16), (9, 4)])
def test_errors_are_those_of_brute_force(height: int, width: int) -> None:
    frames = torch.rand(2, 3, 3, height, width, generator=torch.Generator().manual_seed(0)) ** 2
    found = shift_errors(frames)
    far_down, far_right = FARTHEST_SHIFTS
    assert found.shape == (2, 2, 17, 7)
    for down in range(-far_down, far_down + 1):
        for right in range(-far_right, far_right + 1):
            rows = slice(max(down, 0), height + min(down, 0))
            columns = slice(max(right, 0), width + min(right, 0))
            rows_before = slice(max(-down, 0), height + min(-down, 0))
            columns_before = slice(max(-right, 0), width + min(-right, 0))
            now = frames[:, 1:, :, rows, columns]
            old = frames[:, :-1, :, rows_before, columns_before]
            expected = (now - old).square().mean((2, 3, 4))
            torch.testing.assert_close(
                found[..., down + far_down, right + far_right], expected, atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize(("down", "right"), [(0, 0), (7, -2), (-8, 3), (1, 0)])
def test_a_drift_is_seen_in_every_pair_of_frames(down: int, right: int) -> None:
    found = motion(drifting(down, right))
    assert found.shape == (1, 3, shifts())
    assert (
        found[0, :, : 2 * FARTHEST_SHIFTS[0] + 1].argmax(1).tolist()
        == [down + FARTHEST_SHIFTS[0]] * 3
    )
    assert (
        found[0, :, 2 * FARTHEST_SHIFTS[0] + 1 :].argmax(1).tolist()
        == [right + FARTHEST_SHIFTS[1]] * 3
    )
    torch.testing.assert_close(found.sum(2), torch.full((1, 3), 2.0))


def test_of_one_frame_there_is_no_motion_and_no_gradient_comes_back() -> None:
    frames = drifting(1, 1).requires_grad_()
    assert motion(frames[:, :1]).shape == (1, 0, shifts())
    assert not motion(frames).requires_grad


def test_half_of_the_untrained_kernels_go_on_as_the_picture_went() -> None:
    torch.manual_seed(0)
    model = PixelUNet(3, 5, widths=[8, 12], condition=16)
    for down, right in ((3, -2), (-5, 1)):
        logits = model(drifting(down, right), torch.zeros(1, 4, 5)).shifts
        assert logits is not None and logits.shape == (1, 4, shifts())
        ends = [(int(row[:17].argmax()) - 8, int(row[17:].argmax()) - 3) for row in logits[0]]
        assert ends[:2] == [(down, right)] * 2 and (down, right) not in ends[2:]


def test_a_model_of_one_frame_has_no_motion_to_go_on() -> None:
    model = PixelUNet(3, 5, context=1, past_actions=1, widths=[8, 12], condition=16)
    frames = drifting(1, 1)[:, :1]
    torch.testing.assert_close(
        model(frames, torch.zeros(1, 1, 5)).frame, frames[:, 0], atol=1e-2, rtol=0
    )


def test_the_shifts_cost_is_the_cross_entropy_under_the_kernels_mean() -> None:
    draw = torch.Generator().manual_seed(0)
    # 2 windows, 3 steps, 4 kernels, 5 + 3 shifts
    logits = torch.randn(2, 3, 4, 8, generator=draw)
    reach = (2, 1)
    target = torch.cat(
        [torch.rand(2, 3, size, generator=draw).softmax(-1) for size in (5, 3)], dim=-1
    )
    found = shift_error(logits, target, reach)
    assert found.shape == (2, 3)
    for place in np.ndindex(2, 3):
        kernels = logits[place].double().numpy()
        expected = 0.0
        for half in (slice(0, 5), slice(5, 8)):
            each = np.exp(kernels[:, half]) / np.exp(kernels[:, half]).sum(1, keepdims=True)
            expected -= float((target[place][half].numpy() * np.log(each.mean(0))).sum())
        assert found[place].item() == pytest.approx(expected, rel=1e-5)
    sure = torch.full((1, 2, 8), -50.0)
    # two kernels that differ: 1 or 4 down
    sure[0, :, 6] = 50.0
    sure[0, 0, 1] = 50.0
    sure[0, 1, 4] = 50.0
    happened = torch.nn.functional.one_hot(torch.tensor([1]), 8).float()
    happened[0, 6] = 1.0
    assert shift_error(sure, happened, reach).item() == pytest.approx(math.log(2))
