"""What a moment tells, read as a page reads it."""

import json
import struct
from typing import Any

import cv2
import numpy as np


def read(content: bytes) -> tuple[dict[str, Any], list[np.ndarray | None]]:
    """What is said, and the pictures."""
    (length,) = struct.unpack("<I", content[:4])
    told, at = json.loads(content[4 : 4 + length]), 4 + length
    pictures: list[np.ndarray | None] = []
    for panel in told["panels"]:
        part = np.frombuffer(content[at : at + panel["bytes"]], np.uint8)
        at += panel["bytes"]
        shown = cv2.imdecode(part, cv2.IMREAD_COLOR) if len(part) else None
        pictures.append(None if shown is None else cv2.cvtColor(shown, cv2.COLOR_BGR2RGB))
    assert at == len(content)
    return told, pictures
