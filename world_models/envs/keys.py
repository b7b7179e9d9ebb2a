"""Keys with which a person plays: which there are, and what is done while some of them are held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from world_models.envs.actions import ActionSpace

Held = frozenset[str]
"""The names of the keys that are down: a letter or digit, or left, right, up, down, space."""

NOBODY: Held = frozenset()
"""No key is down."""

ARROWS = ("left", "right", "up", "down")
PAIRS = (("left", "right"), ("down", "up"), ("a", "d"), ("s", "w"), ("f", "h"), ("g", "t"))
"""Keys towards the low and the high end of a box's dimensions, the first pair of its first one."""
NUMBERED = "0123456789abcdefghijklmnopqrstuvwxyz"
"""The keys of numbered actions, in their order."""
RELEASE = 0.25
"""How far a lever goes back in a step once nothing holds it, as a share of its way."""


@dataclass(frozen=True)
class Key:
    """A key, and what it does."""

    name: str
    says: str


class Keyboard(Protocol):
    """How held keys become actions."""

    @property
    def keys(self) -> Sequence[Key]:
        """All keys, as they are drawn and explained."""

    @property
    def rest(self) -> np.ndarray:
        """The action (...) of hands that have not moved yet."""

    def move(self, before: np.ndarray, held: Held) -> np.ndarray:
        """The next action (...), of the one before and the keys that are held now."""


@dataclass(frozen=True)
class Chords:
    """Numbered actions: each is that of some keys held together, and one is that of none."""

    keys: Sequence[Key]
    # keys -> action
    chords: Mapping[Held, int]
    # of no keys
    idle: int

    @property
    def rest(self) -> np.ndarray:
        """See `Keyboard`."""
        return np.array(self.idle, np.int64)

    def move(self, before: np.ndarray, held: Held) -> np.ndarray:
        """The action of the largest chord that is held whole; of two, the first in the table."""
        whole = [chord for chord in self.chords if chord <= held]
        action = self.chords[max(whole, key=len)] if whole else self.idle
        return np.array(action, np.int64)


@dataclass(frozen=True)
class Lever:
    """A key that moves one dimension of a box to a value, step by step while it is held."""

    key: Key
    dimension: int
    to: float
    # in a step, as a share of the way
    pull: float = 0.1


@dataclass(frozen=True)
class Levers:
    """Box actions: a dimension goes towards its lever's value, and back once nothing holds it.

    Where levers of one dimension are held together, none is.
    """

    levers: Sequence[Lever]
    # of each dimension, where nothing is held
    rests: tuple[float, ...]

    @property
    def keys(self) -> Sequence[Key]:
        """See `Keyboard`."""
        return [lever.key for lever in self.levers]

    @property
    def rest(self) -> np.ndarray:
        """See `Keyboard`."""
        return np.array(self.rests, np.float32)

    def move(self, before: np.ndarray, held: Held) -> np.ndarray:
        """See `Keyboard`."""
        places = zip(self.rests, before.tolist(), strict=True)
        moved = [self._moved(number, *place, held) for number, place in enumerate(places)]
        return np.array(moved, np.float32)

    def _moved(self, dimension: int, rest: float, value: float, held: Held) -> float:
        """Where one dimension is after a step."""
        own = [lever for lever in self.levers if lever.dimension == dimension]
        pulled = [lever for lever in own if lever.key.name in held]
        if len(pulled) == 1 and (value - rest) * (pulled[0].to - rest) >= 0:
            way = pulled[0].pull * abs(pulled[0].to - rest)
            return _towards(value, pulled[0].to, way)
        longest = max((abs(lever.to - rest) for lever in own), default=0.0)
        return _towards(value, rest, RELEASE * longest)


def _towards(value: float, target: float, way: float) -> float:
    return value + float(np.clip(target - value, -way, way))


def numbered(space: ActionSpace) -> Chords:
    """A digit for each numbered action, and letters past nine; the first is that of no keys."""
    count = min(space.size, len(NUMBERED))
    keys = [Key(name, f"action {space.start + number}") for number, name in _counted(count)]
    chords = {frozenset({name}): space.start + number for number, name in _counted(count)}
    return Chords(keys, chords, space.start)


def _counted(count: int) -> list[tuple[int, str]]:
    return list(enumerate(NUMBERED[:count]))


def paired(space: ActionSpace) -> Levers:
    """A pair of keys for each dimension of a box, as far as there are pairs."""
    bounds = list(zip(space.low, space.high, strict=True))
    levers: list[Lever] = []
    for number, (pair, ends) in enumerate(zip(PAIRS, bounds, strict=False)):
        for name, end, word in zip(pair, ends, ("less", "more"), strict=True):
            levers.append(Lever(Key(name, f"{word} of action {number}"), number, end))
    return Levers(
        levers, tuple(0.0 if low <= 0 <= high else (low + high) / 2 for low, high in bounds)
    )


def any_keys(space: ActionSpace) -> Keyboard:
    """The keys of an environment that has none of its own."""
    return numbered(space) if space.kind == "discrete" else paired(space)


def arrows(actions: Mapping[str, tuple[int, str]]) -> Chords:
    """Arrows alone: what each does as an action and in words. Action 0 is that of none."""
    keys = [Key(name, says) for name, (_, says) in actions.items()]
    chords = {frozenset({name}): action for name, (action, _) in actions.items()}
    return Chords(keys, chords, 0)


def driving() -> Levers:
    """CarRacing's: steering, gas and brake grow while a key is held, as with a pedal."""
    return Levers(
        [
            Lever(Key("left", "steer left"), 0, -1.0),
            Lever(Key("right", "steer right"), 0, 1.0),
            Lever(Key("up", "gas"), 1, 1.0),
            Lever(Key("down", "brake"), 2, 0.8),
        ],
        (0.0, 0.0, 0.0),
    )
