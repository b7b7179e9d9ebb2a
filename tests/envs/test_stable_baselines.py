"""The adapter for Stable-Baselines3, beside its own DummyVecEnv."""

import numpy as np
import pytest
from envs.test_autoreset import Walk

pytest.importorskip("stable_baselines3")
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from world_models.envs.autoreset import Autoreset, SingleEnv
from world_models.envs.stable_baselines import StableBaselinesEnv


def test_it_steps_as_stable_baselines_own() -> None:
    ours = StableBaselinesEnv(Autoreset(Walk(3), "SameStep"))
    theirs = DummyVecEnv([lambda: SingleEnv(Walk(1))] * 3)
    assert ours.seed(4) == theirs.seed(4)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    draws, cut = np.random.default_rng(0), set()
    for _ in range(40):
        actions = draws.integers(0, 3, 3)
        *arrays, infos = ours.step(actions)
        *others, their_infos = theirs.step(actions)
        for one, other in zip(arrays, others, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        for one, other in zip(infos, their_infos, strict=True):
            last, their_last = (each.pop("terminal_observation", None) for each in (one, other))
            np.testing.assert_array_equal(last, their_last)
            assert one == other
            cut.add((last is not None, *one.values()))
    assert cut == {(False, False), (True, False), (True, True)}
    np.testing.assert_array_equal(ours.render(), theirs.render())


def test_episodes_are_watched_and_seeds_may_be_any() -> None:
    envs = VecMonitor(StableBaselinesEnv(Autoreset(Walk(2), "SameStep")))
    envs.seed(2**32 - 1)
    envs.reset()
    infos = [info for _ in range(6) for info in envs.step(np.ones(2, int))[3]]
    assert {info["episode"]["l"] for info in infos if "episode" in info} <= {4, 5, 6}
    assert envs.get_attr("num_envs") == [2, 2] and envs.render_mode == "rgb_array"
    with pytest.raises(AttributeError, match="slots share speed: set it on the environment"):
        envs.set_attr("speed", 3)
    with pytest.raises(AttributeError, match="slots share fly: call it on the environment"):
        envs.env_method("fly")
    envs.close()


def test_other_ways_to_begin_anew_are_refused() -> None:
    with pytest.raises(ValueError, match="make the environment with autoreset_mode=AutoresetMode"):
        StableBaselinesEnv(Autoreset(Walk(2)))
