"""Whether V draws the small bright things that move, such as fireballs.

They are few pixels, so hardly any of the squared error, and they are what an agent must see.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import to_float
from world_models.measures.rows import BlobRow
from world_models.measures.vision import FRAMES_AT_ONCE, HeldOut, moving_pixels
from world_models.measures.vision_baselines import Directions
from world_models.models.convvae import ConvVAE
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import ProgressBar

STANDS_OUT = 64
"""Of 255: so much brighter, in its largest channel, is a bright pixel than its frame's median, and
a blob than what lies around it: texture of a near wall is none."""
KEPT = 0.5
"""Share of a blob's contrast that is enough for it to be there in another picture."""
RING = 2
"""Pixels that lie around a blob, to each side; half the root of its size where that is more."""
SIZES = {"1 to 3": 1, "4 to 9": 4, "10 to 29": 10, "30 or more": 30}
"""Classes of blobs, and the fewest pixels of each."""
ALL = "all"
FOUND, MISSED = (60, 220, 60), (255, 40, 160)
"""Colours of the boxes around blobs that are there, and that are not."""
MAGNIFIED = 3
"""Sides of a picture that is shown, over its own."""
FRAMES_JUDGED = 4096
"""Held-out frames whose blobs are counted, at most."""
FRAMES_SHOWN, FRAMES_TRIED = 8, 256
"""Held-out frames that are shown, and among which they are looked for."""

Drawer = Callable[[Tensor], Tensor]
"""Frames (B, H, W, C) uint8 -> what is drawn of them, alike."""


@dataclass(frozen=True)
class Blob:
    """A bright spot of a picture."""

    # (H, W) bool: it, and the darker pixels around it
    inside: np.ndarray
    around: np.ndarray

    @property
    def size(self) -> int:
        """In pixels."""
        return int(self.inside.sum())

    def contrast(self, values: np.ndarray) -> float:
        """How much brighter than its surroundings this place is in `values` (H, W)."""
        return float(values[self.inside].mean() - np.median(values[self.around]))

    def is_in(self, other: np.ndarray, own: np.ndarray) -> bool:
        """Whether half of the contrast that it has in its `own` picture is in the other one."""
        return self.contrast(other) >= KEPT * self.contrast(own)


def brightness(frames: Tensor) -> np.ndarray:
    """Each pixel's largest channel, (B, H, W, C) -> (B, H, W)."""
    return frames.amax(-1).cpu().numpy()


def find_blobs(values: np.ndarray) -> Iterator[Blob]:
    """The bright spots of a picture's `values` (H, W): connected pixels, diagonals included."""
    bright = values >= np.median(values) + STANDS_OUT
    count, labels = cv2.connectedComponents(bright.astype(np.uint8))
    for label in range(1, count):
        inside = labels == label
        blob = Blob(inside, _widened(inside) & ~bright)
        if blob.contrast(values) >= STANDS_OUT:
            yield blob


def _widened(inside: np.ndarray) -> np.ndarray:
    """A blob (H, W) with the pixels around it."""
    reach = max(RING, round(np.sqrt(inside.sum()) / 2))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(inside.astype(np.uint8), square) > 0


@dataclass
class Tally:
    """Blobs of one class: those of the frames, and those that were drawn."""

    blobs: int = 0
    # of `blobs`, those that are in what was drawn
    kept: int = 0
    drawn: int = 0
    # of `drawn`, those that are in the frames
    true: int = 0

    def row(self, name: str, pixels: str) -> BlobRow:
        """Recall and precision; NaN where there are no blobs."""
        recall = self.kept / self.blobs if self.blobs else np.nan
        precision = self.true / self.drawn if self.drawn else np.nan
        return BlobRow(
            name=name,
            pixels=pixels,
            blobs=self.blobs,
            recall=recall,
            drawn=self.drawn,
            precision=precision,
        )


class BlobCounts:
    """Blobs of frames and of what one way to draw made of them, by their sizes."""

    def __init__(self) -> None:
        self.tallies = {name: Tally() for name in (*SIZES, ALL)}

    def add(self, frames: Tensor, before: Tensor, drawn: Tensor) -> None:
        """Three batches (B, H, W, C) uint8: frames, those just before, and what was drawn.

        Of the frames count blobs in which something moves, of what was drawn all.
        """
        moving = moving_pixels(frames, before).cpu().numpy()
        triples = zip(brightness(frames), moving, brightness(drawn), strict=True)
        for truth, moved, picture in triples:
            for blob in _moving_blobs(truth, moved):
                for tally in self._of_size(blob.size):
                    tally.blobs += 1
                    tally.kept += blob.is_in(picture, truth)
            for blob in find_blobs(picture):
                for tally in self._of_size(blob.size):
                    tally.drawn += 1
                    tally.true += blob.is_in(truth, picture)

    def _of_size(self, pixels: int) -> tuple[Tally, Tally]:
        fitting = [name for name, fewest in SIZES.items() if fewest <= pixels]
        return self.tallies[fitting[-1]], self.tallies[ALL]

    def rows(self, name: str) -> list[BlobRow]:
        """One for each class, then that of all."""
        return [tally.row(name, pixels) for pixels, tally in self.tallies.items()]


def _moving_blobs(values: np.ndarray, moved: np.ndarray) -> list[Blob]:
    """The blobs of `values` (H, W) with a pixel that `moved` (H, W)."""
    return [blob for blob in find_blobs(values) if moved[blob.inside].any()]


def judge_blobs(held_out: HeldOut, drawers: Mapping[str, Drawer]) -> list[BlobRow]:
    """How many of the held-out frames' moving blobs each way to draw keeps, and makes up."""
    counts = {name: BlobCounts() for name in drawers}
    places = evenly_spaced(len(held_out), min(len(held_out), FRAMES_JUDGED), rounded=False)
    with ProgressBar("bright things that move", len(places), rate_unit="frames") as bar:
        for start in range(0, len(places), FRAMES_AT_ONCE):
            frames, before = held_out.pairs(places[start : start + FRAMES_AT_ONCE])
            for name, draw in drawers.items():
                counts[name].add(frames, before, draw(frames))
            bar.advance(len(frames))
    return [row for name, count in counts.items() for row in count.rows(name)]


def drawers_of(model: ConvVAE, directions: Directions, device: str) -> dict[str, Drawer]:
    """V, from its mean latents, and the PCA of as many numbers."""

    @torch.inference_mode()
    def by_v(frames: Tensor) -> Tensor:
        x = to_float(frames, device)
        return _as_bytes(model.decoder(model.encoder(x)[0]).permute(0, 2, 3, 1))

    def by_pca(frames: Tensor) -> Tensor:
        return _as_bytes(directions.keep(frames.to(device).float().div_(255)))

    return {"V": by_v, "PCA": by_pca}


def _as_bytes(pictures: Tensor) -> Tensor:
    return (pictures * 255).round().to(torch.uint8)


def blob_pictures(held_out: HeldOut, drawers: Mapping[str, Drawer]) -> dict[str, np.ndarray]:
    """Rows of held-out frames and of what is drawn of them, uint8 (N, 192, 192, C).

    A box marks where a blob of the frame is, and whether it is there. Without blobs, no rows.
    """
    frames, before = held_out.pairs(evenly_spaced(len(held_out), FRAMES_TRIED, rounded=False))
    moving = moving_pixels(frames, before).numpy()
    pairs = zip(brightness(frames), moving, strict=True)
    blobs = [_moving_blobs(values, moved) for values, moved in pairs]
    fitting = np.array([index for index, found in enumerate(blobs) if found])
    if not len(fitting):
        return {}
    chosen = fitting[evenly_spaced(len(fitting), FRAMES_SHOWN, rounded=False)]
    shown = frames[chosen]
    rows = {"frame": shown, **{name: draw(shown) for name, draw in drawers.items()}}
    of_each = [blobs[index] for index in chosen]
    return {name: _marked(drawn, shown, of_each) for name, drawn in rows.items()}


def _marked(drawn: Tensor, frames: Tensor, blobs: Sequence[Sequence[Blob]]) -> np.ndarray:
    """What was drawn of frames (N, H, W, C), magnified, with a box for each blob of the frames."""
    tiles = drawn.cpu().numpy().repeat(MAGNIFIED, 1).repeat(MAGNIFIED, 2)
    quadruples = zip(tiles, blobs, brightness(drawn), brightness(frames), strict=True)
    for tile, found, picture, truth in quadruples:
        for blob in found:
            x, y, width, height = cv2.boundingRect(blob.inside.astype(np.uint8))
            start = (MAGNIFIED * x - MAGNIFIED, MAGNIFIED * y - MAGNIFIED)
            end = (MAGNIFIED * (x + width) + MAGNIFIED, MAGNIFIED * (y + height) + MAGNIFIED)
            cv2.rectangle(tile, start, end, FOUND if blob.is_in(picture, truth) else MISSED)
    return tiles
