"""V and M on frames that the first episodes hardly show, apart from the usual ones.

An agent that goes where its data has not been sees frames that V cannot draw. Whether another
iteration cures that is lost in a mean over all frames: there are few of them. Which are rare is
decided without V and M, so neither the old ones nor the new ones are favoured.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from world_models.data.datasets import ObservationDataset
from world_models.data.store import EpisodeRow, EpisodeStore
from world_models.measures.calibration import Bools
from world_models.measures.episodes import Floats, LatentEpisodes, with_progress
from world_models.measures.judge import predict
from world_models.measures.likelihood import posterior_nll
from world_models.measures.road import off_road, shows_road
from world_models.measures.rows import KINDS, RareMemoryRow, RareVisionRow
from world_models.measures.vision import (
    FRAMES_AT_ONCE,
    HeldOut,
    PictureErrors,
    Successive,
    moving_pixels,
)
from world_models.measures.vision_baselines import Directions, Sample, fit_pca
from world_models.models.mdrnn import MDRNNCell
from world_models.runs.progress import tracked

Frames = npt.NDArray[np.uint8]
COMPONENTS = 32
"""Of the PCA."""
USUAL = 0.99
"""Share of the first held-out frames that are not rare."""
Rare = Callable[[Frames], Bools]
"""Which frames (F, H, W, C) of an episode, from its first on, are rare: (F,)."""
Draw = Callable[[Tensor], Tensor]
"""What V makes of frames (B, H, W, C) in [0, 1]: as many pictures."""


def rare_beside(store: EpisodeStore, seed: int, device: str) -> Rare:
    """What is rare beside the first episodes of a store, those before anything was added.

    On CarRacing these are the frames off the road. Elsewhere a PCA is fitted to the first
    episodes, and a frame is rare of which it loses more than of 99 % of their held-out frames.
    """
    if shows_road(store.env):
        return off_road
    first = store.beginning()
    pca = fit_pca(Sample(ObservationDataset(first, "train"), seed), COMPONENTS, seed, device)
    usual = np.concatenate([errors_of(pca, frames.numpy()) for frames, _ in HeldOut(first)])
    threshold = np.quantile(usual, USUAL)
    return lambda frames: errors_of(pca, frames) > threshold


@torch.inference_mode()
def errors_of(pca: Directions, frames: Frames) -> Floats:
    """The mean squared error of what a PCA keeps of frames (F, H, W, C), (F,)."""
    errors = []
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        some = torch.from_numpy(frames[first : first + FRAMES_AT_ONCE].copy())
        x = some.to(pca.mean.device).float().div_(255)
        errors.append((pca.keep(x) - x).square().flatten(1).mean(1).cpu().numpy())
    return np.concatenate(errors)


def rare_in(store: EpisodeStore, rows: Sequence[EpisodeRow], rare: Rare) -> list[Bools]:
    """Which valid frames of each episode are rare."""
    return [
        rare(store.episode(row).frames[: row.length + store.has_final_frame])
        for row in tracked("find rare frames", rows, len(rows), "episodes")
    ]


@torch.inference_mode()
def vision_rows(
    model: str, draw: Draw, held_out: Successive, rare: Bools, device: str
) -> list[RareVisionRow]:
    """How well a V draws held-out frames, of which `rare` (N,) are rare.

    There is a row for each kind of which there are any.
    """
    errors, left = {kind: PictureErrors() for kind in KINDS}, torch.from_numpy(rare)
    for frames, before in held_out:
        x = frames.to(device).float().div_(255)
        moving, pictures = moving_pixels(frames, before).to(device), draw(x)
        here, left = left[: len(x)], left[len(x) :]
        for kind, chosen in zip(KINDS, (~here, here), strict=True):
            errors[kind].add(pictures[chosen], x[chosen], moving[chosen])
    size = x[0].numel()
    return [
        RareVisionRow(model=model, kind=kind, frames=found.values // size, psnr=found.psnr)
        for kind, found in errors.items()
        if found.values
    ]


def memory_rows(
    model: str,
    cell: MDRNNCell,
    episodes: LatentEpisodes,
    rows: Sequence[EpisodeRow],
    rare: Rare,
    seed: int,
) -> list[RareMemoryRow]:
    """What the next latent costs an M, a row for each kind of frame that it belongs to.

    In bits per dimension above V's own uncertainty: what another scale of the latents adds to the
    one it adds to the other, so two V can be compared.
    """
    masks = dict(zip((row.index for row in rows), rare_in(episodes.store, rows, rare), strict=True))
    costs, kinds = [], []
    for group in with_progress("judge M on rare frames", list(rows)):
        loaded = [episodes.load(row) for row in group]
        drawn = [episode.sample(seed) for episode in loaded]
        for episode, latents, said in zip(loaded, drawn, predict(cell, loaded, drawn), strict=True):
            floor = posterior_nll(latents[1:], episode.mu[1:], episode.logsigma[1:])
            costs.append(said.nll - floor)
            kinds.append(masks[episode.row.index][1:])
    cost = np.concatenate(costs) / (episodes.latents.latent_size * np.log(2))
    found = np.concatenate(kinds)
    return [
        RareMemoryRow(model=model, kind=kind, frames=int(mask.sum()), bits=float(cost[mask].mean()))
        for kind, mask in zip(KINDS, (~found, found), strict=True)
        if mask.any()
    ]
