"""Places in episodes from which M goes on alone, and what it knows there."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from world_models.data.store import EpisodeRow
from world_models.measures.episodes import Floats, LatentEpisodes, play, with_progress
from world_models.models.mdrnn import Hidden
from world_models.worlds.latent import WorldModel


@dataclass(frozen=True)
class Start:
    """M has seen frames 0 to `step` of an episode and goes on alone."""

    row: EpisodeRow
    step: int

    @property
    def key(self) -> tuple[int, int]:
        return self.row.index, self.step


@dataclass(frozen=True)
class Warm:
    """What rolling on from starts begins with."""

    # by start: M's (h, c), each (H,), frame `step` not yet read
    hidden: dict[tuple[int, int], Hidden]
    # by episode: V's mu (F, L) of its frames
    mu: dict[int, Floats]

    def at(self, starts: list[Start], ahead: int, device: torch.device) -> Tensor:
        """V's mu (N, L) of the frames `ahead` steps after the starts."""
        mu = [self.mu[start.row.index][start.step + ahead] for start in starts]
        return torch.from_numpy(np.stack(mu)).to(device)


def start_points(
    episodes: LatentEpisodes, rows: list[EpisodeRow], horizon: int, most: int
) -> list[Start]:
    """Up to `most` places, evenly spread, from which `horizon` frames follow."""
    places = np.array([max(0, episodes.frames(row) - horizon) for row in rows])
    ends = np.cumsum(places)
    count = min(most, int(places.sum()))
    chosen = (np.arange(count) + 0.5) * places.sum() / max(count, 1)
    chosen = chosen.astype(int)
    numbers = np.searchsorted(ends, chosen, side="right")
    return [
        Start(rows[i], int(place - (ends[i] - places[i])))
        for i, place in zip(numbers, chosen, strict=True)
    ]


def warmed(world: WorldModel, episodes: LatentEpisodes, starts: Iterable[Start]) -> Warm:
    """M's state at every start, after the real mean latents and actions before it.

    With it come the mean latents of the episodes: they are encoded once.
    """
    steps: dict[int, set[int]] = defaultdict(set)
    rows = {}
    for start in starts:
        steps[start.row.index].add(start.step)
        rows[start.row.index] = start.row
    warm = Warm({}, {})
    for group in with_progress("open loop: states at the starts", list(rows.values())):
        stops = [max(steps[row.index]) + 1 for row in group]
        latents = [episodes.posterior(row, episodes.frames(row))[0] for row in group]
        warm.mu.update((row.index, mu) for row, mu in zip(group, latents, strict=True))
        actions = [episodes.actions(row, 0, stop) for row, stop in zip(group, stops, strict=True)]
        for step, ((h, c), _) in enumerate(play(world.cell, latents, actions)):
            for column, row in enumerate(group):
                if step in steps[row.index]:
                    warm.hidden[row.index, step] = (h[column].clone(), c[column].clone())
    return warm
