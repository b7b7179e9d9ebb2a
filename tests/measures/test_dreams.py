"""Dreams beside the truth."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from world_models.measures.dreams import (
    TEMPERATURES,
    dream,
    dream_at_temperatures,
    stretch_with_most_change,
)
from world_models.measures.episodes import LatentEpisodes

MakeEpisodes = Callable[..., LatentEpisodes]
MakeWorld = Callable[..., Any]
LENGTHS = [("train", 90), ("validation", 30), ("validation", 60)]


def test_panels_show_the_same_stretch(make_episodes: MakeEpisodes, make_world: MakeWorld) -> None:
    store = make_episodes(LENGTHS, has_final_frame=False).store
    world = make_world()
    span = stretch_with_most_change(store)
    panels = dream(world, store, 1.0, seed=0)
    at = dream_at_temperatures(world, store, seed=0)
    assert span.row.split == "validation" and span.start + span.horizon <= span.row.length
    truth = store.episode(span.row).frames[span.start : span.start + span.horizon]
    assert list(panels) == ["truth", "seen by V", "dreamt by M"]
    assert list(at) == ["truth", *(f"temperature {temperature}" for temperature in TEMPERATURES)]
    for frames in (*panels.values(), *at.values()):
        assert frames.shape == truth.shape and frames.dtype == np.uint8
    np.testing.assert_array_equal(panels["truth"], truth)
    np.testing.assert_array_equal(at["truth"], truth)
    np.testing.assert_array_equal(panels["seen by V"], world.decode(world.encode(truth)))
    np.testing.assert_array_equal(panels["dreamt by M"], at["temperature 1.0"])
    np.testing.assert_array_equal(
        dream(world, store, 1.3, seed=0)["dreamt by M"], at["temperature 1.3"]
    )


def test_temperatures_share_their_noise(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one Gaussian: nothing to choose
    world = make_world(gaussians=1)
    monkeypatch.setattr(world, "decode", lambda latents: latents.numpy())
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    actions = np.ones(3, np.int64)
    still, cool, warm = (world.dream(frames, actions, 1, tau, seed=0) for tau in (0.0, 0.25, 1.0))
    np.testing.assert_allclose(cool - still, 0.5 * (warm - still), rtol=1e-3, atol=1e-6)
    assert np.abs(warm - still).min() > 1e-3


def test_the_stretch_that_moves_most_is_shown(
    make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_episodes([("validation", 200)]).store
    played = store.episode(store.rows[0])
    blinking = np.zeros_like(played.frames)
    blinking[140:190:10] = 255
    monkeypatch.setattr(store, "episode", lambda row: dataclasses.replace(played, frames=blinking))
    assert stretch_with_most_change(store).start == 140
