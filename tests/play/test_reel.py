"""Stored episodes: every frame forwards and backwards, and the dream that M makes of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from world_models.agents.perception import Perception
from world_models.data.store import EpisodeStore
from world_models.models.draws import RowDraws
from world_models.play.cast import Cast, Place
from world_models.play.controls import Controls
from world_models.play.reel import MOVEMENTS, Reel
from world_models.play.show import Browsing

ROW = np.zeros(1, int)


@pytest.fixture(scope="module")
def store(finished: Path) -> EpisodeStore:
    return EpisodeStore.open(finished / "rollout/episodes")


@pytest.fixture
def reel(store: EpisodeStore, cast: Cast) -> Reel:
    """At the longest of the episodes."""
    made = Reel(store, cast, Controls())
    made.open(max(range(len(store.rows)), key=lambda number: store.rows[number].length))
    assert made.frames > 12
    return made


def test_the_memory_at_every_frame_is_that_of_the_perception(reel: Reel, cast: Cast) -> None:
    perception = Perception(cast.model, with_memory=True)
    perception.reset([0])
    episode = reel.episode
    for step in range(reel.frames - 1):
        perception.see(np.array(episode.frames[step : step + 1]), ROW)
        for ours, theirs in zip(reel.understood.state(step), perception.state, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        perception.remember(np.array(episode.actions[step : step + 1]), ROW)
        expected = perception.expected(ROW)[0]
        torch.testing.assert_close(reel.understood.expected[step], expected, rtol=1e-4, atol=1e-5)


def test_back_and_forth_by_one_and_by_ten(reel: Reel) -> None:
    keys, places = Browsing(reel), []
    for name in ("right", "right", "left", "page up", "page down", "page down", "left"):
        keys.press(name)
        places.append(reel.at)
    assert places == [1, 2, 1, 11, 1, 0, 0]
    reel.go(1000)
    assert reel.at == reel.frames - 1
    number = reel.number
    keys.press("up")
    assert (reel.number, reel.at) == (max(0, number - 1), 0)


@torch.inference_mode()
def test_the_dream_is_ms_under_the_stored_actions(reel: Reel, cast: Cast) -> None:
    reel.go(3)
    Browsing(reel).press("tab")
    reel.go(5)
    scene = reel.scene()
    world, state = cast.latent, reel.understood.state(3)
    seeds = torch.tensor([reel.dream.seed])
    for age, action in enumerate(reel.episode.actions[3:8]):
        given = torch.from_numpy(cast.env.action_space.to_model(np.array([action])))
        state = world.advance(state, given, RowDraws(seeds, torch.tensor([age]))).state
    np.testing.assert_array_equal(scene.panels[1].picture, world.picture(state)[0].numpy())
    assert "5 steps old" in scene.panels[1].label
    assert len(scene.curves[0].values) == 5


def test_what_was_dreamt_stays_when_one_goes_back(reel: Reel) -> None:
    reel.go(6)
    there = reel.scene().panels[1].picture
    reel.go(-4)
    reel.scene()
    reel.go(4)
    np.testing.assert_array_equal(reel.scene().panels[1].picture, there)


def test_before_its_beginning_there_is_no_dream(reel: Reel) -> None:
    reel.go(4)
    reel.dream_from_here()
    reel.go(-1)
    scene = reel.scene()
    assert scene.panels[1].picture is None and not scene.curves


def test_the_header_says_what_led_to_the_frame(reel: Reel) -> None:
    reel.go(reel.frames)
    header = reel.scene().header
    length, episode = reel.row.length, reel.episode
    assert header["step"] == f"{length} of {length}" and "over" in header
    assert header["action"] == str(int(episode.actions[length - 1]))
    assert header["return"] == f"{episode.total_return:.1f}"


def test_it_runs_from_episode_to_episode_and_stops_at_the_last(store: Any, cast: Cast) -> None:
    reel = Reel(store, replace(cast, latent=None, pixel=None), Controls())
    reel.step()
    assert reel.at == 0
    reel.runs = True
    seen = [(reel.number, reel.at)]
    while reel.runs:
        reel.step()
        seen.append((reel.number, reel.at))
    frames = sum(row.length + 1 for row in store.rows)
    assert len(set(seen)) == frames == len(seen) - 1
    assert [panel.label for panel in reel.scene().panels] == ["the episode"]


def test_a_pixel_model_dreams_once_it_has_its_frames(reel: Reel, cast: Cast) -> None:
    reel = Reel(reel.store, cast, Controls(place=Place.pixel))
    reel.open(reel.number)
    assert reel.begins == min(3, reel.frames) - 1
    keys = Browsing(reel)
    keys.press("tab")
    assert "3 frames" in reel.scene().notice and reel.begins == 2


def test_every_movement_is_in_the_help(reel: Reel) -> None:
    assert [movement.key for movement in MOVEMENTS] == Browsing(reel).help()
