"""EnvPool's CarRacing against Gymnasium's: other tracks for the same seed, but the same game.

Tolerances come from 32 tracks per backend with the driver below (250 steps).

    Gymnasium  returns 195 +- 34, mean colour (100.9, 183.1, 100.1)
    EnvPool    returns 198 +- 18, mean colour (103.1, 185.8, 102.2)

Flat fields of Gymnasium's picture are darker by 2, since it scales an already drawn picture down.
The mean pictures of 4 tracks are 2.3 apart.
"""

import dataclasses

import numpy as np
import pytest

from world_models.envs.make import Backend, EnvConfig, EnvSpec, make_spec, make_vector_env
from world_models.envs.preprocess import Crop

pytest.importorskip("envpool")

SEEDS = [0, 1, 2, 3]
BACKENDS = [Backend.gymnasium, Backend.envpool]


@pytest.fixture(scope="module")
def spec() -> EnvSpec:
    return make_spec(EnvConfig(id="CarRacing-v3", crop=Crop(bottom=12)))


def follow_road(frames: np.ndarray, step: int) -> np.ndarray:
    """Steer towards the middle of the grey pixels ahead; full of gas at first, then little."""
    ahead = frames[:, 30:42].astype(int)
    road = np.abs(ahead[..., 0] - ahead[..., 1]) < 12
    offset = (road * (np.arange(64) - 31.5)).sum((1, 2)) / np.maximum(road.sum((1, 2)), 1)
    actions = np.zeros((len(frames), 3), np.float32)
    actions[:, 0] = np.clip(offset / 12, -1, 1)
    actions[:, 1] = 0.5 if step < 60 else 0.04
    return actions


def drive(spec: EnvSpec, backend: Backend, steps: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Returns (N,) and the mean picture (64, 64, 3) once the camera has come down."""
    envs = make_vector_env(spec, backend, len(SEEDS))
    frames, _ = envs.reset(seed=SEEDS)
    returns = np.zeros(len(SEEDS))
    pictures = []
    for step in range(steps):
        frames, rewards, terminated, truncated, _ = envs.step(follow_road(frames, step))
        assert not terminated.any() and not truncated.any()
        returns += rewards
        if step >= 60:
            pictures.append(frames.mean(axis=0))
    return returns, np.mean(pictures, axis=0)


@pytest.mark.slow
def test_the_same_driver_scores_alike_and_sees_alike(spec: EnvSpec) -> None:
    (gymnasium_returns, gymnasium_picture), (envpool_returns, envpool_picture) = (
        drive(spec, b) for b in BACKENDS
    )
    # four tracks each: the standard error of the difference is about 15
    assert abs(gymnasium_returns.mean() - envpool_returns.mean()) < 45
    assert min(gymnasium_returns.mean(), envpool_returns.mean()) > 100
    colours = gymnasium_picture.mean(axis=(0, 1)) - envpool_picture.mean(axis=(0, 1))
    assert np.abs(colours).max() < 3.5
    assert np.abs(gymnasium_picture - envpool_picture).mean() < 4


@pytest.mark.slow
def test_leaving_the_field_ends_both_alike(spec: EnvSpec) -> None:
    lengths = []
    for backend in BACKENDS:
        envs = make_vector_env(spec, backend, 3)
        envs.reset(seed=[0, 1, 2])
        length = np.zeros(3, int)
        last = np.zeros(3)
        for _ in range(300):
            running = envs.alive.copy()
            _, rewards, terminated, truncated, _ = envs.step(
                np.tile(np.float32([0, 0.4, 0]), (3, 1))
            )
            length += running
            last[terminated] = rewards[terminated]
            assert not truncated.any()
        np.testing.assert_allclose(last, -100, atol=0.2)
        lengths.append(np.median(length))
    # 285 to 287 steps, whatever the track
    assert abs(lengths[0] - lengths[1]) <= 3


def test_the_time_limit_truncates_both(spec: EnvSpec) -> None:
    short = dataclasses.replace(spec, max_episode_steps=5)
    envs = make_vector_env(short, Backend.envpool, 2)
    envs.reset(seed=[0, 1])
    flags = [envs.step(np.zeros((2, 3), np.float32))[2:4] for _ in range(5)]
    assert not any(terminated.any() for terminated, _ in flags)
    assert [bool(truncated.all()) for _, truncated in flags] == [False] * 4 + [True]


def test_rendering_changes_nothing(spec: EnvSpec) -> None:
    seen, unseen = (make_vector_env(spec, Backend.envpool, 1) for _ in range(2))
    seen.reset(seed=[4])
    unseen.reset(seed=[4])
    action = np.full((1, 3), 0.3, np.float32)
    for _ in range(20):
        seen.render()
        np.testing.assert_array_equal(seen.step(action)[0], unseen.step(action)[0])
    assert seen.render()[0].shape == (400, 600, 3)


def test_threads_change_nothing(spec: EnvSpec) -> None:
    played = []
    for threads in (1, 3):
        envs = make_vector_env(spec, Backend.envpool, len(SEEDS), threads)
        frames, _ = envs.reset(seed=SEEDS)
        steps = [envs.step(follow_road(frames, step))[:3] for step in range(20)]
        played.append([np.stack(values) for values in zip(*steps, strict=True)])
    for one, three in zip(*played, strict=True):
        np.testing.assert_array_equal(one, three)
