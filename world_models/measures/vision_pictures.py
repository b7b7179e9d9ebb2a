"""Pictures by which V is judged: rows of tiles, uint8 (N, 64, 64, C), for a labelled grid."""

import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import to_bytes, to_float
from world_models.measures.vision import LatentStatistics
from world_models.models.convvae import ConvVAE

MOST_TRAVERSALS = 8
"""Latents that are traversed, a row of tiles each."""
TRAVERSAL_DEVIATIONS = (-3, -2, -1, 0, 1, 2, 3)
"""By how many standard deviations a latent moves."""

Rows = dict[str, np.ndarray]
"""Per label, tiles uint8 (N, 64, 64, C)."""


@torch.inference_mode()
def reconstructions(model: ConvVAE, frames: Tensor) -> Rows:
    """Frames (N, 64, 64, C) uint8, what V draws from their mean latents, and the error."""
    x = to_float(frames, _device(model))
    return compared(x, model.decoder(model.encoder(x)[0]))


def compared(x: Tensor, drawn: Tensor) -> Rows:
    """Frames and their reconstructions (N, C, H, W) in [0, 1], and the error.

    The error is |difference| times a power of two, the largest that keeps its 99th percentile
    within 255; the label says which.
    """
    frames, reconstruction = _pictures(x), _pictures(drawn)
    error = np.abs(frames.astype(int) - reconstruction)
    high = max(1.0, float(np.percentile(error, 99)))
    gain = 2 ** max(0, int(np.floor(np.log2(255 / high))))
    brightened = np.minimum(255, error * gain).astype(np.uint8)
    label = "error" if gain == 1 else f"error, {gain} times"
    return {"frame": frames, "reconstruction": reconstruction, label: brightened}


def striking(frames: Tensor) -> Tensor:
    """Of frames (n, H, W, C) uint8 the one in which most is to be seen.

    Its pixels differ most.
    """
    return frames[frames.float().flatten(1).std(1).argmax()]


@torch.inference_mode()
def traversals(model: ConvVAE, frame: Tensor, latents: LatentStatistics) -> tuple[Rows, list[str]]:
    """What V draws when one latent of a frame (64, 64, C) uint8 moves and the others stay.

    There is a row for each of the eight latents whose posterior mean varies most. It moves by -3
    to 3 standard deviations of that mean over the held-out frames; in the middle stands the
    frame's own value. Returns the rows, and the columns' heads.
    """
    mu, _ = model.encoder(to_float(frame[None], _device(model)))
    deviation = latents.variance.sqrt().float()
    steps = torch.tensor(TRAVERSAL_DEVIATIONS, device=mu.device)
    rows = {}
    for latent in latents.variance.argsort(descending=True)[:MOST_TRAVERSALS].tolist():
        z = mu.repeat(len(TRAVERSAL_DEVIATIONS), 1)
        z[:, latent] += steps * deviation[latent]
        rows[f"z{latent} · {latents.kl[latent]:.2f} nats"] = _pictures(model.decoder(z))
    return rows, [f"{step:+d} sd" if step else "frame's z" for step in TRAVERSAL_DEVIATIONS]


@torch.inference_mode()
def prior_samples(model: ConvVAE, draw: torch.Generator, rows: int = 3, columns: int = 10) -> Rows:
    """What V draws from latents of the prior, z ~ N(0, I)."""
    z = torch.randn(rows * columns, model.config["latent_size"], generator=draw)
    tiles = _pictures(model.decoder(z.to(_device(model))))
    labels = ["z ~ N(0, I)", *(" " * number for number in range(1, rows))]
    return dict(zip(labels, tiles.reshape(rows, columns, *tiles.shape[1:]), strict=True))


def _device(model: ConvVAE) -> torch.device:
    return next(model.parameters()).device


def _pictures(x: Tensor) -> np.ndarray:
    """(N, C, H, W) float in [0, 1] -> (N, H, W, C) uint8."""
    return to_bytes(x).cpu().numpy()
