"""A family of environments is one row: what the house makes of a row that it has never seen."""

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from commands import newest
from equality import fails_at
from omegaconf import OmegaConf

from world_models.config import groups
from world_models.config.stored import stored_config
from world_models.data.datasets import SequenceDataset
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import PixelWindows
from world_models.envs import families
from world_models.envs.actions import ActionSpace
from world_models.envs.config import Backend, EnvConfig
from world_models.envs.families import Engine, Family, Levels
from world_models.envs.gymnasium_backend import GymnasiumVectorEnv
from world_models.envs.make import make_spec, make_vector_env, resolve_backend
from world_models.envs.pellet import PelletEnv
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import HELD_OUT, EnvSpec
from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv
from world_models.runs.past import PastRun
from world_models.runs.provenance import packages
from world_models.stages import rollout


@dataclass
class ToyConfig(EnvConfig):
    """A key `game`, as Procgen's configuration has."""

    id: str = "Toy/${.game}-v5"
    game: str = "Breakout"
    limit: int = 3


def make_toy_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    assert isinstance(cfg, ToyConfig)
    space = ActionSpace.from_gymnasium(PelletEnv().action_space, cfg.squash)
    return EnvSpec(cfg.id, {"limit": cfg.limit}, preprocessing, cfg.frame_skip, space, 20)


def make_toys(spec: EnvSpec, num_envs: int, threads: int) -> GymnasiumVectorEnv:
    return GymnasiumVectorEnv(spec, partial(PelletEnv, render_mode="rgb_array"), num_envs)


def toy_level(spec: EnvSpec, seed: int) -> int:
    limit = spec.kwargs["limit"]
    return seed % limit if seed < HELD_OUT else limit + seed % 2


TOY_FAMILY = Family(
    name="toy",
    config=ToyConfig,
    fits=lambda env_id: env_id.startswith("Toy/"),
    make_spec=make_toy_spec,
    engines={Backend.gymnasium: Engine(make_toys)},
    packages=("toy-games",),
    levels=Levels(
        level_of=toy_level,
        has_one_level=lambda spec: False,
        limit=lambda spec: spec.kwargs["limit"],
        kwargs=("limit",),
    ),
    has_final_frame=False,
)
TOY_YAML = "defaults:\n  - /schema/env/toy@_here_\n  - _self_\n"


@pytest.fixture(autouse=True)
def _toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row, and a choice in conf/env."""
    monkeypatch.setattr(families, "FAMILIES", (TOY_FAMILY, *families.FAMILIES))
    shutil.copytree(groups.config_folder(), tmp_path / "conf")
    (tmp_path / "conf" / "env" / "toy.yaml").write_text(TOY_YAML)
    monkeypatch.setattr(groups, "CONFIG_FOLDERS", (tmp_path / "conf",))


def collect(outputs: Path, *more: str) -> int:
    keys = ["stage=rollout", "env=toy", "threads=1", "stage.workers=0", "stage.episodes=12"]
    sizes = ["stage.shard_size=3", "stage.val_fraction=0.5"]
    return main([*keys, *sizes, f"outputs={outputs}", *more])


def test_a_row_gives_spec_and_slots() -> None:
    spec = make_spec(ToyConfig(id="Toy/Pong-v5", limit=4))
    assert spec.family is TOY_FAMILY and spec.kwargs == {"limit": 4}
    assert resolve_backend(Backend.auto, spec) is Backend.gymnasium
    frames, _ = make_vector_env(spec, Backend.auto, 2).reset(seed=[0, 1])
    assert frames.shape == (2, 64, 64, 3) and frames.any()
    with pytest.raises(ValueError, match="backend=envpool cannot step Toy/Pong-v5: use gymnasium"):
        resolve_backend(Backend.envpool, spec)
    assert "toy-games" in packages()


def test_keys_of_one_family_and_an_id_of_another_are_refused() -> None:
    words = r"env\.id=Acrobot-v1 does not go with env\.game, env\.limit: leave env\.id out"
    with pytest.raises(ValueError, match=words):
        make_spec(ToyConfig(id="Acrobot-v1"))


def test_a_seed_is_its_own_world_where_there_are_no_levels() -> None:
    spec = make_spec(EnvConfig(id="WorldModels/Pellet-v0"))
    assert spec.family.name == "gymnasium" and spec.level_of(HELD_OUT + 3) == HELD_OUT + 3
    assert (spec.has_levels, spec.has_one_level, spec.level_limit) == (False, False, 0)


def test_levels_are_disjoint_between_splits_and_stay_so(tmp_path: Path) -> None:
    assert collect(tmp_path) == 0
    run = newest(tmp_path)
    rows = read_csv(run / "episodes.csv")
    levels = {
        split: {int(row["level"]) for row in rows if row["split"] == split}
        for split in ("train", "validation")
    }
    assert levels["train"] <= {0, 1, 2} and levels["validation"] <= {3, 4}
    store = EpisodeStore.open(run / "episodes")
    assert store.has_final_frame is False and store.env.family is TOY_FAMILY
    with pytest.raises(ValueError, match="come from 3 levels, and only their own split keeps"):
        store.split_again(0.5)
    data = SequenceDataset(store, "validation", 2)
    windows = PixelWindows(data, 1, 6, store.env.action_space, View())
    assert windows.levels.tolist() == [store.env.level_of(row.seed) for row in data.rows]


def test_a_run_with_a_key_game_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert collect(tmp_path / "whole", "env.game=Pong") == 0
    with monkeypatch.context() as patch:
        patch.setattr(rollout, "write_shard", fails_at(3, rollout.write_shard))
        assert collect(tmp_path / "cut", "env.game=Pong") == 130
    run = newest(tmp_path / "cut")
    assert main([f"resume={run}"]) == 0
    manifest = read_json(run / "manifest.json")
    assert manifest["status"] == "finished" and manifest["env"]["id"] == "Toy/Pong-v5"
    assert manifest["choices"]["env_keys"] == ["env.game=Pong"]
    whole = newest(tmp_path / "whole")
    for name in ("episodes.csv", "episodes/manifest.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


def test_a_plain_environment_of_a_family_stays_plain(tmp_path: Path) -> None:
    keys = ["env=gymnasium", "env.id=WorldModels/Procgen-maze-v0", "stage.max_steps=4"]
    assert collect(tmp_path, *keys) == 0
    run = newest(tmp_path)
    config = stored_config(PastRun(run), rollout.RolloutConfig)
    assert type(config.env) is EnvConfig and config.env.id == "WorldModels/Procgen-maze-v0"
    assert "level" in read_csv(run / "episodes.csv")[0]


def test_a_run_of_a_family_that_is_gone_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(tmp_path) == 0
    run = newest(tmp_path)
    monkeypatch.setattr(families, "FAMILIES", families.FAMILIES[1:])
    assert main([f"resume={run}", "stage.workers=0"]) == 1
    told = capsys.readouterr().err
    assert (
        f"{run / 'config.yaml'} has env.game, env.limit, which this version does not have for "
        "Toy/Breakout-v5: resume the run with the version that made it" in told
    )


def test_a_stored_configuration_without_an_environment_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(tmp_path) == 0
    path = newest(tmp_path) / "config.yaml"
    stored = OmegaConf.load(path)
    del stored["env"]["id"]
    OmegaConf.save(stored, path)
    assert main([f"resume={path.parent}"]) == 1
    assert f"{path} is damaged: it has no env.id" in capsys.readouterr().err
