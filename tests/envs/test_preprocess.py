"""Crop, area average and grayscale against brute force."""

import json

import numpy as np
import pytest

from world_models.envs.preprocess import Preprocessing


def pictures(height: int, width: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def block_mean(batch: np.ndarray, size: int) -> np.ndarray:
    count, height, width, channels = batch.shape
    blocks = batch.reshape(count, size, height // size, size, width // size, channels).astype(float)
    return blocks.mean(axis=(2, 4))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 128), (192, 128), (64, 320)])
def test_whole_ratios_are_block_averages(height: int, width: int) -> None:
    batch = pictures(height, width)
    frames = Preprocessing((0, 0, 0, 0), 64, False).apply(batch)
    assert frames.dtype == np.uint8 and frames.shape == (3, 64, 64, 3)
    assert np.abs(frames - block_mean(batch, 64)).max() <= 0.51


def test_crop_cuts_each_named_side() -> None:
    batch = pictures(40, 42)
    frames = Preprocessing((3, 5, 4, 6), 32, False).apply(batch)
    np.testing.assert_array_equal(frames, batch[:, 3:35, 4:36])


def test_crop_comes_before_the_resize() -> None:
    batch = pictures(96, 96)
    batch[:, 84:] = 255
    frames = Preprocessing((0, 12, 0, 0), 32, False).apply(batch)
    rest = Preprocessing((0, 0, 0, 0), 32, False).apply(batch[:, :84])
    np.testing.assert_array_equal(frames, rest)


def test_grayscale_is_itu_r_601() -> None:
    batch = pictures(16, 16)
    frames = Preprocessing((0, 0, 0, 0), 16, True).apply(batch)
    assert frames.shape == (3, 16, 16, 1)
    assert np.abs(frames[..., 0] - batch @ np.array([0.299, 0.587, 0.114])).max() <= 0.51


def test_frames_are_new_arrays_and_a_list_will_do() -> None:
    batch = pictures(16, 16)
    same = Preprocessing((0, 0, 0, 0), 16, False)
    frames = same(list(batch))
    np.testing.assert_array_equal(frames, batch)
    frames[:] = 0
    assert batch.any()


def test_round_trip() -> None:
    original = Preprocessing((0, 12, 0, 3), 64, True)
    assert Preprocessing.from_dict(json.loads(json.dumps(original.to_dict()))) == original
    assert (original.channels, Preprocessing((0, 0, 0, 0), 64, False).channels) == (1, 3)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"env\.size=15"):
        Preprocessing((0, 0, 0, 0), 15, False)
    with pytest.raises(ValueError, match="negative"):
        Preprocessing((0, -1, 0, 0), 64, False)
    with pytest.raises(ValueError, match="leaves nothing"):
        Preprocessing((48, 48, 0, 0), 64, False).apply(pictures(96, 96))


@pytest.mark.parametrize("grayscale", [False, True])
@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize(
    "picture", [np.zeros((32, 32, 4), np.uint8), np.zeros((32, 32, 3), np.float32)]
)
def test_what_is_no_picture_never_comes_to_a_frame(
    picture: np.ndarray, side: int, grayscale: bool
) -> None:
    with pytest.raises(AssertionError):
        Preprocessing((0, 0, 0, 0), side, grayscale).apply([picture])
