"""Recordings without an environment: a description, and a sentence for who would play."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from world_models.envs.config import Backend, EnvConfig
from world_models.envs.make import make_spec, make_vector_env, resolve_backend
from world_models.envs.recorded import RecordedConfig
from world_models.main import main


def spec_of(**keys: Any) -> Any:
    return make_spec(RecordedConfig(**{"id": "Data/mine", **keys}))


def test_numbered_actions_are_a_discrete_space() -> None:
    spec = spec_of(actions=5)
    assert spec.action_space.to_gymnasium() == gymnasium.spaces.Discrete(5)
    assert spec.folder_name == "Data-mine" and not spec.family.is_played


def test_rows_of_numbers_are_a_box() -> None:
    spec = spec_of(low=[-1.0, 0.0], high=[1.0, 2.5])
    low, high = np.array([-1, 0], np.float32), np.array([1, 2.5], np.float32)
    assert spec.action_space.to_gymnasium() == gymnasium.spaces.Box(low, high)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "env=data must know the actions"),
        ({"actions": 3, "low": [0.0], "high": [1.0]}, "env=data must know the actions"),
        ({"actions": 0}, "env.actions is 0; it must be 1 or more"),
        ({"low": [0.0], "high": [1.0, 2.0]}, "must have as many numbers"),
        ({"low": [1.0], "high": [1.0]}, "the lower one below the higher one"),
        ({"actions": 2, "frame_skip": 2}, "env.frame_skip could change: leave them out"),
        ({"actions": 2, "id": "Data/../up"}, "give env.name in letters, digits, - and _"),
    ],
)
def test_what_describes_no_recordings_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spec_of(**keys)


def test_an_id_alone_describes_none() -> None:
    with pytest.raises(ValueError, match="choose env=data"):
        make_spec(EnvConfig(id="Data/mine"))


def test_nothing_steps_them() -> None:
    spec = spec_of(actions=2)
    assert resolve_backend(Backend.auto, spec) is Backend.recorded
    with pytest.raises(ValueError, match="has recordings alone, and no environment"):
        make_vector_env(spec, Backend.auto, 1)


@pytest.mark.parametrize("stage", ["rollout", "pipeline", "pixel_pipeline"])
def test_stages_that_play_refuse_them_before_anything_is_written(
    stage: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"stage={stage}", "env=data", "env.actions=3", f"outputs={tmp_path}"]) == 1
    assert "Data/mine has recordings alone" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
