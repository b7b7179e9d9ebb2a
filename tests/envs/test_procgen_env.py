"""Procgen: registration, levels, held-out levels, time limits."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest

import world_models.envs  # noqa: F401  (registers the games)
from world_models.data.datasets import SequenceDataset
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import PixelWindows
from world_models.envs import procgen
from world_models.envs.actions import ActionSpace
from world_models.envs.make import Backend, EnvSpec, make_spec, make_vector_env
from world_models.envs.procgen import (
    NUM_LEVELS,
    DistributionMode,
    Game,
    ProcgenConfig,
    checked_kwargs,
    level_of,
    make_gym3,
    time_limit,
)
from world_models.main import main
from world_models.runs.metrics import read_csv
from world_models.runs.seeding import HELD_OUT


def spec_of(game: str = "coinrun", **values: object) -> EnvSpec:
    name = f"WorldModels/Procgen-{game}-v0"
    return make_spec(ProcgenConfig(id=name, game=Game[game], **values))  # type: ignore[arg-type]


def test_sixteen_games_are_registered_and_made() -> None:
    ids = [env_id for env_id in gymnasium.registry if env_id.startswith("WorldModels/Procgen-")]
    assert len(ids) == len(Game) == 16
    for env_id in ids:
        env = gymnasium.make(env_id, num_levels=1, render_mode="rgb_array")
        frame, _ = env.reset()
        assert env.observation_space.contains(frame)
        assert env.action_space == gymnasium.spaces.Discrete(15)
        np.testing.assert_array_equal(env.render(), frame)


def test_registered_environment_resets_early_and_by_seed(capfd: pytest.CaptureFixture[str]) -> None:
    env = gymnasium.make("WorldModels/Procgen-coinrun-v0")
    one, _ = env.reset(seed=1)
    two, _ = env.reset()
    assert (one != two).any()
    np.testing.assert_array_equal(env.reset(seed=1)[0], one)
    np.testing.assert_array_equal(env.reset()[0], two)
    assert not env.step(4)[2]
    np.testing.assert_array_equal(env.reset(seed=1)[0], one)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", ["easy", "hard"])
def test_backend_shows_the_registered_environment_of_the_same_level(mode: str) -> None:
    envs = make_vector_env(spec_of(distribution_mode=DistributionMode[mode]), Backend.auto, 1)
    env = gymnasium.make(
        "WorldModels/Procgen-coinrun-v0",
        num_levels=1,
        start_level=1234,
        rand_seed=0,
        distribution_mode=mode,
    )
    frames, _ = envs.reset(seed=[1234])
    np.testing.assert_array_equal(frames[0], env.reset()[0])
    rng = np.random.default_rng(0)
    for _ in range(40):
        action = int(rng.integers(15))
        frames, rewards, terminated, _, _ = envs.step(np.array([action]))
        frame, reward, ended, _, _ = env.step(action)
        assert (float(rewards[0]), bool(terminated[0])) == (reward, ended)
        if ended:
            break
        np.testing.assert_array_equal(frames[0], frame)


def test_modes_and_levels_change_the_picture() -> None:
    pictures = [
        make_vector_env(spec, Backend.auto, 1).reset(seed=[seed])[0]
        for spec, seed in (
            (spec_of(), 0),
            (spec_of(), 1),
            (spec_of(distribution_mode=DistributionMode.hard), 0),
            (spec_of("maze"), 0),
        )
    ]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_seeds_below_held_out_stay_in_the_range_and_cover_it() -> None:
    envs = make_vector_env(spec_of(num_levels=3, start_level=10), Backend.auto, 2)
    one, _ = envs.reset(seed=[0, 1])
    two, _ = envs.reset(seed=[3, 7])
    np.testing.assert_array_equal(one, two)
    assert {level_of(seed, 10, 3) for seed in range(100)} == {10, 11, 12}


@pytest.mark.parametrize(
    ("start", "count"), [(0, 200), (10, 3), (NUM_LEVELS - 6, 5), (2**30, 2**29), (5, 2**31 - 2000)]
)
def test_held_out_levels_lie_outside_the_range(start: int, count: int) -> None:
    seeds = [
        *np.random.default_rng(0).integers(HELD_OUT, 2**31, 2000).tolist(),
        HELD_OUT,
        2**31 - 1,
    ]
    levels = [level_of(seed, start, count) for seed in seeds]
    assert all(0 <= level < NUM_LEVELS and not start <= level < start + count for level in levels)
    near = [level_of(seed, start, count) for seed in range(HELD_OUT, HELD_OUT + 1000)]
    assert len(set(near)) == 1000


def test_without_num_levels_the_seed_is_the_level() -> None:
    assert [level_of(seed, 0, 0) for seed in (0, 5, HELD_OUT, 2**31 - 2)] == [
        0,
        5,
        HELD_OUT,
        2**31 - 2,
    ]


def test_the_time_limit_truncates() -> None:
    envs = make_vector_env(spec_of("maze"), Backend.auto, 1)
    envs.reset(seed=[0])
    flags = [envs.step(np.array([4]))[2:4] for _ in range(500)]
    assert [(bool(ended), bool(cut)) for ended, cut in flags] == [(False, False)] * 499 + [
        (False, True)
    ]
    assert make_spec(ProcgenConfig(id="WorldModels/Procgen-maze-v0")).max_episode_steps == 500


def test_dying_terminates() -> None:
    envs = make_vector_env(spec_of("starpilot"), Backend.auto, 1)
    envs.reset(seed=[0])
    for _ in range(999):
        _, _, terminated, truncated, _ = envs.step(np.array([4]))
        if terminated[0] or truncated[0]:
            break
    assert terminated[0] and not truncated[0]


@pytest.mark.parametrize("game", Game.__members__)
def test_time_limits_are_the_ones_inside_the_games(game: str) -> None:
    level = 123456789
    env = make_gym3(game, distribution_mode="easy", rand_seed=0, start_level=level, num_levels=1)
    env.act(np.array([4]))
    state = env.get_state()[0]
    pattern = np.array([level, level], np.int32).tobytes()
    # time limit, level, previous level
    end = state.rfind(pattern)
    assert int.from_bytes(state[end - 4 : end], "little") == time_limit(game)


def test_games_without_a_mode_refuse_it() -> None:
    for mode, games in procgen.GAMES_OF_MODE.items():
        other = next(game for game in Game.__members__ if game not in games)
        with pytest.raises(ValueError, match=f"{other} has no env.distribution_mode={mode}"):
            checked_kwargs(other, {"distribution_mode": mode})
        kwargs = checked_kwargs(games[0], {"distribution_mode": mode})
        assert make_gym3(games[0], **kwargs).observe()[1]["rgb"].any()


def test_exploration_has_one_level_so_none_is_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [
        "stage=rollout",
        "env=coinrun",
        "env.distribution_mode=exploration",
        f"outputs={tmp_path}",
    ]
    keys += ["stage.episodes=2", "stage.max_steps=9", "stage.workers=0"]
    assert main([*keys, "stage.val_fraction=0.5"]) == 1
    assert (
        "has a single level, none can be held out: set stage.val_fraction=0"
        in capsys.readouterr().err
    )
    assert main([*keys, "stage.val_fraction=0"]) == 0
    (run,) = tmp_path.glob("*/*/*")
    assert [row["level"] for row in read_csv(run / "episodes.csv")] == ["0", "0"]
    store = EpisodeStore.open(run / "episodes")
    windows = PixelWindows(SequenceDataset(store, "train", 5), 4, 6, store_space(store), View())
    assert windows.levels.tolist() == [0] * 6
    with pytest.raises(ValueError, match="are all of one level, none can be held out"):
        store.split_again(0.5)


def test_windows_of_one_level_are_known(tmp_path: Path) -> None:
    keys = [
        "stage=rollout",
        "env=coinrun",
        "env.num_levels=2",
        f"outputs={tmp_path}",
        "stage.val_fraction=0",
    ]
    assert main([*keys, "stage.episodes=5", "stage.max_steps=9", "stage.workers=0"]) == 0
    (run,) = tmp_path.glob("*/*/*")
    store = EpisodeStore.open(run / "episodes")
    windows = PixelWindows(SequenceDataset(store, "train", 5), 4, 10, store_space(store), View())
    levels = [row["level"] for row in read_csv(run / "episodes.csv")]
    assert [str(level) for level in windows.levels[::2]] == levels and len(set(levels)) == 2


def store_space(store: EpisodeStore) -> ActionSpace:
    return EnvSpec.from_dict(store.manifest["env"]).action_space
