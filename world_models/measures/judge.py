"""M judged on held-out episodes: all its tables.

Each episode is played from its first frame, with the state carried.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch

from world_models.data.store import EpisodeRow
from world_models.losses import gmm_loss
from world_models.measures.bootstrap import Doubles
from world_models.measures.calibration import (
    Bools,
    done_rows,
    done_scores,
    log_line,
    reward_rows,
    reward_scores,
)
from world_models.measures.ends import end_rows, lengths_of
from world_models.measures.episodes import (
    Floats,
    LatentEpisode,
    LatentEpisodes,
    pad_to_batch,
    play,
    with_progress,
)
from world_models.measures.likelihood import (
    Baseline,
    Moments,
    fit_baselines,
    likelihood_rows,
    num_inputs,
    pairs_of,
    posterior_nll,
)
from world_models.measures.open_loop import Marginal, open_loop_rows
from world_models.measures.rows import (
    OPEN_LOOP_SHOWN,
    CalibrationBin,
    EndRow,
    HeadScore,
    LikelihoodRow,
    OpenLoopRow,
)
from world_models.measures.vision_baselines import mean_picture
from world_models.models.mdrnn import MDRNNCell
from world_models.runs.progress import tracked
from world_models.worlds.latent import WorldModel

CHECKED_OF = 5
"""Of so many training episodes one decides how many frames a linear regression reads."""


@dataclass(frozen=True)
class Tables:
    """All that is judged of M, by the names of the CSV files."""

    likelihood: list[LikelihoodRow]
    open_loop: list[OpenLoopRow]
    calibration: list[CalibrationBin]
    calibration_scores: list[HeadScore]
    ends: list[EndRow]


@dataclass
class Fitted:
    """What the baselines know of the training episodes."""

    baselines: list[Baseline]
    # mean
    reward: float
    # share of steps that end an episode
    ends: float
    marginal: Marginal


@dataclass
class OneStep:
    """What M said of each step of an episode, one step ahead.

    There are T steps, of which the first P have a next latent.
    """

    # (P,) nats
    nll: Floats
    # (T,)
    rewards: Floats
    # (T,) probability
    ends: Floats


@dataclass
class Heads:
    """Predicted and actual rewards and ends of all steps, per episode.

    They take eight bytes a step beside the store's own.
    """

    rewards: list[Floats] = field(default_factory=list)
    ends: list[Floats] = field(default_factory=list)
    actual_rewards: list[Floats] = field(default_factory=list)
    actual_ends: list[Bools] = field(default_factory=list)

    def all_ends(self) -> tuple[Doubles, Bools]:
        """Predicted probability and actual end of each step, (N,)."""
        predicted = np.concatenate(self.ends, dtype=np.float64)
        return predicted, np.concatenate(self.actual_ends)


def judge(
    world: WorldModel,
    episodes: LatentEpisodes,
    train: list[EpisodeRow],
    held_out: list[EpisodeRow],
    seed: int,
    include_reward: bool,
) -> Tables:
    """The rows of likelihood, open_loop, calibration, calibration_scores and ends.

    A pure function of its arguments. M was trained on the episodes `train`, and the baselines are
    fitted to them. All are judged on `held_out`; the column `split` says what these are. Without
    `include_reward` M's rewards mean nothing and are left out.
    """
    fitted = fit_training(episodes, train, seed)
    nats, pairs, heads = one_step_ahead(world.cell, episodes, held_out, fitted.baselines, seed)
    frames = {baseline.name: baseline.frames for baseline in fitted.baselines}
    bins, scores = calibration(heads, fitted, include_reward)
    split = held_out[0].split
    lengths = lengths_of(world, episodes, held_out, seed)
    return Tables(
        likelihood_rows(nats, pairs, episodes.latents.latent_size, split, frames),
        open_loop_rows(world, episodes, held_out, fitted.marginal, seed),
        bins,
        scores,
        end_rows(*heads.all_ends(), lengths, split),
    )


def fit_training(episodes: LatentEpisodes, rows: list[EpisodeRow], seed: int) -> Fitted:
    """The baselines, fitted on all pairs of these episodes, one episode in memory at a time.

    Every fifth episode decides how many frames a regression reads.
    """
    latents = episodes.latents.latent_size
    inputs = num_inputs(latents, episodes.actions(rows[0], 0, 1).shape[1])
    check, fit = Moments(inputs, latents), Moments(inputs, latents)
    steps = 0
    ends = 0
    rewards = 0.0
    mu = np.zeros(latents)
    numbered = enumerate(tracked("fit baselines of M", rows, len(rows), "episodes"))
    for number, row in numbered:
        episode = episodes.load(row)
        moments = fit if number % CHECKED_OF else check
        moments.add(*pairs_of(episode.sample(seed), episode.actions))
        steps += row.length
        ends += int(episode.terminated.sum())
        rewards += float(episode.rewards.sum(dtype=np.float64))
        mu += episode.mu.sum(0, dtype=np.float64)
    frames = sum(map(episodes.frames, rows))
    pictured = tracked("mean picture", rows, len(rows), "episodes")
    marginal = Marginal(
        torch.from_numpy(mu / frames).float(),
        mean_picture(chain.from_iterable(map(episodes.pictures, pictured))),
    )
    return Fitted(fit_baselines(fit, check), rewards / steps, ends / steps, marginal)


def one_step_ahead(
    cell: MDRNNCell,
    episodes: LatentEpisodes,
    rows: list[EpisodeRow],
    baselines: list[Baseline],
    seed: int,
) -> tuple[dict[str, Doubles], Doubles, Heads]:
    """What M and the baselines say of every step, one step ahead.

    Returns the nats summed over each episode (E,) per model, the pairs per episode (E,), and what
    M's heads said.
    """
    nats = defaultdict(list)
    pairs = []
    heads = Heads()
    for group in with_progress("judge M one step ahead", rows):
        loaded = [episodes.load(row) for row in group]
        drawn = [episode.sample(seed) for episode in loaded]
        for episode, latents, said in zip(loaded, drawn, predict(cell, loaded, drawn), strict=True):
            x, y = pairs_of(latents, episode.actions)
            pairs.append(episode.pairs)
            nats["M"].append(said.nll.sum(dtype=np.float64))
            for baseline in baselines:
                nats[baseline.name].append(baseline.nll(x, y).sum())
            floor = posterior_nll(latents[1:], episode.mu[1:], episode.logsigma[1:])
            nats["floor"].append(floor.sum())
            heads.rewards.append(said.rewards)
            heads.ends.append(said.ends)
            heads.actual_rewards.append(episode.rewards)
            heads.actual_ends.append(episode.terminated)
    return {name: np.array(sums) for name, sums in nats.items()}, np.array(pairs, float), heads


@torch.inference_mode()
def predict(cell: MDRNNCell, group: list[LatentEpisode], drawn: list[Floats]) -> list[OneStep]:
    """M one step ahead through up to PLAYED_SIDE_BY_SIDE episodes.

    It reads the latents (F, L) drawn for each.
    """
    steps = max(episode.row.length for episode in group)
    targets = pad_to_batch([latents[1:] for latents in drawn], steps)
    targets = targets.to(cell.gmm_linear.weight.device)
    nll = []
    rewards = []
    ends = []
    played = play(cell, drawn, [episode.actions for episode in group])
    for target, (_, (mus, sigmas, logpi, reward, done)) in zip(targets, played, strict=True):
        nll.append(gmm_loss(target, mus, sigmas, logpi, reduce=False))
        rewards.append(reward)
        ends.append(torch.sigmoid(done))
    columns = [torch.stack(values, dim=1).cpu().numpy() for values in (nll, rewards, ends)]
    lengths = [(episode.pairs, episode.row.length) for episode in group]
    return [
        OneStep(n[:p], r[:t], e[:t]) for n, r, e, (p, t) in zip(*columns, lengths, strict=False)
    ]


def calibration(
    heads: Heads, fitted: Fitted, include_reward: bool
) -> tuple[list[CalibrationBin], list[HeadScore]]:
    """The tables of M's two heads."""
    ends, ended = heads.all_ends()
    bins = done_rows(ends, ended)
    scores = done_scores(ends, ended, fitted.ends)
    if include_reward:
        rewards = np.concatenate(heads.rewards, dtype=np.float64)
        actual = np.concatenate(heads.actual_rewards, dtype=np.float64)
        bins += reward_rows(rewards, actual)
        scores += reward_scores(rewards, actual, fitted.reward)
    return bins, scores


def summary(tables: Tables) -> list[str]:
    """What the log says of the tables."""
    bits = ", ".join(f"{_named(row)} {row.bits_per_dim:.3f}" for row in tables.likelihood)
    shown = [
        row
        for row in tables.open_loop
        if row.predictor == "mean" and row.horizon in OPEN_LOOP_SHOWN
    ]
    ratios = "; ".join(
        f"{row.horizon}: {row.latent_ratio:.2f} ({row.latent_low:.2f} to {row.latent_high:.2f}, "
        f"{row.starts} starts)"
        for row in shown
    )
    return [
        f"next latent, bits per dimension: {bits}",
        "open loop, error of the latent over copying the last one's (95 % interval over "
        f"{shown[0].episodes if shown else 0} episodes), by steps ahead: {ratios}",
        log_line(tables.calibration_scores),
    ]


def _named(row: LikelihoodRow) -> str:
    return f"linear over {row.frames} frames" if row.name == "lags" else row.name
