"""Baselines against closed forms and least squares on all pairs at once."""

import math

import numpy as np
import pytest

from world_models.measures.likelihood import (
    MOST_LAGS,
    Moments,
    best_lags,
    fit_baselines,
    likelihood_rows,
    num_inputs,
    pairs_of,
    posterior_nll,
)

# a world z' = DECAY z + PUSH a + NOISE e, with a and e standard normal,
# whose likelihoods have closed forms
DECAY = np.array([0.9, 0.5, -0.3])
PUSH = np.array([0.4, 0.0, 1.0])
NOISE = np.array([0.1, 0.5, 0.2])


def linear_world(steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    actions, noise = draw.normal(size=(steps, 1)), draw.normal(size=(steps, 3))
    latents = np.zeros((steps + 1, 3))
    latents[0] = draw.normal(size=3) * np.sqrt((PUSH**2 + NOISE**2) / (1 - DECAY**2))
    for t in range(steps):
        latents[t + 1] = DECAY * latents[t] + PUSH * actions[t] + NOISE * noise[t]
    return latents.astype(np.float32), actions.astype(np.float32)


def entropy(variance: np.ndarray) -> float:
    return float(0.5 * np.log(2 * np.pi * np.e * variance).sum())


def test_in_a_linear_world_the_baselines_reach_their_closed_forms() -> None:
    moments = Moments(num_inputs(3, 1), 3)
    for seed in range(4):
        moments.add(*pairs_of(*linear_world(10_000, seed)))
    baselines = fit_baselines(moments, Moments(num_inputs(3, 1), 3))
    held_out = pairs_of(*linear_world(40_000, 9))
    found = {baseline.name: baseline.nll(*held_out).mean() for baseline in baselines}
    spread = (PUSH**2 + NOISE**2) / (1 - DECAY**2)
    change = (1 - DECAY) ** 2 * spread + PUSH**2 + NOISE**2
    expected = {"last": entropy(change), "linear": entropy(NOISE**2), "marginal": entropy(spread)}
    assert found == pytest.approx({**expected, "lags": expected["linear"]}, abs=0.03)
    (linear,) = [baseline for baseline in baselines if baseline.name == "linear"]
    weights = linear.weights[[0, 1, 2, 3, -1]]
    np.testing.assert_allclose(weights, np.vstack([np.diag(DECAY), PUSH, np.zeros(3)]), atol=0.02)
    assert not linear.weights[4:-1].any(), "of earlier frames it reads nothing"


def remembering_world(steps: int, seed: int, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """A latent that is that of `lag` frames ago, slowly forgotten, and noise of deviation 0.1."""
    draw = np.random.default_rng(seed)
    latents = draw.normal(size=(steps + 1, 1)) * 0.1 / np.sqrt(1 - 0.9**2)
    for t in range(lag, steps + 1):
        latents[t] = 0.9 * latents[t - lag] + 0.1 * draw.normal()
    return latents.astype(np.float32), np.zeros((steps, 1), np.float32)


def moments_of(*episodes: tuple[np.ndarray, np.ndarray]) -> Moments:
    latents, actions = episodes[0]
    moments = Moments(num_inputs(latents.shape[1], actions.shape[1]), latents.shape[1])
    for episode in episodes:
        moments.add(*pairs_of(*episode))
    return moments


@pytest.mark.parametrize(("lag", "read"), [(1, 1), (2, 2), (3, 4), (4, 4), (7, 8)])
def test_a_regression_reads_as_many_frames_as_help(lag: int, read: int) -> None:
    fit = moments_of(*(remembering_world(500, seed, lag) for seed in range(4)))
    check = moments_of(remembering_world(5000, 9, lag))
    (found,) = [one for one in fit_baselines(fit, check) if one.name == "lags"]
    assert found.frames == read
    held_out = pairs_of(*remembering_world(20_000, 10, lag))
    assert found.nll(*held_out).mean() == pytest.approx(entropy(np.array([0.01])), abs=0.03)


def test_frames_that_only_fit_noise_are_not_read() -> None:
    draw = np.random.default_rng(0)
    noise = [
        (draw.normal(size=(steps + 1, 3)).astype(np.float32), np.zeros((steps, 1), np.float32))
        for steps in (50, 50, 5000)
    ]
    fit, check = moments_of(*noise[:2]), moments_of(noise[2])
    assert best_lags(fit, check) == 1
    everything = fit_baselines(fit, fit)
    (fooled,) = [one for one in everything if one.name == "lags"]
    assert fooled.frames == MOST_LAGS, "judged on what it was fitted to, more is always better"


def test_without_an_episode_to_decide_on_one_frame_is_read() -> None:
    moments = moments_of(remembering_world(400, 0, 4))
    empty = Moments(*moments.xy.shape)
    assert best_lags(moments, empty) == best_lags(empty, moments) == 1


def test_before_an_episode_stands_its_first_frame() -> None:
    latents = np.arange(20, dtype=np.float32).reshape(10, 2)
    actions = 100 + np.arange(9, dtype=np.float32)[:, None]
    x, _ = pairs_of(latents, actions)
    frames = x[:, :-1].reshape(9, MOST_LAGS, 3)
    assert frames[0].tolist() == [[0, 1, 100]] + [[0, 1, 0]] * 7
    assert frames[2, :4].tolist() == [[4, 5, 102], [2, 3, 101], [0, 1, 100], [0, 1, 0]]
    assert frames[8].tolist() == [[2 * t, 2 * t + 1, 100 + t] for t in range(8, 0, -1)]


def test_streamed_sums_equal_least_squares_on_all_pairs_at_once() -> None:
    draw = np.random.default_rng(0)
    episodes = [
        (draw.normal(2, 3, (n + 1, 4)).astype(np.float32), draw.integers(3, size=n))
        for n in (30, 1, 70, 12)
    ]
    episodes = [(latents, np.eye(3, dtype=np.float32)[actions]) for latents, actions in episodes]
    moments = Moments(num_inputs(4, 3), 4)
    check = Moments(num_inputs(4, 3), 4)
    for latents, actions in episodes:
        moments.add(*pairs_of(latents, actions))
    x, y = (
        np.concatenate(part)
        for part in zip(*(pairs_of(*episode) for episode in episodes), strict=True)
    )
    newest = x[:, [*range(7), -1]]
    assert np.linalg.matrix_rank(newest) == 7, (
        "one-hot actions add up to the constant: the inputs are dependent"
    )
    guesses = {
        "last": x[:, :4],
        "linear": newest @ np.linalg.lstsq(newest, y, rcond=None)[0],
        "lags": newest @ np.linalg.lstsq(newest, y, rcond=None)[0],
        "marginal": np.broadcast_to(y.mean(0), y.shape),
    }
    for baseline in fit_baselines(moments, check):
        guess = guesses[baseline.name]
        np.testing.assert_allclose(x @ baseline.weights, guess, atol=1e-5)
        np.testing.assert_allclose(baseline.variance, np.square(y - guess).mean(0), rtol=1e-6)
        log_density = -np.square(y - guess) / (2 * baseline.variance) - np.log(
            np.sqrt(2 * np.pi * baseline.variance)
        )
        np.testing.assert_allclose(baseline.nll(x, y), -log_density.sum(1), rtol=1e-4)


def test_a_constant_latent_leaves_the_baselines_finite() -> None:
    episode = np.ones((5, 1), np.float32), np.ones((4, 1), np.float32)
    found = fit_baselines(moments_of(episode), moments_of(episode))
    assert all(np.isfinite(baseline.nll(*pairs_of(*episode))).all() for baseline in found)


def test_pairs_end_where_the_latents_end() -> None:
    latents = np.arange(6, dtype=np.float32).reshape(3, 2)
    actions = np.array([[10.0], [11.0], [12.0]], np.float32)
    x, y = pairs_of(latents, actions)
    assert x[:, [0, 1, 2, -1]].tolist() == [[0, 1, 10, 1], [2, 3, 11, 1]]
    assert y.tolist() == [[2, 3], [4, 5]]


def test_the_floor_is_the_posteriors_entropy_on_average() -> None:
    draw = np.random.default_rng(0)
    mu = draw.normal(size=3)
    sigma = np.array([0.5, 2.0, 1.0])
    latents = mu + sigma * draw.normal(size=(100_000, 3))
    found = posterior_nll(
        latents, np.broadcast_to(mu, latents.shape), np.broadcast_to(np.log(sigma), latents.shape)
    )
    assert found.mean() == pytest.approx(entropy(sigma**2), abs=0.02)
    density = np.exp(-0.5 * ((latents[0] - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    assert found[0] == pytest.approx(-np.log(density).sum())


def test_rows_are_means_over_pairs_not_over_episodes() -> None:
    pairs = np.array([1.0, 3.0, 6.0, 2.0, 8.0])
    m, other = np.array([2.0, 3.0, 1.0, 4.0, 10.0]), np.array([3.0, 6.0, 7.0, 6.0, 18.0])
    first, second = likelihood_rows({"M": m, "last": other}, pairs, 2, "validation", {"last": 1})
    bit = 2 * math.log(2)
    assert first.nats == 1.0 and first.bits_per_dim == 1 / bit and first.worse == 0.0
    assert second.nats == 2.0 and second.bits_per_dim == 2 / bit
    found = [second.worse, second.low, second.high]
    assert found == pytest.approx([1 / bit] * 3), "one nat more in every pair"
    assert (first.frames, second.frames) == (0, 1)
    assert second.pairs == 20 and second.episodes == 5
