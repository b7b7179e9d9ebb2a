"""V and M on frames that the first episodes hardly show, apart from the usual ones.

An agent that goes where its data has not been sees frames that V cannot draw. Whether another
iteration cures that is lost in a mean over all frames: there are few of them. Which are rare is
decided without V and M, so neither the old ones nor the new ones are favoured: a PCA is fitted to
the first episodes, and a frame is rare of which it loses more than of all but 1 % of their own
held-out frames.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import ObservationDataset
from world_models.data.store import EpisodeRow, EpisodeStore
from world_models.measures.bootstrap import Doubles
from world_models.measures.episodes import LatentEpisodes, with_progress
from world_models.measures.judge import predict
from world_models.measures.likelihood import posterior_nll
from world_models.measures.rows import KINDS, RareMemoryRow, RareVisionRow
from world_models.measures.vision import HeldOut, PictureErrors, Successive, moving_pixels
from world_models.measures.vision_baselines import Directions, Sample, fit_pca
from world_models.models.mdrnn import MDRNNCell

COMPONENTS = 32
"""Of the PCA."""
USUAL = 0.99
"""Share of the first held-out frames that are not rare."""
Draw = Callable[[Tensor], Tensor]
"""What V makes of frames (B, H, W, C) in [0, 1]: as many pictures."""


@dataclass(frozen=True)
class Rarity:
    """A PCA of the first frames, and the mean squared error above which a frame is rare."""

    pca: Directions
    threshold: float

    def __call__(self, frames: Tensor) -> Tensor:
        """Which of frames (B, H, W, C) uint8 are rare: (B,) bool."""
        return errors_of(self.pca, frames) > self.threshold


@torch.inference_mode()
def errors_of(pca: Directions, frames: Tensor) -> Tensor:
    """The mean squared error of what a PCA keeps of frames (B, H, W, C) uint8, (B,)."""
    x = frames.to(pca.mean.device).float().div_(255)
    return (pca.keep(x) - x).square().flatten(1).mean(1).cpu()


def rarity_of(store: EpisodeStore, seed: int, device: str) -> Rarity:
    """What is rare beside the first episodes of a store, those before anything was added."""
    first = store.beginning()
    pca = fit_pca(Sample(ObservationDataset(first, "train"), seed), COMPONENTS, seed, device)
    errors = torch.cat([errors_of(pca, frames) for frames, _ in HeldOut(first)])
    return Rarity(pca, float(np.quantile(errors.numpy(), USUAL)))


@torch.inference_mode()
def vision_rows(
    model: str, draw: Draw, held_out: Successive, rare: Rarity, device: str
) -> list[RareVisionRow]:
    """How well a V draws held-out frames, a row for each kind of which there are any."""
    errors = {kind: PictureErrors() for kind in KINDS}
    for frames, before in held_out:
        x = frames.to(device).float().div_(255)
        moving, pictures = moving_pixels(frames, before).to(device), draw(x)
        for kind, chosen in split(rare(frames)).items():
            errors[kind].add(pictures[chosen], x[chosen], moving[chosen])
    size = x[0].numel()
    return [
        RareVisionRow(model=model, kind=kind, frames=found.values // size, psnr=found.psnr)
        for kind, found in errors.items()
        if found.values
    ]


def split(rare: Tensor) -> dict[str, Tensor]:
    """Kind -> which frames are of it, of (B,) bool."""
    return dict(zip(KINDS, (~rare, rare), strict=True))


def memory_rows(
    model: str,
    cell: MDRNNCell,
    episodes: LatentEpisodes,
    rows: Iterable[EpisodeRow],
    rare: Rarity,
    seed: int,
) -> list[RareMemoryRow]:
    """What the next latent costs an M, a row for each kind of frame that it belongs to.

    In bits per dimension above V's own uncertainty: what another scale of the latents adds to the
    one it adds to the other, so two V can be compared.
    """
    costs, kinds = [], []
    for group in with_progress("judge M on rare frames", list(rows)):
        loaded = [episodes.load(row) for row in group]
        drawn = [episode.sample(seed) for episode in loaded]
        for episode, latents, said in zip(loaded, drawn, predict(cell, loaded, drawn), strict=True):
            floor = posterior_nll(latents[1:], episode.mu[1:], episode.logsigma[1:])
            costs.append(said.nll - floor)
            kinds.append(_rare_in(episodes, episode.row, rare)[1:])
    cost = np.concatenate(costs) / (episodes.latents.latent_size * np.log(2))
    masks = split(torch.from_numpy(np.concatenate(kinds)))
    return [
        RareMemoryRow(model=model, kind=kind, frames=int(mask.sum()), bits=_mean(cost, mask))
        for kind, mask in masks.items()
        if mask.any()
    ]


def _rare_in(episodes: LatentEpisodes, row: EpisodeRow, rare: Rarity) -> np.ndarray:
    """Which frames of an episode are rare, (F,) bool."""
    return torch.cat([rare(frames) for frames in episodes.pictures(row)]).numpy()


def _mean(cost: Doubles, mask: Tensor) -> float:
    return float(cost[mask.numpy()].mean())
