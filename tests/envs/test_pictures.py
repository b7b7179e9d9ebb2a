"""What environments show, in all the forms that stand for a picture, and those that do not."""

from typing import Any

import numpy as np
import pytest

from world_models.envs.pictures import as_picture

COLOURS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
GREY = COLOURS[..., 1]
GREY_COLOURS = np.stack([GREY] * 3, axis=2)


class Tensor:
    """An array of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return COLOURS


@pytest.mark.parametrize(
    ("shown", "picture"),
    [
        (COLOURS, COLOURS),
        (Tensor(), COLOURS),
        (np.dstack([COLOURS, np.full((20, 30), 7, np.uint8)]), COLOURS),
        (COLOURS.astype(np.float32) / 255, COLOURS),
        (COLOURS.astype(np.float64) / 255 + 1e-9, COLOURS),
        (np.dstack([COLOURS, COLOURS[..., :1]]).astype(np.float16) / 255, COLOURS),
        (COLOURS.astype(np.int64), COLOURS),
        (COLOURS.astype(np.uint16), COLOURS),
        (COLOURS.transpose(2, 0, 1), COLOURS),
        (COLOURS[::-1, ::-1], COLOURS[::-1, ::-1]),
        (GREY, GREY_COLOURS),
        (GREY[..., None], GREY_COLOURS),
        (GREY[None], GREY_COLOURS),
        (GREY.astype(np.float32) / 255, GREY_COLOURS),
        (GREY > 100, (GREY_COLOURS > 100) * 255),
    ],
)
def test_every_form_of_a_picture_comes_to_the_same(shown: Any, picture: np.ndarray) -> None:
    taken = as_picture(shown)
    assert taken.dtype == np.uint8 and taken.flags.c_contiguous
    np.testing.assert_array_equal(taken, picture)


def test_a_picture_is_a_copy() -> None:
    buffer = COLOURS.copy()
    taken = as_picture(buffer)
    buffer[:] = 0
    np.testing.assert_array_equal(taken, COLOURS)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (None, "None came"),
        ([COLOURS], "a list came"),
        ({"rgb": COLOURS}, "a dict came"),
        ("picture", "a str came"),
        (np.zeros(0, np.uint8), r"shape \(0,\)"),
        (np.zeros((0, 20, 3), np.uint8), r"shape \(0, 20, 3\)"),
        (np.zeros((20, 30, 2), np.uint8), r"shape \(20, 30, 2\)"),
        (np.zeros((4, 84, 84), np.uint8), r"shape \(4, 84, 84\)"),
        (np.zeros((2, 20, 30, 3), np.uint8), r"shape \(2, 20, 30, 3\)"),
        (np.full((20, 30), 256, np.uint16), "uint16 from 256 to 256"),
        (np.full((20, 30), -1, np.int8), "int8 from -1 to -1"),
        (np.full((20, 30), 1.01, np.float32), "float32 from 1.01 to 1.01"),
        (np.full((20, 30), np.nan), "float64 from nan to nan"),
        (np.full((20, 30), "red"), "<U3"),
        (np.zeros((20, 30), complex), "complex128"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_came(shown: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        as_picture(shown)
