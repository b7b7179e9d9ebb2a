"""Pictures as other people's environments show them, taken over as uint8 (H, W, 3)."""

from typing import Any

import numpy as np

CHANNELS = (1, 3, 4)
"""Channels of a picture: grey, colours, colours and alpha."""


def as_picture(shown: Any) -> np.ndarray:
    """A new array uint8 (H, W, 3) of what is shown; ValueError that says what came, if no picture.

    It may be grey, with or without an axis for that. Alpha is dropped. Channels may come first.
    Floats lie in 0 to 1, whole numbers in 0 to 255.
    """
    if _is_plain(shown):
        return np.array(shown, order="C")
    if not hasattr(shown, "__array__"):
        raise ValueError(f"{_kind(shown)} came in place of an array (height, width, channels)")
    values = _channels_last(np.asarray(shown))
    picture = _bytes(values[..., :3])
    return np.array(np.broadcast_to(picture, (*picture.shape[:2], 3)), order="C")


def _is_plain(shown: Any) -> bool:
    """Whether nothing is left to do but to copy it, as at almost every step."""
    is_array = isinstance(shown, np.ndarray) and shown.dtype == np.uint8
    return is_array and shown.ndim == 3 and shown.shape[2] == 3 and shown.size > 0


def _kind(shown: Any) -> str:
    return "None" if shown is None else f"a {type(shown).__name__}"


def _channels_last(values: np.ndarray) -> np.ndarray:
    """The values as (H, W, C), C one of CHANNELS.

    Four channels that come first are no picture: they are more often four frames.
    """
    shape = values.shape
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim == 3 and shape[2] not in CHANNELS and shape[0] in (1, 3):
        values = np.moveaxis(values, 0, 2)
    if values.ndim != 3 or values.shape[2] not in CHANNELS or values.size == 0:
        raise ValueError(
            f"an array of shape {shape} came in place of one (height, width, channels) "
            "with 1, 3 or 4 channels"
        )
    return values


def _bytes(values: np.ndarray) -> np.ndarray:
    """The same as uint8."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "biuf":
        raise ValueError(f"an array of {values.dtype} came in place of one of numbers")
    scale = 1 if values.dtype.kind in "iu" else 255
    scaled = np.rint(values.astype(np.float64) * scale)
    if not ((scaled >= 0) & (scaled <= 255)).all():
        raise ValueError(
            f"an array of {values.dtype} from {values.min():g} to {values.max():g} came: "
            "floats must lie in 0 to 1, whole numbers in 0 to 255"
        )
    return scaled.astype(np.uint8)
