"""M one step ahead, against a plain loop over each episode alone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from world_models.data.datasets import to_float
from world_models.data.episode import TERMINATED
from world_models.data.latents import LatentStore, OnlineLatents, encode_store
from world_models.data.store import EpisodeStore
from world_models.envs.make import EnvSpec
from world_models.measures.episodes import PLAYED_SIDE_BY_SIDE, LatentEpisodes, batches_by_length
from world_models.measures.judge import OneStep, fit_training, judge, one_step_ahead, predict
from world_models.measures.likelihood import pairs_of
from world_models.models.mdrnn import MDRNN, MDRNNCell
from world_models.runs.files import read_json, sha256
from world_models.runs.rows import cells
from world_models.worlds.latent import load_world_model

MakeEpisodes = Callable[..., LatentEpisodes]
MakeWorld = Callable[..., Any]


def log_density(
    target: np.ndarray, mus: np.ndarray, sigmas: np.ndarray, logpi: np.ndarray
) -> float:
    """Of target (L,) under mus, sigmas (K, L) and logpi (K,) or (K, L), without any trick."""
    densities = np.exp(-0.5 * ((target - mus) / sigmas) ** 2) / (sigmas * np.sqrt(2 * np.pi))
    if logpi.ndim == 1:
        return float(np.log((np.exp(logpi) * densities.prod(1)).sum()))
    return float(np.log((np.exp(logpi) * densities).sum(0)).sum())


def judged(
    world: Any, episodes: LatentEpisodes, seed: int = 3, include_reward: bool = True
) -> dict[str, list[Any]]:
    split = episodes.store.episodes
    return judge(
        world, episodes, split("train"), split("validation") or split("train"), seed, include_reward
    )


@torch.no_grad()
def by_hand(
    cell: Any, latents: np.ndarray, actions: np.ndarray
) -> tuple[list[float], list[float], list[float]]:
    """Nats, rewards and probabilities of an end, one episode alone, batch 1."""
    hidden = cell.get_init_hidden(1)
    nats = []
    rewards = []
    ends = []
    for step, action in enumerate(actions):
        latent = torch.from_numpy(latents[step : step + 1])
        *outputs, hidden = cell(torch.from_numpy(action[None]), latent, hidden)
        mus, sigmas, logpi, reward, done = (output[0].double().numpy() for output in outputs)
        if step + 1 < len(latents):
            nats.append(-log_density(latents[step + 1], mus, sigmas, logpi))
        rewards.append(float(reward))
        ends.append(1 / (1 + np.exp(-float(done))))
    return nats, rewards, ends


@pytest.mark.parametrize("mixture", ["joint", "per_dimension"])
@pytest.mark.parametrize("has_final_frame", [True, False])
def test_one_step_ahead_equals_a_loop_over_each_episode(
    make_episodes: MakeEpisodes, make_world: MakeWorld, mixture: str, has_final_frame: bool
) -> None:
    episodes = make_episodes(has_final_frame=has_final_frame)
    cell = make_world(mixture).cell
    rows = episodes.store.episodes("validation")
    nats, pairs, heads = one_step_ahead(cell, episodes, rows, [], seed=3)
    for index, row in enumerate(next(batches_by_length(rows))):
        whole = episodes.load(row)
        played = episodes.store.episode(row)
        expected = by_hand(cell, whole.sample(3), whole.actions)
        assert pairs[index] == len(expected[0]) == row.length - (not has_final_frame)
        assert nats["M"][index] == pytest.approx(sum(expected[0]), rel=1e-4)
        np.testing.assert_allclose(heads.rewards[index], expected[1], atol=1e-5)
        np.testing.assert_allclose(heads.ends[index], expected[2], atol=1e-6)
        np.testing.assert_array_equal(heads.actual_rewards[index], played.rewards[:-1])
        np.testing.assert_array_equal(heads.actual_ends[index], played.done[:-1] == TERMINATED)
        assert len(heads.rewards[index]) == row.length, (
            "the last step has a reward even without a next frame"
        )
    assert [row.length for row in next(batches_by_length(rows))] == [12, 7, 2]


def test_latents_are_drawn_from_the_posterior(make_episodes: MakeEpisodes) -> None:
    episodes = make_episodes()
    whole = episodes.load(episodes.store.rows[5])
    draws = np.stack([whole.sample(seed) for seed in range(4000)])
    np.testing.assert_allclose(draws.mean(0), whole.mu, atol=0.1 * np.exp(whole.logsigma).max())
    np.testing.assert_allclose(draws.std(0), np.exp(whole.logsigma), rtol=0.06)
    np.testing.assert_array_equal(whole.sample(3), draws[3])
    other = dataclasses.replace(whole, row=episodes.store.rows[4])
    assert not np.array_equal(other.sample(3), draws[3]), "every episode has its own noise"


def test_baselines_see_the_pairs_that_m_sees(
    make_episodes: MakeEpisodes, make_world: MakeWorld
) -> None:
    episodes = make_episodes()
    fitted = fit_training(episodes, episodes.store.episodes("train"), seed=3)
    train = [episodes.load(row) for row in episodes.store.episodes("train")]
    parts = zip(*(pairs_of(episode.sample(3), episode.actions) for episode in train), strict=True)
    x, y = (np.concatenate(part) for part in parts)
    assert len(x) == 16
    np.testing.assert_allclose(fitted.baselines[0].variance, np.square(y - x[:, :3]).mean(0))
    rewards = np.concatenate([episode.rewards for episode in train])
    assert fitted.reward == pytest.approx(rewards.mean()) and fitted.ends == 2 / 16, (
        "episodes 0 and 4 terminate"
    )
    frames = [
        episodes.store.episode(row).frames[: episodes.frames(row)]
        for row in episodes.store.episodes("train")
    ]
    np.testing.assert_allclose(
        fitted.marginal.latent, np.concatenate([part.mu for part in train]).mean(0), rtol=1e-5
    )
    np.testing.assert_allclose(
        fitted.marginal.picture, np.concatenate(frames).mean(0) / 255, rtol=1e-5
    )
    rows = episodes.store.episodes("validation")
    nats, _, _ = one_step_ahead(make_world().cell, episodes, rows, fitted.baselines, seed=3)
    longest = episodes.load(episodes.store.rows[5])
    squares = np.square(longest.sample(3)[1:] - y.mean(0)) / (2 * y.var(0))
    marginal = -np.log(2 * np.pi * y.var(0)) / 2 - squares
    assert nats["marginal"][0] == pytest.approx(-marginal.sum())
    noise = (longest.sample(3) - longest.mu) / np.exp(longest.logsigma)
    own = longest.logsigma + 0.5 * np.log(2 * np.pi) + 0.5 * noise**2
    assert nats["floor"][0] == pytest.approx(own[1:].sum(), rel=1e-5)


def foretold(cell: MDRNNCell, episodes: LatentEpisodes, rows: list[Any]) -> list[OneStep]:
    loaded = [episodes.load(row) for row in rows]
    return predict(cell, loaded, [episode.sample(0) for episode in loaded])


def test_an_episode_is_judged_alike_alone_and_among_others(
    make_episodes: MakeEpisodes, make_world: MakeWorld
) -> None:
    lengths = [("validation", 1 + number % 9) for number in range(PLAYED_SIDE_BY_SIDE + 5)]
    episodes = make_episodes(lengths)
    cell = make_world().cell
    everyone = [row for group in batches_by_length(episodes.store.rows) for row in group]
    together = [
        said for group in batches_by_length(everyone) for said in foretold(cell, episodes, group)
    ]
    assert len(together) == PLAYED_SIDE_BY_SIDE + 5
    for row, said in zip(everyone, together, strict=True):
        (alone,) = foretold(cell, episodes, [row])
        for name, values in vars(said).items():
            np.testing.assert_array_equal(values, getattr(alone, name))


@pytest.mark.parametrize("has_final_frame", [True, False])
def test_tables_are_finite_and_a_function_of_their_arguments(
    make_episodes: MakeEpisodes, make_world: MakeWorld, has_final_frame: bool
) -> None:
    episodes = make_episodes(has_final_frame=has_final_frame)
    world = make_world()
    tables = judged(world, episodes)
    assert repr(judged(world, episodes)) == repr(tables)
    assert repr(judged(world, episodes, seed=4)) != repr(tables)
    assert [row.name for row in tables.likelihood] == [
        "M",
        "last",
        "linear",
        "lags",
        "marginal",
        "floor",
    ]
    assert all(
        row.split == "validation" and row.pairs == (21 if has_final_frame else 18)
        for row in tables.likelihood
    )
    assert all(abs(float(row.nats)) < 1e4 for row in tables.likelihood), (
        "no invalid final frame was read"
    )
    assert all(float(row.latent_mse) < 1e4 for row in tables.open_loop)
    assert {row.quantity for row in tables.calibration} == {"done", "reward"}
    names = ["done_brier", "done_auroc", "reward_mse", "reward_r2"]
    assert [row.name for row in tables.calibration_scores] == names


def test_rewards_that_were_not_trained_are_left_out(
    make_episodes: MakeEpisodes, make_world: MakeWorld
) -> None:
    tables = judged(make_world(), make_episodes(), include_reward=False)
    assert {row.quantity for row in tables.calibration} == {"done"}
    assert [row.name for row in tables.calibration_scores] == ["done_brier", "done_auroc"]


def test_without_validation_episodes_the_table_says_so(
    make_episodes: MakeEpisodes, make_world: MakeWorld
) -> None:
    tables = judged(make_world(), make_episodes([("train", 9), ("train", 5)]))
    assert {row.split for row in tables.likelihood} == {"train"}


def test_latents_made_from_the_frames_are_judged_as_stored_ones(
    make_episodes: MakeEpisodes, make_world: MakeWorld, tmp_path: Path
) -> None:
    episodes = make_episodes()
    world = make_world()

    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return world.vae.encoder(to_float(frames, "cpu"))

    encode_store(encode, episodes.store, tmp_path / "encoded", "v")
    sources = [
        LatentStore.open(tmp_path / "encoded", "v", episodes.store),
        OnlineLatents(episodes.store, encode, 3),
    ]
    tables = [judged(world, dataclasses.replace(episodes, latents=source)) for source in sources]
    for table in dataclasses.fields(tables[0]):
        both = (map(cells, getattr(found, table.name)) for found in tables)
        for stored, online in zip(*both, strict=True):
            text = {name: value for name, value in stored.items() if isinstance(value, str)}
            assert text.items() <= online.items()
            numbers = {name: value for name, value in stored.items() if name not in text}
            assert {name: online[name] for name in numbers} == pytest.approx(
                numbers, rel=1e-3, abs=1e-6, nan_ok=True
            )


def test_training_makes_the_next_latent_likelier(finished: Path) -> None:
    vae = finished / "vae/checkpoints/best.pt"
    best = finished / "mdrnn/checkpoints/best.pt"
    store = EpisodeStore.open(finished / "rollout/episodes")
    latents = LatentStore.open(finished / "vae/latents", sha256(vae), store)
    trained = load_world_model(
        vae, best, EnvSpec.from_dict(read_json(finished / "manifest.json")["env"])
    )
    episodes = LatentEpisodes(store, latents, trained.env.action_space.to_model)
    torch.manual_seed(0)
    fresh = MDRNNCell.from_mdrnn(MDRNN(**trained.mdrnn.config))
    rows = store.episodes("validation")
    nats = [
        one_step_ahead(cell, episodes, rows, [], 0)[0]["M"].sum() for cell in (trained.cell, fresh)
    ]
    assert nats[0] < nats[1]
