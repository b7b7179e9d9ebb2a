"""Numbers by which V is judged.

They say what its pictures lose of held-out frames, and what its latents carry of them.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from world_models.data.datasets import ObservationDataset, batches
from world_models.data.loading import watched_split
from world_models.data.store import EpisodeStore
from world_models.losses import latent_kl
from world_models.measures.rows import BaselineRow, VisionRow
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import cells

MOVING_DIFFERENCE = 8
"""Of 255: by more than this a channel of a moving pixel differs from the frame before."""
ACTIVE_VARIANCE = 0.01
"""A latent whose posterior mean varies more is active (Burda et al. 2016, section 5.2)."""
COLLAPSED_KL = 0.01
"""In nats: a latent whose KL is no more says nothing."""
FRAMES_AT_ONCE = 64
"""Frames in a batch."""

Successive = Iterable[tuple[Tensor, Tensor]]
"""Batches of frames (B, H, W, C) uint8, each with the frames just before."""


class HeldOut:
    """The frames on which V is judged, in order.

    They are the validation episodes', or the training episodes' where there are none.
    """

    def __init__(self, store: EpisodeStore, most: int | None = None) -> None:
        """Of more than `most` frames so many are gone through, evenly spread."""
        self.split = watched_split(store, "frames")
        self.data = ObservationDataset(store, self.split)
        lengths = [row.length + store.has_final_frame for row in store.episodes(self.split)]
        self._begins = np.cumsum([0, *lengths])[:-1]
        count = min(most or len(self.data), len(self.data))
        self.chosen = evenly_spaced(len(self.data), count)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches (B, H, W, C) uint8 and the frames just before them.

        An episode's first frame has itself before it.
        """
        order = batches(len(self.chosen), FRAMES_AT_ONCE, seed=0, epoch=0, shuffle=False)
        count = len(self.chosen)
        with ProgressBar("judge on held-out frames", count, rate_unit="frames") as bar:
            for indices in order:
                yield self.pairs(self.chosen[indices])
                bar.advance(len(indices))

    def pairs(self, indices: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """These frames (B, H, W, C) uint8, and those just before them."""
        before = np.where(np.isin(indices, self._begins), indices, indices - 1)
        return self.data.__getitems__(indices), self.data.__getitems__(before)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [0, 1]: -10 log10(mse); infinite for 0."""
    return math.inf if mse == 0 else -10 * math.log10(mse)


def moving_pixels(frames: Tensor, before: Tensor) -> Tensor:
    """Where a channel differs by more than 8 of 255.

    Two batches (B, H, W, C) uint8 -> (B, H, W) bool.
    """
    return (frames.short() - before.short()).abs().amax(-1) > MOVING_DIFFERENCE


@dataclass
class PictureErrors:
    """Squared errors of pictures in [0, 1], pooled over all that was added.

    They are of all values, and of moving pixels alone.
    """

    squared: float = 0.0
    values: int = 0
    moving_squared: float = 0.0
    moving_values: int = 0

    def add(self, pictures: Tensor, x: Tensor, moving: Tensor) -> None:
        """pictures, x (B, H, W, C) float in [0, 1]; moving (B, H, W) bool."""
        assert pictures.shape == x.shape, (pictures.shape, x.shape)
        assert moving.shape == x.shape[:-1], (moving.shape, x.shape)
        squared = (pictures - x).square().sum(-1)
        self.squared += float(squared.sum())
        self.values += x.numel()
        self.moving_squared += float(squared[moving].sum())
        self.moving_values += int(moving.sum()) * x.shape[-1]

    @property
    def mse(self) -> float:
        """Mean squared error."""
        return self.squared / self.values

    @property
    def psnr(self) -> float:
        """In dB, from the pooled mean squared error."""
        return psnr(self.mse)

    @property
    def psnr_moving(self) -> float:
        """The same over moving pixels alone; NaN where nothing moves."""
        return psnr(self.moving_squared / self.moving_values) if self.moving_values else math.nan

    @property
    def moving(self) -> float:
        """Share of the pixels that move."""
        return self.moving_values / self.values


@dataclass
class LatentStatistics:
    """What each of L latents carries over all frames added; every vector is (L,) float64."""

    frames: int = 0
    # of KL, mu and mu^2
    sums: Tensor = field(default_factory=lambda: torch.zeros(3, 1, dtype=torch.float64))

    def add(self, mu: Tensor, logsigma: Tensor) -> None:
        """The posteriors of a batch of frames, (B, L) each."""
        mu = mu.double()
        values = torch.stack([latent_kl(mu, logsigma.double()), mu, mu.square()])
        self.frames += len(mu)
        self.sums = self.sums.to(mu.device) + values.sum(1)

    @property
    def kl(self) -> Tensor:
        """Mean KL to the prior in nats."""
        return self.sums[0] / self.frames

    @property
    def mean(self) -> Tensor:
        """Mean of the posterior mean."""
        return self.sums[1] / self.frames

    @property
    def variance(self) -> Tensor:
        """Variance of the posterior mean over frames."""
        return (self.sums[2] / self.frames - self.mean.square()).clamp(min=0)

    @property
    def active(self) -> int:
        """Number of latents whose posterior mean has a variance above 0.01 (Burda et al. 2016)."""
        return int((self.variance > ACTIVE_VARIANCE).sum())

    def at_floor(self, tolerance: float) -> float:
        """Share of the latents whose mean KL is no more than the free bits of one latent.

        The free bits, `tolerance`, count as no less than 0.01 nats.
        """
        return float((self.kl <= max(tolerance, COLLAPSED_KL)).double().mean())


@dataclass
class Judgement:
    """What the held-out frames say of V: terms of its loss, errors of its pictures, its latents."""

    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    pictures: PictureErrors = field(default_factory=PictureErrors)
    latents: LatentStatistics = field(default_factory=LatentStatistics)

    def add_terms(self, terms: dict[str, Tensor], frames: int) -> None:
        """Means of a batch of so many frames."""
        for name, value in terms.items():
            self.sums[name] += float(value) * frames

    def row(self, tolerance: float) -> VisionRow:
        """All of it in one row.

        Terms are in nats per frame, psnr and psnr_moving in dB. Then come the number of active
        latents, and the share at the floor.
        """
        terms = {name: value / self.latents.frames for name, value in self.sums.items()}
        return VisionRow(
            loss=terms["loss"],
            reconstruction=terms["reconstruction"],
            kl=terms["kl"],
            psnr=self.pictures.psnr,
            psnr_moving=self.pictures.psnr_moving,
            active=self.latents.active,
            at_floor=self.latents.at_floor(tolerance),
        )


def baseline_row(name: str, components: int, errors: PictureErrors) -> BaselineRow:
    """One row of a table of errors."""
    return BaselineRow(
        name=name,
        components=components,
        mse=errors.mse,
        psnr=errors.psnr,
        psnr_moving=errors.psnr_moving,
    )


def quality(found: Judgement, table: list[BaselineRow], tolerance: float) -> dict[str, Any]:
    """All that is known of a V, in JSON's types.

    Its pictures stand beside the rows of the baselines; then come its loss and its latents. NaN
    and infinity, which JSON has not, become None.
    """
    latents = found.latents
    rows = [baseline_row("V", len(latents.kl), found.pictures), *table]
    pictures = [{name: finite_or_none(value) for name, value in cells(row).items()} for row in rows]
    facts = {"frames": latents.frames, "moving": found.pictures.moving, "kl_tolerance": tolerance}
    scores = cells(found.row(tolerance))
    terms = {name: value for name, value in scores.items() if name not in pictures[0]}
    vectors = {
        "kl_per_latent": latents.kl.tolist(),
        "variance_per_latent": latents.variance.tolist(),
    }
    return {"pictures": pictures, **facts, **terms, "latent_size": len(latents.kl), **vectors}


def finite_or_none(value: Any) -> Any:
    """A number, or None for one that JSON has not."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def log_line(validation: VisionRow, table: list[BaselineRow]) -> str:
    """A judgement in a line for people."""
    terms = (
        f"validation loss {validation.loss:.2f} "
        f"(reconstruction {validation.reconstruction:.2f}, KL {validation.kl:.2f} nats)"
    )
    beside = ", ".join(f"{row.name} {row.psnr:.2f}" for row in table)
    quality = f"PSNR {validation.psnr:.2f} dB ({beside})"
    return f"{terms}, {quality}, {validation.active} latents active"
