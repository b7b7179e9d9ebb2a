"""What a picture keeps without any network.

The baselines are the mean image, and as many principal components as V has latents.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import ObservationDataset
from world_models.measures.rows import BaselineRow
from world_models.measures.vision import (
    FRAMES_AT_ONCE,
    PictureErrors,
    Successive,
    baseline_row,
    moving_pixels,
)
from world_models.runs import seeding
from world_models.runs.progress import ProgressBar

MOST_FRAMES = 8192
"""Frames of the training episodes to which the baselines are fitted, at most."""
PCA_OVERSAMPLING = 16
"""Directions that are followed beside those that are wanted."""
PCA_ITERATIONS = 6
"""Times that the frames are read for the directions."""


def mean_picture(batches: Iterable[Tensor]) -> Tensor:
    """The mean of all frames, (H, W, C) float32 in [0, 1]; batches are (B, H, W, C) uint8.

    Frames are summed as whole numbers, so the mean is exact.
    """
    total = np.zeros(1, np.int64)
    count = 0
    for frames in batches:
        # by numpy: torch would widen all frames first
        total = total + frames.numpy().sum(0, dtype=np.int64)
        count += len(frames)
    return torch.from_numpy(total / (255 * count)).float()


def principal_components(
    batches: Iterable[Tensor], mean: Tensor, count: int, draw: torch.Generator
) -> Tensor:
    """The first `count` principal directions of frames with this mean (H, W, C).

    They are orthonormal columns (H*W*C, count). Orthogonal iteration finds them, with a
    Rayleigh-Ritz step (Golub & Van Loan, section 8.2.4; Halko et al. 2011, algorithm 4.4). It
    begins from directions that `draw` gives, 16 more than asked for. `batches` is read six times,
    one in memory at a time.
    """
    start = torch.randn(mean.numel(), count + PCA_OVERSAMPLING, generator=draw)
    following = start.to(mean.device)
    for _ in range(PCA_ITERATIONS):
        basis = torch.linalg.qr(following).Q
        following = torch.zeros_like(basis)
        for frames in batches:
            centred = frames.to(mean.device).float().div_(255).sub_(mean).flatten(1)
            following += centred.T @ (centred @ basis)
    _, vectors = torch.linalg.eigh(basis.T @ following)
    return basis @ vectors.flip(1)[:, :count]


def projected(x: Tensor, mean: Tensor, directions: Tensor) -> Tensor:
    """x (B, H, W, C) in [0, 1] -> what `directions` keep of it.

    It is clipped to [0, 1], which can only bring it nearer.
    """
    centred = (x - mean).flatten(1)
    return ((centred @ directions) @ directions.T).view_as(x).add_(mean).clamp_(0, 1)


@dataclass(frozen=True)
class Directions:
    """Some directions from the mean picture, of which a picture keeps its part."""

    # (H, W, C) float32 in [0, 1]
    mean: Tensor
    # (H*W*C, K), orthonormal columns
    columns: Tensor

    def keep(self, x: Tensor) -> Tensor:
        """x (B, H, W, C) in [0, 1] -> what is kept of it, as `projected` says."""
        return projected(x, self.mean, self.columns)


class Sample:
    """At most 8192 of the frames, drawn from the seed: batches in an order that never changes."""

    def __init__(self, data: ObservationDataset, seed: int) -> None:
        self.data = data
        draw = seeding.generator(seed, "vae", "baselines", "frames")
        self.chosen = np.sort(draw.choice(len(data), min(MOST_FRAMES, len(data)), replace=False))

    def __iter__(self) -> Iterator[Tensor]:
        with ProgressBar("frames for baselines", len(self.chosen), rate_unit="frames") as bar:
            for start in range(0, len(self.chosen), FRAMES_AT_ONCE):
                frames = self.data.__getitems__(self.chosen[start : start + FRAMES_AT_ONCE])
                yield frames
                bar.advance(len(frames))


@torch.inference_mode()
def fit_pca(train: Iterable[Tensor], components: int, seed: int, device: str) -> Directions:
    """The PCA of the training frames; `train` is read seven times."""
    mean = mean_picture(train).to(device)
    draw = seeding.torch_generator(seed, "vae", "baselines", "directions")
    return Directions(mean, principal_components(train, mean, components, draw))


@torch.inference_mode()
def baselines(
    train: Iterable[Tensor], held_out: Successive, components: int, seed: int, device: str
) -> list[BaselineRow]:
    """What a PCA of the training frames, and their mean, lose of the held-out frames.

    The PCA has so many `components`. Rows name, components (0 for the mean image), mse, psnr and
    psnr_moving in dB. `train` is read seven times.
    """
    pca = fit_pca(train, components, seed, device)
    kept = {"PCA": pca, "mean image": Directions(pca.mean, pca.columns[:, :0])}
    errors = {name: PictureErrors() for name in kept}
    for frames, before in held_out:
        moving = moving_pixels(frames, before).to(device)
        x = frames.to(device).float().div_(255)
        for name, part in kept.items():
            errors[name].add(part.keep(x), x, moving)
    return [baseline_row(name, part.columns.shape[1], errors[name]) for name, part in kept.items()]
