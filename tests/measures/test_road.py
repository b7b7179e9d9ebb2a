"""The car is off the road where CarRacing itself says that no wheel touches it."""

from dataclasses import replace

import gymnasium
import numpy as np

import world_models
from world_models.measures.road import SEEN, off_road, shows_road

ON, OFF = 4, 0


def driven(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of an episode that goes straight on, and how many wheels are on the road in each."""
    env = gymnasium.make("CarRacing-v3")
    picture, _ = env.reset(seed=1)
    pictures, wheels = [], []
    for _ in range(steps):
        pictures.append(picture)
        wheels.append(sum(bool(wheel.tiles) for wheel in env.unwrapped.car.wheels))
        picture, *_ = env.step(np.array([0.0, 0.6, 0.0], np.float32))
    return SEEN.apply(pictures), np.array(wheels)


def test_it_agrees_with_what_the_wheels_touch() -> None:
    frames, wheels = driven(110)
    found = off_road(frames)
    assert (wheels == ON).sum() > 40 and (wheels == OFF).sum() > 10, "both occur"
    assert not found[wheels == ON].any()
    assert found[wheels == OFF].all()


def test_it_reads_frames_as_the_environment_is_usually_seen_and_no_others() -> None:
    env = world_models.load("car_racing").env
    others = replace(env, preprocessing=replace(SEEN, size=32)), replace(env, id="Acrobot-v1")
    assert [shows_road(spec) for spec in (env, *others)] == [True, False, False]
