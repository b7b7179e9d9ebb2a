"""How far M can be trusted when it feeds on its own predictions, beside guesses without a model."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import to_float
from world_models.data.store import EpisodeRow
from world_models.measures.bootstrap import Doubles, ratio, ratio_interval
from world_models.measures.episodes import (
    PLAYED_SIDE_BY_SIDE,
    LatentEpisodes,
    play,
    with_progress,
)
from world_models.measures.rows import PREDICTORS, OpenLoopRow
from world_models.measures.vision import psnr
from world_models.models.draws import Draws, StreamDraws
from world_models.models.mdrnn import Hidden
from world_models.runs import seeding
from world_models.runs.progress import ProgressBar
from world_models.worlds.latent import LatentWorld, WorldModel
from world_models.worlds.memory import LatentState

HORIZONS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50)
"""Steps ahead that are judged."""
STARTS_PER_HORIZON = 256
"""Most starts from which a horizon is judged."""


@dataclass(frozen=True)
class Marginal:
    """The mean of the training episodes' frames.

    Of V's mu (L,), and of the pictures (H, W, C) in [0, 1].
    """

    latent: Tensor
    picture: Tensor


@dataclass(frozen=True)
class Start:
    """M has seen frames 0 to `step` of an episode and goes on alone."""

    row: EpisodeRow
    step: int

    @property
    def key(self) -> tuple[int, int]:
        return self.row.index, self.step


Warm = dict[tuple[int, int], Hidden]
"""The state (h, c), each (H,), that M has at a start, frame `step` not yet read."""


def open_loop_rows(
    world: WorldModel,
    episodes: LatentEpisodes,
    rows: list[EpisodeRow],
    marginal: Marginal,
    seed: int,
) -> list[OpenLoopRow]:
    """Mean squared errors of latents and pictures, a row per horizon and predictor.

    Horizons are those that fit into an episode. Latents are compared with V's mu of the true
    frame, pictures (in [0, 1]) with the true frame. The ratios are to copy's error, with 95 %
    intervals over episodes. Start points are fixed and spread evenly over the steps.
    """
    starts = {horizon: start_points(episodes, rows, horizon) for horizon in HORIZONS}
    all_starts = {start.key: start for chosen in starts.values() for start in chosen}
    warm = warmed(world, episodes, all_starts.values())
    rollouts = _Rollouts(world, episodes, warm, marginal)
    table = []
    total = sum(map(len, starts.values()))
    with ProgressBar("open loop", total) as bar:
        for horizon, chosen in starts.items():
            if chosen:
                table += _horizon_rows(horizon, chosen, rollouts.errors(chosen, horizon, seed, bar))
    return table


def start_points(episodes: LatentEpisodes, rows: list[EpisodeRow], horizon: int) -> list[Start]:
    """Up to STARTS_PER_HORIZON places, evenly spread, from which `horizon` frames follow."""
    places = np.array([max(0, episodes.frames(row) - horizon) for row in rows])
    ends = np.cumsum(places)
    count = min(STARTS_PER_HORIZON, int(places.sum()))
    chosen = (np.arange(count) + 0.5) * places.sum() / max(count, 1)
    chosen = chosen.astype(int)
    numbers = np.searchsorted(ends, chosen, side="right")
    return [
        Start(rows[i], int(place - (ends[i] - places[i])))
        for i, place in zip(numbers, chosen, strict=True)
    ]


def warmed(world: WorldModel, episodes: LatentEpisodes, starts: Iterable[Start]) -> Warm:
    """M's state at every start, after the real mean latents and actions before it."""
    steps: dict[int, set[int]] = defaultdict(set)
    rows = {}
    for start in starts:
        steps[start.row.index].add(start.step)
        rows[start.row.index] = start.row
    warm = {}
    for group in with_progress("open loop: states at the starts", list(rows.values())):
        stops = [max(steps[row.index]) + 1 for row in group]
        latents = [episodes.posterior(row, stop)[0] for row, stop in zip(group, stops, strict=True)]
        actions = [episodes.actions(row, 0, stop) for row, stop in zip(group, stops, strict=True)]
        for step, ((h, c), _) in enumerate(play(world.cell, latents, actions)):
            for column, row in enumerate(group):
                if step in steps[row.index]:
                    warm[row.index, step] = (h[column].clone(), c[column].clone())
    return warm


@dataclass(frozen=True)
class _Rollouts:
    """All that predictions from any start need."""

    world: WorldModel
    episodes: LatentEpisodes
    warm: Warm
    marginal: Marginal

    def errors(self, starts: list[Start], horizon: int, seed: int, bar: ProgressBar) -> Doubles:
        """Errors (N, 2, 5) from the starts: of latents and pictures, for each predictor."""
        found = []
        for errors in self._chunks(starts, horizon, seed):
            found.append(errors)
            bar.advance(len(errors), len(errors) * horizon)
        return np.concatenate(found)

    def _chunks(self, starts: list[Start], horizon: int, seed: int) -> Iterator[Doubles]:
        for chunk, first in enumerate(range(0, len(starts), PLAYED_SIDE_BY_SIDE)):
            chosen = starts[first : first + PLAYED_SIDE_BY_SIDE]
            padded = [chosen[i % len(chosen)] for i in range(PLAYED_SIDE_BY_SIDE)]
            generator = seeding.torch_generator(
                seed, "mdrnn", "open loop", horizon, chunk, device=self.world.device
            )
            yield self._chunk(padded, horizon, StreamDraws(generator))[: len(chosen)]

    @torch.inference_mode()
    def _chunk(self, starts: list[Start], horizon: int, draws: Draws) -> Doubles:
        """Errors (PLAYED_SIDE_BY_SIDE, 2, 5) of starts that are rolled on together."""
        world = self.world
        latent, picture = _at(world, self.episodes, starts, 0)
        true_latent, true_picture = _at(world, self.episodes, starts, horizon)
        actions = [
            self.episodes.actions(start.row, start.step, start.step + horizon) for start in starts
        ]
        executed = torch.from_numpy(np.stack(actions, axis=1)).to(world.device)
        states = [self.warm[start.key] for start in starts]
        h, c = (torch.stack(parts) for parts in zip(*states, strict=True))
        mean = roll_on(world, latent, executed, (h, c), None)
        sampled = roll_on(world, latent, executed, (h, c), draws)
        decode = world.vae.decoder
        usual = self.marginal.latent.to(world.device)
        usual_picture = self.marginal.picture.permute(2, 0, 1).to(world.device)
        latents = [mean, sampled, latent, usual, true_latent]
        pictures = [decode(mean), decode(sampled), picture, usual_picture, decode(true_latent)]
        errors = [_squared(latents, true_latent), _squared(pictures, true_picture)]
        return torch.stack(errors, dim=1).double().cpu().numpy()


def _at(
    world: WorldModel, episodes: LatentEpisodes, starts: list[Start], ahead: int
) -> tuple[Tensor, Tensor]:
    """What is true `ahead` frames after the starts.

    V's mean latents (N, L) and the pictures (N, C, H, W) in [0, 1].
    """
    mu, frames = episodes.at(
        [start.row for start in starts], [start.step + ahead for start in starts]
    )
    return mu.to(world.device), to_float(frames, world.device)


def roll_on(
    model: WorldModel, latent: Tensor, actions: Tensor, hidden: Hidden, draws: Draws | None
) -> Tensor:
    """latent (N, L), actions (steps, N, A), state (h, c) each (N, H) -> the last latent (N, L).

    M reads its own prediction back: the mixture's mean, or with `draws` a sample at temperature 1.
    """
    state = LatentState(latent, *hidden)
    world = LatentWorld(model, state, mean=draws is None)
    for action in actions:
        state = world.advance(state, action, draws).state
    return state.z


def _squared(guesses: list[Tensor], target: Tensor) -> Tensor:
    """Mean squared error of each guess (N, ...) for each of N targets: (N, guesses)."""
    return torch.stack([(guess - target).square().flatten(1).mean(1) for guess in guesses], dim=1)


def _horizon_rows(horizon: int, starts: list[Start], errors: Doubles) -> list[OpenLoopRow]:
    """The rows of one horizon from the errors (N, 2, 5) of its starts."""
    episode = np.unique([start.row.index for start in starts], return_inverse=True)[1]
    sums = np.zeros((episode.max() + 1, *errors.shape[1:]))
    np.add.at(sums, episode, errors)
    rows = []
    for column, predictor in enumerate(PREDICTORS):
        latent = _beside_copy(sums[:, 0], column, len(starts))
        pixel = _beside_copy(sums[:, 1], column, len(starts))
        row = OpenLoopRow(
            predictor=predictor,
            horizon=horizon,
            starts=len(starts),
            episodes=len(sums),
            latent_mse=latent.mse,
            latent_ratio=latent.ratio,
            latent_low=latent.low,
            latent_high=latent.high,
            pixel_mse=pixel.mse,
            pixel_ratio=pixel.ratio,
            pixel_low=pixel.low,
            pixel_high=pixel.high,
            psnr=psnr(pixel.mse),
        )
        rows.append(row)
    return rows


@dataclass(frozen=True)
class _BesideCopy:
    """A predictor's mean error, and its ratio to copy's with the interval."""

    mse: float
    ratio: float
    low: float
    high: float


def _beside_copy(sums: Doubles, column: int, count: int) -> _BesideCopy:
    """From sums per episode (E, 5) over `count` starts."""
    mine = sums[:, column]
    copied = sums[:, PREDICTORS.index("copy")]
    low, high = ratio_interval(mine, copied)
    return _BesideCopy(float(mine.sum()) / count, ratio(mine, copied), low, high)
