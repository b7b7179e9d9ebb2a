"""What a pixel model sees of stored frames, against OpenCV."""

import cv2
import numpy as np
import torch

from world_models.data.view import View

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), np.uint8)


def test_frames_are_given_as_they_are() -> None:
    seen = View()(torch.from_numpy(FRAMES), "cpu")
    assert seen.shape == (2, 3, 3, 64, 64) and seen.dtype == torch.float32
    np.testing.assert_array_equal((seen * 255).round().permute(0, 1, 3, 4, 2).numpy(), FRAMES)
    dark = View()(torch.ones(1, 1, 4, 4, 3, dtype=torch.uint8), "cpu")
    assert float(dark.max()) == np.float32(1) / np.float32(255), (
        "a nearly black frame stays nearly black"
    )


def test_grey_and_enlarged_as_opencv_does_it() -> None:
    seen = View(84, grayscale=True)(torch.from_numpy(FRAMES), "cpu")
    assert (
        seen.shape == (2, 3, 1, 84, 84)
        and View(84, True).channels(3) == 1
        and View(84).channels(3) == 3
    )
    grey = cv2.cvtColor(FRAMES[1, 2].astype(np.float32) / 255, cv2.COLOR_RGB2GRAY)
    expected = cv2.resize(grey, (84, 84), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(seen[1, 2, 0].numpy(), expected, atol=2e-3)
