"""TakeCover: the skill that is played, episodes by their seeds, ends, what is left behind."""

import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import collect, play
from world_models.data.datasets import ObservationDataset
from world_models.data.store import EpisodeStore
from world_models.envs import doom
from world_models.envs.doom import TAKE_COVER, TakeCoverConfig, TakeCoverVectorEnv
from world_models.envs.make import Backend, EnvSpec, make_spec, make_vector_env
from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv

doom_only = pytest.mark.skipif(
    importlib.util.find_spec("vizdoom") is None, reason='needs the extra "doom"'
)


@pytest.fixture(scope="module")
def two() -> Iterator[TakeCoverVectorEnv]:
    """Two slots at skill 4."""
    envs = make_vector_env(make_spec(TakeCoverConfig()), Backend.auto, 2)
    assert isinstance(envs, TakeCoverVectorEnv)
    yield envs
    envs.close()


def test_the_skill_belongs_to_what_is_stored() -> None:
    spec = make_spec(TakeCoverConfig(skill=5))
    assert spec.id == TAKE_COVER and spec.kwargs == {"doom_skill": 5}
    assert EnvSpec.from_dict(spec.to_dict()) == spec != make_spec(TakeCoverConfig())
    assert (spec.max_episode_steps, spec.action_space.size) == (2100, 3)
    assert spec.family.name == "take_cover" and not spec.family.has_final_frame


def test_what_the_engine_would_ignore_is_refused() -> None:
    with pytest.raises(ValueError, match=r"env\.skill=6 does not exist: use 4"):
        make_spec(TakeCoverConfig(skill=6))
    with pytest.raises(ValueError, match=r"takes env\.skill alone, not env\.kwargs\.skill_level"):
        make_spec(TakeCoverConfig(kwargs={"skill_level": 5}))


def test_without_the_package_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doom.importlib.util, "find_spec", lambda name: None)
    assert main(["stage=rollout", "env=take_cover"]) == 1
    assert 'needs the extra "doom": pip install "world-models[doom]"' in capsys.readouterr().err


@doom_only
@pytest.mark.parametrize("skill", [4, 5])
def test_the_engine_plays_the_skill_that_was_asked_for(skill: int) -> None:
    envs = make_vector_env(make_spec(TakeCoverConfig(skill=skill)), Backend.auto, 1)
    assert isinstance(envs, TakeCoverVectorEnv)
    envs.reset(seed=[0])
    assert envs.games[0].get_doom_skill() == skill
    envs.close()


@doom_only
def test_an_episode_follows_from_its_seed_whatever_was_played_before(
    two: TakeCoverVectorEnv,
) -> None:
    policy = RandomPolicy(two.env_spec.action_space)
    first, second = collect(two, policy, [0, 7], max_steps=60)
    # cut in the middle of an episode, in the other slot, after others
    two.reset(seed=[11, 12])
    for _ in range(25):
        two.step(np.array([1, 2]))
    again = collect(two, policy, [7, 0, 5], max_steps=60)
    for one, other in ((first, again[1]), (second, again[0])):
        assert one.frames.shape[0] == 61
        np.testing.assert_array_equal(one.frames, other.frames)
    assert (first.frames != second.frames).any()


@doom_only
def test_an_episode_is_that_of_the_packages_own_environment(
    two: TakeCoverVectorEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vizdoom.gymnasium_wrapper  # noqa: F401

    # it leaves files where it is started
    monkeypatch.chdir(tmp_path)

    env = gymnasium.make(TAKE_COVER, screen_resolution="RES_160X120", doom_skill=4)
    # one for which its generator gives the engine a seed that fits into 31 bits
    drawn, _ = gymnasium.utils.seeding.np_random(1)
    seed = int(drawn.integers(0, 2**32, dtype=np.uint32))
    picture = env.reset(seed=1)[0]["screen"]
    two.reset(seed=[seed, 0])
    actions = np.random.default_rng(0).integers(3, size=2100)
    for action in actions:
        np.testing.assert_array_equal(two.render()[0], picture)
        observation, reward, terminated, _, _ = env.step(action)
        picture = observation["screen"]
        _, rewards, ends, _, _ = two.step(np.array([action, 0]))
        assert (rewards[0], ends[0]) == (reward, terminated) == (1, terminated)
        if terminated:
            break
    assert terminated and not two.render()[0].any()
    env.close()


@doom_only
def test_the_limit_truncates(two: TakeCoverVectorEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doom, "TIME_LIMIT", 12)
    two.reset(seed=[0, 1])
    flags = [two.step(np.zeros(2, int))[2:4] for _ in range(12)]
    assert [bool(cut[0]) for _, cut in flags] == [False] * 11 + [True]
    assert not any(ended.any() for ended, _ in flags)


@doom_only
def test_a_run_stores_no_black_frame_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    keys = ["stage=rollout", "env=take_cover", "env.skill=5", f"outputs={tmp_path}/outputs"]
    assert main([*keys, "stage.episodes=2", "stage.workers=0", "stage.shard_size=2"]) == 0
    assert list(Path().iterdir()) == []
    (run,) = tmp_path.glob("outputs/*/*/*")
    store = EpisodeStore.open(run / "episodes")
    data = ObservationDataset(store, None)
    rows = read_csv(run / "episodes.csv")
    assert len(data) == sum(int(row["length"]) for row in rows)
    assert all(row["return"] == f"{float(row['length'])}" for row in rows)
    frames = data.__getitems__(range(len(data)))
    assert frames.flatten(1).any(1).all()
    manifest = read_json(run / "manifest.json")
    assert "vizdoom" in manifest["versions"] and manifest["env"]["kwargs"] == {"doom_skill": 5}


PLAYER = """
from world_models.envs.doom import make_game
game = make_game(4)
print("plays", flush=True)
input()
"""


@doom_only
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_engine_ends_with_its_player_even_where_that_is_killed() -> None:
    command = [sys.executable, "-c", PLAYER]
    player = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert player.stdout is not None and player.stdout.readline() == b"plays\n"
    (engine,) = [pid for pid in running() if parent(pid) == player.pid]
    words = Path(f"/proc/{engine}/cmdline").read_text().split("\0")
    player.send_signal(signal.SIGKILL)
    player.wait()
    deadline = time.monotonic() + 10
    while engine in running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert engine not in running()
    name = words[words.index("+viz_instance_id") + 1]
    assert not list(Path("/dev/shm").glob(f"ViZDoom*{name}"))


def running() -> list[int]:
    """Processes that are no zombies."""
    found = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in found if stat(pid)[:1] not in ([], ["Z"])]


def parent(pid: int) -> int:
    return int((stat(pid) or ["", "0"])[1])


def stat(pid: int) -> list[str]:
    """State, parent and what follows; nothing where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@doom_only
@pytest.mark.slow
@pytest.mark.parametrize(("skill", "mean", "deviation"), [(4, 217, 87), (5, 70, 28)])
def test_random_actions_score_what_was_measured(skill: int, mean: float, deviation: float) -> None:
    """By 150 and 100 episodes of ViZDoom 1.3.2's own environment."""
    envs = make_vector_env(make_spec(TakeCoverConfig(skill=skill)), Backend.auto, 2)
    scores = play(envs, RandomPolicy(envs.env_spec.action_space), range(100))
    envs.close()
    returns = np.array([score.total_return for score in scores])
    # of the difference of two means of 100 episodes
    margin = 3 * deviation * np.sqrt(2 / 100)
    assert abs(returns.mean() - mean) < margin, returns.mean()
