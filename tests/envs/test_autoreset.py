"""Slots behind Gymnasium's interfaces, beside Gymnasium's own vector environment."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from envs.test_slots import COUNTER_SPEC
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics, RecordVideo

from world_models.envs.autoreset import Autoreset, SingleEnv
from world_models.envs.make import Backend, EnvConfig, make_spec, make_vector_env
from world_models.envs.slots import SlotVectorEnv, Transitions


class Walk(SlotVectorEnv):
    """Shows seed and place; terminates at 5, is truncated after 4 to 6 steps, as its seed says."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(COUNTER_SPEC, num_envs, gymnasium.spaces.Box(0, 2**31, (2,), np.float32))
        self.state = np.zeros((num_envs, 2), np.float32)
        self.steps = np.zeros(num_envs, int)

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> np.ndarray:
        self.state[slots] = np.stack([seeds, np.zeros(len(seeds))], axis=1)
        self.steps[slots] = [4 + seed % 3 for seed in seeds]
        return self.state[slots]

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        self.state[slots, 1] += actions
        self.steps[slots] -= 1
        ended = self.state[slots, 1] >= 5
        late = (self.steps[slots] == 0) & ~ended
        return self.state[slots], actions.astype(np.float32), ended, late

    def render(self) -> tuple[np.ndarray, ...]:
        places = self.state[:, 1].astype(np.uint8)
        return tuple(np.full((16, 16, 3), place, np.uint8) for place in places)


def assert_equal(ours: Any, theirs: Any) -> None:
    """Arrays, object arrays of arrays or None, dictionaries and tuples of them."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert_equal(ours[key], theirs[key])
    elif isinstance(theirs, tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    elif theirs.dtype == object:
        for one, other in zip(ours, theirs, strict=True):
            assert (one is None) == (other is None)
            np.testing.assert_array_equal(one, other)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_episodes_follow_each_other_as_in_gymnasiums_own(mode: AutoresetMode) -> None:
    ours = Autoreset(Walk(3), mode)
    theirs = SyncVectorEnv([lambda: SingleEnv(Walk(1))] * 3, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    assert_equal(ours.reset(seed=7), theirs.reset(seed=7))
    draws, ends = np.random.default_rng(0), np.zeros(2, int)
    for _ in range(60):
        actions = draws.integers(0, 3, 3)
        one = ours.step(actions)
        assert_equal(one, theirs.step(actions))
        ends += [one[2].sum(), one[3].sum()]
        over = one[2] | one[3]
        if mode is AutoresetMode.DISABLED and over.any():
            again = ours.reset(options={"reset_mask": over})
            assert_equal(again, theirs.reset(options={"reset_mask": over}))
    assert (ends > 3).all(), "episodes of either end"
    assert_equal(ours.reset(seed=[5, None, 6]), theirs.reset(seed=[5, None, 6]))


def test_a_reset_by_mask_takes_the_place_of_the_automatic_one() -> None:
    envs = Autoreset(Walk(2))
    envs.reset(seed=[3, 5])
    for _ in range(4):
        *_, truncated, _ = envs.step(np.zeros(2, int))
    assert truncated.tolist() == [True, False]
    mask = np.array([True, False])
    assert envs.reset(seed=[9, 8], options={"reset_mask": mask})[0].tolist() == [[9, 0], [5, 0]]
    assert envs.step(np.ones(2, int))[0].tolist() == [[9, 1], [5, 1]]


def test_a_slots_episodes_do_not_depend_on_those_beside_it() -> None:
    def seeds_of_the_first(actions: list[int]) -> list[float]:
        envs = Autoreset(Walk(2), "SameStep")
        envs.reset(seed=1)
        shown = [envs.step(np.array(actions))[0] for _ in range(40)]
        return [observations[0, 0] for observations in shown]

    alone = seeds_of_the_first([0, 0])
    assert len(set(alone)) > 3 and seeds_of_the_first([0, 2]) == alone


@pytest.mark.parametrize("mode", AutoresetMode)
def test_gymnasiums_statistics_of_episodes(mode: AutoresetMode) -> None:
    envs = RecordEpisodeStatistics(Autoreset(Walk(2), mode))
    envs.reset(seed=[0, 1])
    lengths = []
    while len(lengths) < 6:
        *_, terminated, truncated, infos = envs.step(np.ones(2, int))
        lengths += infos["episode"]["l"][infos["_episode"]].tolist() if infos else []
        if mode is AutoresetMode.DISABLED and (over := terminated | truncated).any():
            envs.reset(options={"reset_mask": over})
    assert lengths[:2] == [4, 5] and list(envs.return_queue) == list(envs.length_queue) == lengths


def test_gymnasiums_videos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its frames, at least: what writes them is not installed with it."""
    clips: list[np.ndarray] = []

    class Clip:
        def __init__(self, frames: list[np.ndarray], fps: int) -> None:
            clips.append(np.stack(frames))

        def write_videofile(self, path: str, logger: None) -> None:
            pass

    name = "moviepy.video.io.ImageSequenceClip"
    for module in ("moviepy", "moviepy.video", "moviepy.video.io", name):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(ImageSequenceClip=Clip))
    videos = str(tmp_path / "videos")
    envs = RecordVideo(Autoreset(Walk(2)), videos, episode_trigger=lambda number: number < 2)
    envs.reset(seed=[1, 2])
    for _ in range(13):
        envs.step(np.ones(2, int))
    envs.close()
    assert clips[0].shape == (6, 16, 32, 3) and len(clips) == 2
    assert clips[0][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5], "the last picture is there"
    assert clips[1][:2, 0, 0, 0].tolist() == [0, 1]


def test_infos_as_a_list() -> None:
    envs = DictInfoToList(Autoreset(Walk(2), AutoresetMode.SAME_STEP))
    envs.reset(seed=[0, 1])
    infos = [envs.step(np.array([1, 1]))[4] for _ in range(4)]
    assert infos[2] == [{}, {}] and infos[3][1] == {}
    assert infos[3][0]["final_obs"].tolist() == [0, 4]


@pytest.mark.parametrize("seed", [-1, 1.5, True, 2**31, [0, -1], [0, 2.0]])
def test_a_seed_that_no_episode_can_have(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"seed.* in \[0, 2\*\*31\)"):
        Autoreset(Walk(2)).reset(seed=seed)
    if not isinstance(seed, list):
        with pytest.raises(ValueError, match=r"seed.* in \[0, 2\*\*31\)"):
            SingleEnv(Walk(1)).reset(seed=seed)


@pytest.mark.parametrize("actions", [[0.5, 1.5], [0.0, 1.0], ["0", "1"], [True, False], [None, 0]])
def test_discrete_actions_are_whole_numbers(actions: list[Any]) -> None:
    envs = Autoreset(Walk(2))
    envs.reset(seed=1)
    with pytest.raises(ValueError, match=r"actions are \S+, which is not of Discrete"):
        envs.step(np.array(actions))


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="autoreset_mode=never is none of NextStep, SameStep"):
        Autoreset(Walk(2), "never")
    envs = Autoreset(Walk(2), AutoresetMode.DISABLED)
    with pytest.raises(ValueError, match=r"slots \[0, 1\] have no episode: reset them"):
        envs.step(np.zeros(2, int))
    envs.reset(seed=[0, 1])
    for _ in range(4):
        envs.step(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"slots \[0\] have no episode: reset them"):
        envs.step(np.zeros(2, int))
    with pytest.raises(ValueError, match="1 seeds given for 2 slots: give one for each"):
        envs.reset(seed=[0])
    with pytest.raises(ValueError, match=r"reset_mask'\] is int64 \(2,\): give bool \(2,\)"):
        envs.reset(options={"reset_mask": np.array([0, 1])})
    with pytest.raises(ValueError, match=r"actions \[0, 3\] are not all in Discrete\(3\)"):
        envs.step(np.array([0, 3]))
    with pytest.raises(ValueError, match=r"actions are \(1,\), not \(2,\)"):
        envs.step(np.array([1]))
    single = SingleEnv(Walk(1))
    with pytest.raises(ValueError, match="there is no episode: reset the environment"):
        single.step(0)


def test_one_slot_is_an_environment() -> None:
    with pytest.warns(UserWarning, match="alternative render modes"):
        check_env(SingleEnv(Walk(1)))
    env = gymnasium.wrappers.TimeLimit(SingleEnv(Walk(1)), 3)
    env.reset(seed=4)
    assert [env.step(1)[3] for _ in range(3)] == [False, False, True]


def test_pictures_as_a_vector_environment_for_anyone() -> None:
    spec = make_spec(EnvConfig(id="WorldModels/Pellet-v0"))
    envs = Autoreset(make_vector_env(spec, Backend.auto, 2), AutoresetMode.SAME_STEP)
    frames, _ = envs.reset(seed=[0, 1])
    for _ in range(20):
        before = envs.render()
        frames, _, _, truncated, infos = envs.step(np.zeros(2, int))
    assert truncated.all() and infos["_final_obs"].all() and frames in envs.observation_space
    shown = spec.preprocessing.apply(before)
    for slot, final in enumerate(infos["final_obs"]):
        np.testing.assert_array_equal(final, shown[slot])
        assert (final != frames[slot]).any(), "another episode has begun"
    envs.close()
