"""Baselines against closed forms and least squares on all pairs at once."""

import math

import numpy as np
import pytest

from world_models.measures.likelihood import (
    Moments,
    fit_baselines,
    likelihood_rows,
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
    moments = Moments(5, 3)
    for seed in range(4):
        moments.add(*pairs_of(*linear_world(10_000, seed)))
    held_out = pairs_of(*linear_world(40_000, 9))
    found = {baseline.name: baseline.nll(*held_out).mean() for baseline in fit_baselines(moments)}
    spread = (PUSH**2 + NOISE**2) / (1 - DECAY**2)
    change = (1 - DECAY) ** 2 * spread + PUSH**2 + NOISE**2
    expected = {"last": entropy(change), "linear": entropy(NOISE**2), "marginal": entropy(spread)}
    assert found == pytest.approx(expected, abs=0.03)
    weights = {baseline.name: baseline.weights for baseline in fit_baselines(moments)}["linear"]
    np.testing.assert_allclose(weights, np.vstack([np.diag(DECAY), PUSH, np.zeros(3)]), atol=0.02)


def test_streamed_sums_equal_least_squares_on_all_pairs_at_once() -> None:
    draw = np.random.default_rng(0)
    episodes = [
        (draw.normal(2, 3, (n + 1, 4)).astype(np.float32), draw.integers(3, size=n))
        for n in (30, 1, 70, 12)
    ]
    episodes = [(latents, np.eye(3, dtype=np.float32)[actions]) for latents, actions in episodes]
    moments = Moments(8, 4)
    for latents, actions in episodes:
        moments.add(*pairs_of(latents, actions))
    x, y = (
        np.concatenate(part)
        for part in zip(*(pairs_of(*episode) for episode in episodes), strict=True)
    )
    assert np.linalg.matrix_rank(x) == 7, (
        "one-hot actions add up to the constant: the inputs are dependent"
    )
    guesses = {
        "last": x[:, :4],
        "linear": x @ np.linalg.lstsq(x, y, rcond=None)[0],
        "marginal": np.broadcast_to(y.mean(0), y.shape),
    }
    for baseline in fit_baselines(moments):
        guess = guesses[baseline.name]
        np.testing.assert_allclose(x @ baseline.weights, guess, atol=1e-5)
        np.testing.assert_allclose(baseline.variance, np.square(y - guess).mean(0), rtol=1e-6)
        log_density = -np.square(y - guess) / (2 * baseline.variance) - np.log(
            np.sqrt(2 * np.pi * baseline.variance)
        )
        np.testing.assert_allclose(baseline.nll(x, y), -log_density.sum(1), rtol=1e-4)


def test_a_constant_latent_leaves_the_baselines_finite() -> None:
    moments = Moments(3, 1)
    pairs = pairs_of(np.ones((5, 1), np.float32), np.ones((4, 1), np.float32))
    moments.add(*pairs)
    assert all(np.isfinite(baseline.nll(*pairs)).all() for baseline in fit_baselines(moments))


def test_pairs_end_where_the_latents_end() -> None:
    latents = np.arange(6, dtype=np.float32).reshape(3, 2)
    actions = np.array([[10.0], [11.0], [12.0]], np.float32)
    x, y = pairs_of(latents, actions)
    assert x.tolist() == [[0, 1, 10, 1], [2, 3, 11, 1]] and y.tolist() == [[2, 3], [4, 5]]


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
    first, second = likelihood_rows(
        {"M": m, "last": other}, pairs, latent_size=2, split="validation"
    )
    bit = 2 * math.log(2)
    assert first.nats == 1.0 and first.bits_per_dim == 1 / bit and first.worse == 0.0
    assert second.nats == 2.0 and second.bits_per_dim == 2 / bit
    found = [second.worse, second.low, second.high]
    assert found == pytest.approx([1 / bit] * 3), "one nat more in every pair"
    assert second.pairs == 20 and second.episodes == 5
