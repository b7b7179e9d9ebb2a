"""Atari: what the console is asked for, training and scored episodes, frames, what is stored."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import collect
from world_models.envs import atari
from world_models.envs.atari import AtariConfig, AtariEnv
from world_models.envs.make import Backend, EnvSpec, make_spec, make_vector_env
from world_models.envs.preprocess import Crop
from world_models.envs.spec import SCORED
from world_models.main import main
from world_models.runs.seeding import Purpose, fixed_seeds

atari_only = pytest.mark.skipif(
    importlib.util.find_spec("ale_py") is None, reason='needs the extra "atari"'
)


def spec_of(game: str = "Breakout", **values: Any) -> EnvSpec:
    return make_spec(AtariConfig(id=f"WorldModels/Atari-{game}-v0", game=game, **values))


def game_of(spec: EnvSpec) -> AtariEnv:
    return AtariEnv(atari.rom_of(spec.id), **spec.kwargs)


def test_without_the_package_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(atari.importlib.util, "find_spec", lambda name: None)
    assert main(["stage=rollout", "env=atari"]) == 1
    assert 'needs the extra "atari": pip install "world-models[atari]"' in capsys.readouterr().err


@atari_only
def test_what_is_stored_says_how_it_was_played() -> None:
    spec = spec_of(life_loss=False, size=64, crop=Crop(top=32))
    assert spec.kwargs["actions"] == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    assert not spec.kwargs["life_loss"] and spec.kwargs["noops"] == 30
    assert EnvSpec.from_dict(spec.to_dict()) == spec != spec_of()
    assert (spec.frame_skip, spec.action_space.size, spec.family.name) == (4, 4, "atari")


@atari_only
def test_what_cannot_be_played_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"env\.game=Brekout is no game of ale-py: did you mean Br"
    ):
        spec_of("Brekout")
    with pytest.raises(ValueError, match="did you mean SpaceInvaders"):
        spec_of("space_invaders")
    with pytest.raises(ValueError, match=r"env\.noops=0 must be at least 1"):
        spec_of(noops=0)
    with pytest.raises(
        ValueError, match=r"takes env\.life_loss and env\.noops, not env\.kwargs\.a"
    ):
        spec_of(kwargs={"actions": []})


@atari_only
def test_a_picture_is_the_brighter_of_the_last_two_frames() -> None:
    spec = spec_of("SpaceInvaders")
    game, shown, raw = game_of(spec), [], []
    picture, _ = game.reset(seed=4)
    raw.append(game._console.getScreenRGB())
    for step in range(12):
        picture, *_ = game.step(step % 4)
        shown.append(picture)
        raw.append(game._console.getScreenRGB())
    for number, picture in enumerate(shown):
        np.testing.assert_array_equal(picture, np.maximum(raw[number], raw[number + 1]))
    # four frames of one action are one step of a slot
    envs = make_vector_env(spec, Backend.auto, 1)
    envs.reset(seed=[4])
    frames = [envs.step(np.array([action]))[0][0] for action in (0, 1)]
    again = game_of(spec)
    again.reset(seed=4)
    for action, frame in zip((0, 1), frames, strict=True):
        for _ in range(4):
            picture, *_ = again.step(action)
        np.testing.assert_array_equal(spec.preprocessing.apply([picture])[0], frame)


@atari_only
def test_training_ends_with_a_life_and_a_score_with_the_game() -> None:
    spec = spec_of()
    for seed, lives_left in ((3, 4), (SCORED + 3, 0)):
        game = game_of(spec)
        game.reset(seed=seed)
        ended, steps = False, 0
        while not ended:
            # serves every ball and never meets one
            *_, ended, late, _ = game.step(1)
            steps += 1
            assert not late
        assert game._console.lives() == lives_left
        assert game._console.game_over() == (lives_left == 0)
    patient = game_of(spec_of(life_loss=False))
    patient.reset(seed=3)
    while not patient.step(1)[2]:
        pass
    assert patient._console.game_over()


@atari_only
def test_seeds_wait_1_to_30_frames_in_training_and_one_for_a_score() -> None:
    game = game_of(spec_of("Pong"))
    waited = []
    for seed in range(40):
        game.reset(seed=seed)
        waited.append(game._console.getEpisodeFrameNumber())
    assert len(set(waited)) > 15 and max(waited) - min(waited) <= 29
    scored = set()
    for seed in (*fixed_seeds(Purpose.final_test, 3), *fixed_seeds(Purpose.selection, 3)):
        game.reset(seed=seed)
        scored.add(game._console.getEpisodeFrameNumber())
    assert scored == {min(waited)}


@atari_only
def test_limits_truncate_by_raw_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atari, "TRAINING_FRAMES", 8)
    monkeypatch.setattr(atari, "SCORED_FRAMES", 12)
    envs = make_vector_env(spec_of("Pong"), Backend.auto, 2)
    envs.reset(seed=[0, SCORED])
    cut = [envs.step(np.zeros(2, int))[3].tolist() for _ in range(3)]
    assert cut == [[False, False], [True, False], [False, True]]


@atari_only
def test_an_episode_follows_from_its_seed_whatever_was_played_before() -> None:
    envs = make_vector_env(spec_of("Freeway", crop=Crop(top=14)), Backend.auto, 2)
    policy = RandomPolicy(envs.env_spec.action_space)
    first, second = collect(envs, policy, [0, 7], max_steps=15)
    envs.reset(seed=[11, 12])
    for _ in range(9):
        envs.step(np.array([1, 2]))
    again = collect(envs, policy, [7, 0], max_steps=15)
    for one, other in ((first, again[1]), (second, again[0])):
        np.testing.assert_array_equal(one.frames, other.frames)
    assert (first.frames != second.frames).any()
