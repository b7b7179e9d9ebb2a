"""Whether CarRacing's car is on the road, from frames alone."""

import numpy as np
import numpy.typing as npt

from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec

SEEN = Preprocessing(crop=(0, 12, 0, 0), size=64, grayscale=False)
"""How env=car_racing shows it: without the status bar."""
ZOOMING = 50
"""Frames at the beginning of an episode, in which the camera still comes down to the car."""
AROUND_THE_CAR = (slice(50, 61), slice(27, 38))
"""Rows and columns of such a frame, in whose middle the car stands."""
GREENER = 24
"""Of 255: what has so much more green than red and than blue is grass."""
MOSTLY = 0.73
"""Share of grass around the car, which itself takes a fifth, once all of its wheels are on it."""


def shows_road(env: EnvSpec) -> bool:
    """Whether frames are CarRacing's, cut and scaled so that `off_road` can read them."""
    return env.id == "CarRacing-v3" and env.preprocessing == SEEN


def off_road(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """In which frames (F, 64, 64, 3) of an episode of CarRacing the car has left the road: (F,).

    It begins on the road; while the camera comes down nothing else can be told.
    """
    assert frames.shape[1:] == (64, 64, 3), frames.shape
    left = grass(frames) > MOSTLY
    left[:ZOOMING] = False
    return left


def grass(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The share of grass around the car in frames (F, 64, 64, 3): (F,)."""
    red, green, blue = np.moveaxis(frames[:, *AROUND_THE_CAR].astype(np.int16), -1, 0)
    is_grass = (green > red + GREENER) & (green > blue + GREENER)
    share: npt.NDArray[np.float64] = is_grass.mean((1, 2))
    return share
