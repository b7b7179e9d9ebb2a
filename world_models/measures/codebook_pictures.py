"""Pictures of codes: what lies in frames where a code is used."""

import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import to_float
from world_models.measures.vision import HeldOut
from world_models.measures.vision_pictures import Rows, compared
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.numbers import evenly_spaced
from world_models.worlds.tokenizing import token_encoder

SHOWN_CODES, SHOWN_PLACES = 12, 12
"""Codes that are shown, those used most, and places of each."""
TILE = 32
"""Least side of a tile in pixels; smaller cells are magnified."""
FRAMES_AT_ONCE = 64
BLANK = 255
"""What stands where a code has fewer places."""
REDRAWN = 10
"""Held-out frames that are drawn from their tokens."""


@torch.inference_mode()
def redrawn(model: Tokenizer, held_out: HeldOut, device: str) -> Rows:
    """Some held-out frames, what is drawn from their tokens, and the error."""
    some = held_out.data.__getitems__(evenly_spaced(len(held_out), REDRAWN, rounded=False))
    x = to_float(some, device)
    return compared(x, model.decode(model.encode(x)))


def codes_in_use(model: Tokenizer, frames: Tensor, device: str) -> Rows:
    """Frames (N, S, S, C) uint8 -> for the codes used most, cells of the frames that have them.

    A row of tiles per code, labelled with its number and its share of all cells. The places are
    evenly spread over all that there are.
    """
    encode = token_encoder(model, device)
    tokens = torch.cat([encode(part).cpu() for part in frames.split(FRAMES_AT_ONCE)])
    counts = torch.bincount(tokens.flatten(), minlength=model.vocabulary)
    cells = cells_of(frames, model.grid)
    most = counts.sort(descending=True, stable=True).indices[:SHOWN_CODES]
    shown = [code for code in most.tolist() if counts[code]]
    shares = counts / counts.sum()
    return {
        f"{code} · {100 * float(shares[code]):.1f} %": _tiles(cells[tokens.flatten() == code])
        for code in shown
    }


def cells_of(frames: Tensor, grid: tuple[int, int]) -> Tensor:
    """frames (N, S, S, C) -> the cell of each token, row by row, (N * gh * gw, side, side, C)."""
    rows, columns = grid
    high, wide = frames.shape[1] // rows, frames.shape[2] // columns
    cut = frames.unflatten(2, (columns, wide)).unflatten(1, (rows, high))
    return cut.transpose(2, 3).flatten(0, 2)


def _tiles(cells: Tensor) -> np.ndarray:
    """Some of the cells (n, side, side, C), magnified: uint8 (SHOWN_PLACES, TILE', TILE', C)."""
    places = np.linspace(0, len(cells) - 1, min(SHOWN_PLACES, len(cells))).round().astype(int)
    times = -(-TILE // cells.shape[1])
    shown = cells.numpy()[places].repeat(times, 1).repeat(times, 2)
    blank = np.full((SHOWN_PLACES - len(shown), *shown.shape[1:]), BLANK, np.uint8)
    return np.concatenate([shown, blank])
