"""The car is off the road where CarRacing itself says that no wheel touches it."""

import gymnasium
import numpy as np

from world_models.envs.preprocess import Preprocessing
from world_models.measures.road import off_road

SEEN = Preprocessing((0, 12, 0, 0), 64, False)
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
