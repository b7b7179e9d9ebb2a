"""Bright moving things in frames whose blobs are known."""

import math

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from world_models.measures.blobs import (
    ALL,
    BlobCounts,
    Tally,
    blob_pictures,
    find_blobs,
    judge_blobs,
)
from world_models.measures.rows import BlobRow

SPOTS = ((10, 10, 1, 2), (10, 40, 3, 2), (30, 10, 4, 5), (40, 30, 8, 9))
"""Row, column, height and width of a blob of each class: 2, 6, 20 and 72 pixels."""
FIRE = (255, 230, 90)


def scene(spots: tuple[tuple[int, int, int, int], ...] = SPOTS, down: int = 0) -> Tensor:
    """A frame (1, 64, 64, 3) of a grey room with a brown wall, and fire in these places."""
    frame = np.full((1, 64, 64, 3), 75, np.uint8)
    frame[:, :, 55:] = (105, 85, 70)
    for row, column, height, width in spots:
        frame[:, row + down : row + down + height, column : column + width] = FIRE
    return torch.from_numpy(frame)


def counted(frame: Tensor, before: Tensor, drawn: Tensor) -> dict[str, BlobRow]:
    counts = BlobCounts()
    counts.add(frame, before, drawn)
    return {row.pixels: row for row in counts.rows("V")}


def test_a_perfect_picture_has_every_blob_and_no_other() -> None:
    rows = counted(scene(), scene(down=-1), scene())
    assert [row.blobs for row in rows.values()] == [1, 1, 1, 1, 4]
    assert {(row.recall, row.precision) for row in rows.values()} == {(1.0, 1.0)}


def test_a_picture_without_them_has_none() -> None:
    rows = counted(scene(), scene(down=-1), scene(()))
    assert [row.recall for row in rows.values()] == [0, 0, 0, 0, 0]
    assert rows[ALL].drawn == 0 and math.isnan(rows[ALL].precision)


def test_recall_is_by_size_and_what_is_made_up_costs_precision() -> None:
    rows = counted(scene(), scene(down=-1), scene((*SPOTS[2:], (5, 25, 2, 3))))
    assert [row.recall for row in rows.values()] == [0, 0, 1, 1, 0.5]
    assert (rows[ALL].drawn, rows[ALL].precision) == (3, pytest.approx(2 / 3))
    assert rows["4 to 9"].precision == 0


def test_what_stands_still_is_no_moving_thing_but_no_lie_either() -> None:
    rows = counted(scene(), scene(), scene())
    assert rows[ALL].blobs == 0 and math.isnan(rows[ALL].recall)
    assert (rows[ALL].drawn, rows[ALL].precision) == (4, 1.0)


@pytest.mark.parametrize(("share", "found"), [(0.52, 1.0), (0.48, 0.0)])
def test_half_of_the_contrast_is_enough(share: float, found: float) -> None:
    faded = scene(()).float() + share * (scene().float() - scene(()).float())
    assert counted(scene(), scene(down=-1), faded.round().byte())[ALL].recall == found


def test_a_brighter_room_is_no_blob() -> None:
    """Contrast counts, not brightness: light everywhere does not stand for fire."""
    assert counted(scene(), scene(down=-1), scene(()) + 120)[ALL].recall == 0


def test_a_large_blob_is_there_though_its_edge_is_soft() -> None:
    """What lies around it is as wide as it is large, so its glow does not count as that."""
    frame, before = (scene(((20, 10, 24, 24),), down) for down in (0, -1))
    soft = torch.from_numpy(cv2.GaussianBlur(frame[0].numpy(), (13, 13), 4))[None]
    assert counted(frame, before, soft)["30 or more"].recall == 1


def test_texture_of_a_bright_wall_is_no_blob() -> None:
    near = scene(())
    near[:, :, 40:] = 125
    near[:, 20:40:4, 42:60:5] = 150
    rows = counted(near, near.roll(1, dims=1), near)
    assert rows[ALL].blobs == rows[ALL].drawn == 0


def test_spots_are_connected_by_diagonals_as_for_opencv() -> None:
    draw = np.random.default_rng(0)
    values = (200 * (draw.random((64, 64)) < 0.05)).astype(np.uint8)
    count, labels = cv2.connectedComponents((values > 0).astype(np.uint8), connectivity=8)
    blobs = list(find_blobs(values))
    sizes = sorted(np.bincount(labels.ravel())[1:].tolist())
    assert len(blobs) == count - 1 and sorted(blob.size for blob in blobs) == sizes
    for blob in blobs:
        assert blob.contrast(values) == 200 and not (blob.inside & blob.around).any()


class Recorded:
    """Held-out frames in which the fire goes down, one row a frame."""

    def __len__(self) -> int:
        return 20

    def pairs(self, places: np.ndarray) -> tuple[Tensor, Tensor]:
        frames = [scene(SPOTS[2:3], int(place)) for place in places]
        before = [scene(SPOTS[2:3], int(place) - 1) for place in places]
        return torch.cat(frames), torch.cat(before)


def test_ways_to_draw_stand_beside_each_other() -> None:
    drawers = {"V": lambda frames: frames, "PCA": lambda frames: frames * 0 + 75}
    rows = judge_blobs(Recorded(), drawers)  # type: ignore[arg-type]
    of_all = [(row.name, row.blobs, row.recall) for row in rows if row.pixels == ALL]
    assert of_all == [("V", 20, 1.0), ("PCA", 20, 0.0)]
    assert math.isnan(Tally().row("V", ALL).recall)


def test_pictures_mark_what_is_there_and_what_is_not() -> None:
    drawers = {"V": lambda frames: frames, "PCA": lambda frames: frames * 0 + 75}
    rows = blob_pictures(Recorded(), drawers)  # type: ignore[arg-type]
    assert {name: tiles.shape for name, tiles in rows.items()} == dict.fromkeys(
        ("frame", "V", "PCA"), (8, 192, 192, 3)
    )
    greens = {name: (tiles == (60, 220, 60)).all(-1).any() for name, tiles in rows.items()}
    pinks = {name: (tiles == (255, 40, 160)).all(-1).any() for name, tiles in rows.items()}
    assert greens == {"frame": True, "V": True, "PCA": False}
    assert pinks == {"frame": False, "V": False, "PCA": True}
