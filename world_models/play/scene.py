"""What is seen of a session at one moment, as plain values: nothing here draws or sends it."""

from dataclasses import dataclass

import numpy as np

from world_models.envs.keys import Key


@dataclass(frozen=True)
class Panel:
    """A picture with its name."""

    label: str
    # uint8 (H, W, 3); None where there is nothing to show yet
    picture: np.ndarray | None


@dataclass(frozen=True)
class Curve:
    """A number over the steps of a dream."""

    label: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Pressed:
    """A key, and whether it is held."""

    key: Key
    is_held: bool


@dataclass(frozen=True)
class Done:
    """What the last step did to where one plays."""

    # uint8 (H, W, C), what an agent saw there before the step
    frame: np.ndarray
    # (...) as the environment takes it
    action: np.ndarray
    # NaN where no reward is predicted
    reward: float
    # RUNNING, TERMINATED or TRUNCATED
    done: int
    # whether it was a dream
    dreamt: bool


@dataclass(frozen=True)
class Scene:
    """One moment: where one plays is the first panel."""

    panels: tuple[Panel, ...]
    # name -> value, as it is written
    header: dict[str, str]
    keys: tuple[Pressed, ...]
    curves: tuple[Curve, ...] = ()
    # one sentence, empty where there is nothing to say
    notice: str = ""
    # whether the sentence asks for a yes or a no
    asks: bool = False
    # None where nothing moved
    step: Done | None = None
