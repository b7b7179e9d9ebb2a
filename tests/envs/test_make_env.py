"""From configuration to EnvSpec and backend, and every refusal in one sentence."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from world_models.envs.actions import Squash
from world_models.envs.gymnasium_family import shows_pixels
from world_models.envs.make import (
    Backend,
    EnvConfig,
    EnvSpec,
    make_spec,
    make_vector_env,
    resolve_backend,
)
from world_models.envs.preprocess import Crop
from world_models.envs.procgen import DistributionMode, Game, ProcgenConfig

CONFIG_FOLDER = Path(__file__).parents[2] / "conf"


class Blind(gymnasium.Env):
    """No pictures at all."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space: gymnasium.Space = gymnasium.spaces.Discrete(2)

    def __init__(self, action_space: gymnasium.Space | None = None, pixels: bool = False) -> None:
        self.action_space = action_space or self.action_space
        if pixels:
            self.observation_space = gymnasium.spaces.Box(0, 255, (20, 20, 3), np.uint8)


@pytest.fixture(autouse=True)
def _register() -> Any:
    gymnasium.register("Tests/Blind-v0", entry_point=Blind)
    yield
    del gymnasium.registry["Tests/Blind-v0"]


def spec_of(**values: Any) -> EnvSpec:
    return make_spec(EnvConfig(**values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "env.id is missing: name a Gymnasium environment, for example env.id=Acrobot-v1"),
        ({"id": "Acrobat-v1"}, "did you mean Acrobot-v1"),
        ({"id": "CarRacing-v99"}, "not known to Gymnasium"),
        ({"id": "Tests/Blind-v0"}, "has no pixels"),
        ({"id": "Acrobot-v1", "kwargs": {"colour": 1}}, "colour"),
        ({"id": "Acrobot-v1", "size": 8}, "env.size=8"),
        ({"id": "Acrobot-v1", "frame_skip": 0}, "env.frame_skip=0"),
        ({"id": "CarRacing-v3", "crop": Crop(top=60, bottom=40)}, "leaves nothing"),
        ({"id": "CarRacing-v3", "squash": [Squash.affine]}, "env.squash has 1"),
        ({"id": "WorldModels/Procgen-chess-v0"}, "no Procgen game"),
        ({"id": "WorldModels/Procgen-maze-v0", "kwargs": {"levels": 3}}, "not env.kwargs.levels"),
        ({"id": "WorldModels/Procgen-maze-v0", "crop": Crop(left=64)}, "leaves nothing"),
    ],
)
def test_configuration_errors_are_one_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        spec_of(**values)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.MultiDiscrete([2, 2]),
        gymnasium.spaces.Box(-1, 1, (0,)),
        gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)}),
    ],
)
def test_unsupported_action_spaces_are_refused(space: gymnasium.Space) -> None:
    with pytest.raises(ValueError, match=r"action space .* is not supported"):
        spec_of(id="Tests/Blind-v0", kwargs={"action_space": space, "pixels": True})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"num_levels": -1}, "num_levels=-1"),
        ({"num_levels": 2, "start_level": 2**31 - 3}, "start_level"),
        (
            {"distribution_mode": DistributionMode.memory},
            "coinrun has no env.distribution_mode=memory",
        ),
        ({"id": "Acrobot-v1"}, "does not go with env.game, env.num_levels"),
    ],
)
def test_procgen_configuration_errors(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_spec(ProcgenConfig(**{"id": "WorldModels/Procgen-coinrun-v0", **values}))


@pytest.mark.parametrize(
    ("env_id", "limit", "pixels"),
    [
        ("Acrobot-v1", 500, False),
        ("LunarLander-v3", 1000, False),
        ("Pendulum-v1", 200, False),
        ("CarRacing-v3", 1000, True),
    ],
)
def test_gymnasium_environments_are_described(env_id: str, limit: int, pixels: bool) -> None:
    spec = spec_of(id=env_id)
    assert spec.max_episode_steps == limit
    assert spec.action_space.to_gymnasium() == gymnasium.make(env_id).action_space
    assert shows_pixels(gymnasium.make(env_id)) is pixels
    assert EnvSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_kwargs_reach_the_environment() -> None:
    spec = spec_of(id="CarRacing-v3", kwargs={"continuous": False, "max_episode_steps": 2})
    assert spec.action_space.size == 5 and spec.max_episode_steps == 2
    assert resolve_backend(Backend.auto, spec) is Backend.gymnasium
    envs = make_vector_env(spec, Backend.auto, 1)
    envs.reset(seed=[0])
    assert [bool(envs.step(np.array([0]))[3]) for _ in range(2)] == [False, True]


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == package else real(name, *rest),
    )


def test_auto_takes_the_fastest_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("envpool")
    car = spec_of(id="CarRacing-v3")
    assert resolve_backend(Backend.auto, car) is Backend.envpool
    assert resolve_backend(Backend.gymnasium, car) is Backend.gymnasium
    assert resolve_backend(Backend.auto, spec_of(id="Acrobot-v1")) is Backend.gymnasium
    assert (
        resolve_backend(Backend.auto, spec_of(id="WorldModels/Procgen-maze-v0")) is Backend.procgen
    )
    hide(monkeypatch, "envpool")
    assert resolve_backend(Backend.auto, car) is Backend.gymnasium


def test_missing_packages_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    car = spec_of(id="CarRacing-v3")
    hide(monkeypatch, "envpool")
    with pytest.raises(ValueError) as caught:
        resolve_backend(Backend.envpool, car)
    assert (
        str(caught.value)
        == 'env.backend=envpool needs the extra "fast": pip install "world-models[fast]"'
    )
    hide(monkeypatch, "procgen")
    with pytest.raises(ValueError, match=r"Linux x86-64 with Python 3\.11 or 3\.12"):
        spec_of(id="WorldModels/Procgen-maze-v0")


def test_backends_refuse_what_they_cannot_step() -> None:
    acrobot, maze = spec_of(id="Acrobot-v1"), spec_of(id="WorldModels/Procgen-maze-v0")
    for backend, spec in (
        (Backend.envpool, acrobot),
        (Backend.procgen, acrobot),
        (Backend.envpool, maze),
        (Backend.gymnasium, maze),
    ):
        with pytest.raises(ValueError, match=f"env.backend={backend.value} cannot step {spec.id}"):
            make_vector_env(spec, backend, 1)


def test_folder_name_has_no_slash() -> None:
    assert spec_of(id="WorldModels/Pellet-v0").folder_name == "WorldModels-Pellet-v0"


def composed(*overrides: str) -> Any:
    store = ConfigStore.instance()
    root = {"defaults": ["_self_", {"env": "car_racing"}], "env": MISSING}
    store.store(name="envs_test_root", node=root)
    store.store(group="schema/env", name="gymnasium", node=EnvConfig)
    store.store(group="schema/env", name="procgen", node=ProcgenConfig)
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        return OmegaConf.to_object(compose("envs_test_root", list(overrides)).env)


def test_groups_compose_into_their_dataclasses() -> None:
    car = composed()
    assert type(car) is EnvConfig and car.crop == Crop(bottom=12)
    assert car.squash == [Squash.affine, Squash.affine, Squash.positive]
    coinrun = composed("env=coinrun", "env.num_levels=200")
    assert type(coinrun) is ProcgenConfig and coinrun.id == "WorldModels/Procgen-coinrun-v0"
    assert make_spec(coinrun).kwargs["num_levels"] == 200
    maze = composed("env=coinrun", "env.game=maze")
    assert (maze.id, maze.game) == ("WorldModels/Procgen-maze-v0", Game.maze)
    assert composed("env=pellet").id == "WorldModels/Pellet-v0"
    assert composed("env=gymnasium", "env.id=Acrobot-v1").id == "Acrobot-v1"


SILENT_PROGRAM = """
import sys
import world_models.envs.make as make
heavy = {"torch", "gym", "procgen", "envpool", "shimmy", "pygame"} & set(sys.modules)
assert not heavy, heavy
for env_id, backend in %s:
    spec = make.make_spec(make.EnvConfig(id=env_id))
    envs = make.make_vector_env(spec, make.Backend[backend], 1)
    envs.reset(seed=[0])
    envs.render()
    envs.close()
"""


def test_importing_is_light_and_no_banner_reaches_the_user() -> None:
    cases = [
        ("Acrobot-v1", "gymnasium"),
        ("CarRacing-v3", "gymnasium"),
        ("WorldModels/Procgen-coinrun-v0", "auto"),
    ]
    if importlib.util.find_spec("envpool"):
        cases.append(("CarRacing-v3", "envpool"))
    done = subprocess.run(
        [sys.executable, "-c", SILENT_PROGRAM % cases], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
