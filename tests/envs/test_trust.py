"""A module that a file names is imported with the user's word alone."""

import sys
from pathlib import Path

import pytest
from strangers import Stranger

from world_models.envs import trust
from world_models.envs.config import EnvConfig
from world_models.envs.make import make_spec

LOCAL = {"inner": {"env_id": "stranger:Id-v0"}}


@pytest.mark.parametrize(
    ("env_id", "kwargs", "modules"),
    [
        ("CarRacing-v3", {"lap_complete_percent": 0.9, "mode": "fast"}, []),
        ("ALE/Pong-v5", {"picture": "/home/me/picture.png"}, []),
        ("stranger:Id-v0", {}, ["stranger"]),
        ("my-stranger.inner:Id-v0", {}, ["my-stranger.inner"]),
        ("GymV21Environment-v0", {"env_id": "stranger:Id-v0"}, ["stranger"]),
        ("Highway-v0", {"config": [{"vehicle": "stranger.cars.Car"}]}, ["stranger.cars"]),
        ("Deep-v0", {"a": [LOCAL, ("x", LOCAL)]}, ["stranger"]),
        ("Key-v0", {"stranger:Id-v0": 1}, ["stranger"]),
    ],
)
def test_modules_in_ids_and_arguments(env_id: str, kwargs: dict, modules: list[str]) -> None:
    assert trust.modules_of(env_id, kwargs) == modules


@pytest.mark.parametrize("word", [None, "strange", "stranger.inner", "other"])
def test_nothing_is_imported_without_the_word(stranger: Stranger, word: str | None) -> None:
    trust.trust([] if word is None else [word])
    sentence = f"would import the module {stranger.module}.*type env.trust={stranger.module} "
    with pytest.raises(ValueError, match=sentence):
        make_spec(EnvConfig(stranger.env_id))
    assert not stranger.ran
    with pytest.raises(ValueError, match=sentence):
        make_spec(EnvConfig("GymV21Environment-v0", {"env_id": stranger.env_id}))
    assert not stranger.ran


def test_with_the_word_it_is(stranger: Stranger) -> None:
    trust.trust([stranger.module])
    assert make_spec(EnvConfig(stranger.env_id)).max_episode_steps == 20 and stranger.ran


def test_what_is_loaded_needs_no_word(stranger: Stranger) -> None:
    __import__(stranger.module)
    assert make_spec(EnvConfig(stranger.env_id)).id == stranger.env_id


def test_the_word_covers_what_lies_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_trusted", {"toys"})
    trust.require_trust("toys.inner:Id-v0")
    with pytest.raises(ValueError, match=r"env\.trust=toyshop"):
        trust.require_trust("toyshop:Id-v0")
    assert "toys" not in sys.modules


@pytest.mark.parametrize("text", ["0.5", "12:30", "v1.2", "..", ".a", "a b:c"])
def test_a_text_that_names_no_module_needs_no_word(text: str) -> None:
    trust.require_trust("CarRacing-v3", {"level": text})


def test_ordinary_environments_need_no_word(tmp_path: Path) -> None:
    assert make_spec(EnvConfig("WorldModels/Pellet-v0")).id == "WorldModels/Pellet-v0"
