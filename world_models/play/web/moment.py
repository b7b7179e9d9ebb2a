"""A moment of a show as one run of bytes: what is said in JSON, and behind it the pictures."""

import json
import math
import struct
from typing import Any

import cv2
import numpy as np

from world_models.play.scene import Curve, Panel, Scene

SMALL = 128
"""Pictures of up to so many pixels a side are sent as they are, larger ones as JPEG."""
QUALITY = 90
MOST_POINTS = 200
"""Of a longer curve only every second point is sent, and so on, and the last one."""


class Encoder:
    """Makes moments; a picture that is the same as before is not compressed anew."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[np.ndarray, bytes]] = {}

    def encode(self, scene: Scene, more: dict[str, Any]) -> bytes:
        """The length of the JSON (4 bytes, little endian), the JSON, and the pictures in order."""
        pictures = [self._picture(*item) for item in enumerate(scene.panels)]
        panels = [
            {"label": panel.label, "bytes": len(content)}
            for panel, content in zip(scene.panels, pictures, strict=True)
        ]
        told = {
            "panels": panels,
            "header": list(scene.header.items()),
            "held": [pressed.key.name for pressed in scene.keys if pressed.is_held],
            "curves": [{"label": curve.label, "values": points(curve)} for curve in scene.curves],
            "notice": scene.notice,
            "asks": scene.asks,
            **more,
        }
        text = json.dumps(told, separators=(",", ":")).encode()
        return struct.pack("<I", len(text)) + text + b"".join(pictures)

    def _picture(self, number: int, panel: Panel) -> bytes:
        """Empty where there is none."""
        if panel.picture is None:
            return b""
        picture, content = self._known.get(number, (None, b""))
        if picture is None or not np.array_equal(picture, panel.picture):
            content = compressed(panel.picture)
            self._known[number] = panel.picture.copy(), content
        return content


def compressed(picture: np.ndarray) -> bytes:
    """uint8 (H, W, 3) as PNG where it is small, as JPEG else."""
    is_small = max(picture.shape[:2]) <= SMALL
    kind = ".png" if is_small else ".jpg"
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1] if is_small else [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    done, content = cv2.imencode(kind, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), how)
    assert done, picture.shape
    return content.tobytes()


def points(curve: Curve) -> list[float | None]:
    """A curve, thinned out where it is long."""
    every = -(-len(curve.values) // MOST_POINTS)
    kept = [*curve.values[:-1:every], *curve.values[-1:]]
    return [written(value) for value in kept]


def written(value: float) -> float | None:
    """A number as exact as it can be seen; None where it is none."""
    return round(value, 3) if math.isfinite(value) else None
