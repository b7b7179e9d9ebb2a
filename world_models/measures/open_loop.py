"""How far M can be trusted when it feeds on its own predictions, beside guesses without a model."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from world_models.data.datasets import to_float
from world_models.data.store import EpisodeRow
from world_models.measures.bootstrap import Doubles, ratio, ratio_interval
from world_models.measures.episodes import PLAYED_SIDE_BY_SIDE, LatentEpisodes
from world_models.measures.open_loop_starts import Start, Warm, start_points, warmed
from world_models.measures.rows import PREDICTORS, OpenLoopRow
from world_models.measures.vision import psnr
from world_models.models.draws import Draws, StreamDraws
from world_models.models.mdrnn import Hidden
from world_models.runs import seeding
from world_models.runs.progress import ProgressBar
from world_models.worlds.latent import Dreamt, LatentWorld, WorldModel
from world_models.worlds.memory import LatentState

HORIZONS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50)
"""Steps ahead that are judged."""
PICTURED_STARTS = 256
"""Most starts from which the pictures of a horizon are judged: drawing them takes V long."""
LATENT_STEPS = 8192
"""Steps of M, for each horizon, in which latents are judged: one step ahead from as many starts.

Further ahead the starts are fewer, but never fewer than those of the pictures.
"""
LATENTS_SIDE_BY_SIDE = 64
"""Starts that are rolled on at once where nothing is drawn."""


@dataclass(frozen=True)
class Marginal:
    """The mean of the training episodes' frames.

    Of V's mu (L,), and of the pictures (H, W, C) in [0, 1].
    """

    latent: Tensor
    picture: Tensor


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
    intervals over episodes. Start points are fixed and spread evenly over the steps: latents are
    judged from more of them than pictures, near ahead from all but the most.
    """
    judged = [_Judged.of(episodes, rows, horizon) for horizon in HORIZONS]
    judged = [one for one in judged if one.starts]
    every = {start.key: start for one in judged for start in [*one.starts, *one.pictured]}
    rollouts = _Rollouts(world, episodes, warmed(world, episodes, every.values()), marginal)
    table = []
    total = sum(len(one.starts) + len(one.pictured) for one in judged)
    with ProgressBar("open loop", total) as bar:
        for one in judged:
            latent = rollouts.errors(one.starts, one.horizon, seed, bar)
            pixel = rollouts.errors(one.pictured, one.horizon, seed, bar, pictures=True)
            table += _horizon_rows(one, latent, pixel)
    return table


@dataclass(frozen=True)
class _Judged:
    """From where a horizon is judged."""

    horizon: int
    # latents
    starts: list[Start]
    # pictures
    pictured: list[Start]

    @classmethod
    def of(cls, episodes: LatentEpisodes, rows: list[EpisodeRow], horizon: int) -> "_Judged":
        most = max(PICTURED_STARTS, LATENT_STEPS // horizon)
        return cls(
            horizon,
            start_points(episodes, rows, horizon, most),
            start_points(episodes, rows, horizon, PICTURED_STARTS),
        )


@dataclass(frozen=True)
class _Rollouts:
    """All that predictions from any start need."""

    world: WorldModel
    episodes: LatentEpisodes
    warm: Warm
    marginal: Marginal

    def errors(
        self,
        starts: list[Start],
        horizon: int,
        seed: int,
        bar: ProgressBar,
        pictures: bool = False,
    ) -> Doubles:
        """Errors (N, 5) from the starts of each predictor: of its latents or its pictures."""
        found = []
        label = "open loop" if pictures else "open loop, latents"
        width = PLAYED_SIDE_BY_SIDE if pictures else LATENTS_SIDE_BY_SIDE
        for chunk, first in enumerate(range(0, len(starts), width)):
            chosen = starts[first : first + width]
            padded = [chosen[i % len(chosen)] for i in range(width)]
            generator = seeding.torch_generator(
                seed, "mdrnn", label, horizon, chunk, device=self.world.device
            )
            judge = self._picture_errors if pictures else self._latent_errors
            errors = judge(padded, horizon, StreamDraws(generator))[: len(chosen)]
            found.append(errors.double().cpu().numpy())
            bar.advance(len(chosen), len(chosen) * horizon)
        return np.concatenate(found)

    @torch.inference_mode()
    def _latent_errors(self, starts: list[Start], horizon: int, draws: Draws) -> Tensor:
        """Errors (N, 5) of the latents of starts that are rolled on together."""
        latent = self.warm.at(starts, 0, self.world.device)
        truth = self.warm.at(starts, horizon, self.world.device)
        usual = self.marginal.latent.to(self.world.device)
        return _squared(
            [*self._rolled_on(starts, latent, horizon, draws), latent, usual, truth], truth
        )

    @torch.inference_mode()
    def _picture_errors(self, starts: list[Start], horizon: int, draws: Draws) -> Tensor:
        """Errors (N, 5) of the pictures of starts that are rolled on together."""
        world = self.world
        latent, picture = _at(world, self.episodes, starts, 0)
        true_latent, truth = _at(world, self.episodes, starts, horizon)
        mean, sampled = self._rolled_on(starts, latent, horizon, draws)
        usual = self.marginal.picture.permute(2, 0, 1).to(world.device)
        decode = world.vae.decoder
        return _squared([decode(mean), decode(sampled), picture, usual, decode(true_latent)], truth)

    def _rolled_on(
        self, starts: list[Start], latent: Tensor, horizon: int, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """Latents (N, L) so many steps after those (N, L) of the starts: M's mean, and a sample."""
        actions = [
            self.episodes.actions(start.row, start.step, start.step + horizon) for start in starts
        ]
        executed = torch.from_numpy(np.stack(actions, axis=1)).to(self.world.device)
        states = [self.warm.hidden[start.key] for start in starts]
        h, c = (torch.stack(parts) for parts in zip(*states, strict=True))
        mean = roll_on(self.world, latent, executed, (h, c), None)
        return mean, roll_on(self.world, latent, executed, (h, c), draws)


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
    start = LatentState(latent, *hidden)
    world = LatentWorld(model, start, mean=draws is None)
    state: Dreamt = start
    for action in actions:
        state = world.advance(state, action, draws).state
    return state.z


def _squared(guesses: list[Tensor], target: Tensor) -> Tensor:
    """Mean squared error of each guess (N, ...) for each of N targets: (N, guesses)."""
    return torch.stack([(guess - target).square().flatten(1).mean(1) for guess in guesses], dim=1)


def _horizon_rows(judged: _Judged, latent: Doubles, pixel: Doubles) -> list[OpenLoopRow]:
    """The rows of one horizon from the errors (N, 5) of its starts, of latents and of pictures."""
    latents = _by_episode(judged.starts, latent)
    pictures = _by_episode(judged.pictured, pixel)
    rows = []
    for column, predictor in enumerate(PREDICTORS):
        of_z = _beside_copy(latents, column, len(latent))
        of_picture = _beside_copy(pictures, column, len(pixel))
        row = OpenLoopRow(
            predictor=predictor,
            horizon=judged.horizon,
            starts=len(latent),
            pixel_starts=len(pixel),
            episodes=len(latents),
            latent_mse=of_z.mse,
            latent_ratio=of_z.ratio,
            latent_low=of_z.low,
            latent_high=of_z.high,
            pixel_mse=of_picture.mse,
            pixel_ratio=of_picture.ratio,
            pixel_low=of_picture.low,
            pixel_high=of_picture.high,
            psnr=psnr(of_picture.mse),
        )
        rows.append(row)
    return rows


def _by_episode(starts: list[Start], errors: Doubles) -> Doubles:
    """Errors (N, 5) of the starts, summed over each episode (E, 5)."""
    episode = np.unique([start.row.index for start in starts], return_inverse=True)[1]
    sums = np.zeros((episode.max() + 1, errors.shape[1]))
    np.add.at(sums, episode, errors)
    return sums


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
