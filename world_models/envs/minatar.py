"""MinAtar: five small Atari games on 10x10 cells (Young & Tian 2019), drawn as pictures."""

import importlib.util
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from world_models.envs.actions import ActionSpace
from world_models.envs.config import EnvConfig
from world_models.envs.gymnasium_backend import GymnasiumVectorEnv
from world_models.envs.keys import Chords, arrows
from world_models.envs.preprocess import Preprocessing
from world_models.envs.quiet import quiet_minatar
from world_models.envs.spec import EnvSpec

MINATAR_PREFIX = "WorldModels/MinAtar-"
NUM_ACTIONS = 6
"""Nothing, left, up, right, down, fire."""
HEEDED = {
    "breakout": (0, 1, 3),
    "freeway": (0, 2, 4),
    "asterix": (0, 1, 2, 3, 4),
    "seaquest": (0, 1, 2, 3, 4, 5),
    "space_invaders": (0, 1, 3, 5),
}
"""Of these the ones to which a game listens: MinAtar's minimal action set."""
NUM_CELLS = 10
"""Cells in a row."""
CELL_SIZE = 4
"""Pixels in a row of a cell."""
PICTURE_SIZE = NUM_CELLS * CELL_SIZE
TIME_LIMIT = 10_000
"""Steps; the games themselves have none."""
COLOURS = np.array(
    [
        (86, 180, 233),
        (230, 159, 0),
        (240, 228, 66),
        (0, 158, 115),
        (213, 94, 0),
        (204, 121, 167),
        (255, 255, 255),
        (0, 114, 178),
        (150, 60, 220),
        (120, 120, 120),
    ]
)
"""Of each channel of a game; an empty cell is black."""


class MinAtarGame(Enum):
    """The five games."""

    breakout = "breakout"
    freeway = "freeway"
    asterix = "asterix"
    seaquest = "seaquest"
    space_invaders = "space_invaders"

    def __str__(self) -> str:
        return self.name


@dataclass
class MinAtarConfig(EnvConfig):
    """A MinAtar game."""

    # follows from the game
    id: str = "WorldModels/MinAtar-${.game}-v0"
    # one of the five
    game: MinAtarGame = MinAtarGame.breakout
    # pixels of a side of the frames
    size: int = PICTURE_SIZE
    # probability that the last action is repeated in place of the new one
    sticky: float = 0.1
    # whether a game grows harder as it goes on, where it can
    ramping: bool = True
    # whether all six actions can be chosen, or those alone to which the game listens
    all_actions: bool = False


def is_minatar(env_id: str) -> bool:
    """Whether this is one of the MinAtar games that are played here."""
    return env_id.startswith(MINATAR_PREFIX)


def require_minatar() -> None:
    """ValueError if MinAtar is not installed."""
    if importlib.util.find_spec("minatar") is None:
        raise ValueError(
            'env=minatar needs the extra "minatar": pip install "world-models[minatar]"'
        )


def make_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    """The description of a game; ValueError for what cannot be used."""
    game = game_of(cfg.id)
    preprocessing.check(PICTURE_SIZE, PICTURE_SIZE)
    typed: dict[str, Any] = {}
    if isinstance(cfg, MinAtarConfig):
        typed = {
            "sticky": cfg.sticky,
            "ramping": cfg.ramping,
            "all_actions": cfg.all_actions,
        }
    kwargs = checked_kwargs({**typed, **cfg.kwargs})
    count = len(actions_of(game, kwargs["all_actions"]))
    space = ActionSpace.from_gymnasium(gymnasium.spaces.Discrete(count), cfg.squash)
    return EnvSpec(cfg.id, kwargs, preprocessing, cfg.frame_skip, space, TIME_LIMIT)


def game_of(env_id: str) -> str:
    """The game in `WorldModels/MinAtar-<game>-v0`; ValueError if there is none of that name."""
    name = env_id.removeprefix(MINATAR_PREFIX).removesuffix("-v0")
    if name not in MinAtarGame.__members__ or env_id != f"{MINATAR_PREFIX}{name}-v0":
        known = ", ".join(MinAtarGame.__members__)
        raise ValueError(f"env.id={env_id} is no game of MinAtar: use env.game, one of {known}")
    return name


def checked_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """`kwargs` with the values that hold; ValueError for others.

    Without `all_actions` they are of an earlier version, which had all six.
    """
    known = {
        "sticky": MinAtarConfig.sticky,
        "ramping": MinAtarConfig.ramping,
        "all_actions": True,
    }
    unknown = sorted(set(kwargs) - set(known))
    if unknown:
        raise ValueError(
            "MinAtar takes env.sticky, env.ramping and env.all_actions, "
            f"not env.kwargs.{unknown[0]}"
        )
    kwargs = {**known, **kwargs}
    if not 0 <= kwargs["sticky"] < 1:
        raise ValueError(f"env.sticky={kwargs['sticky']} must be at least 0 and below 1")
    return kwargs


def actions_of(game: str, every: bool) -> tuple[int, ...]:
    """MinAtar's numbers of the actions that can be chosen: `every` one, or those heeded."""
    return tuple(range(NUM_ACTIONS)) if every else HEEDED[game]


def keys(spec: EnvSpec) -> Chords:
    """The arrows, and space to fire, as far as they can be chosen."""
    ways = {"left": (1, "go left"), "up": (2, "go up"), "right": (3, "go right")}
    ways |= {"down": (4, "go down"), "space": (5, "fire")}
    chosen = actions_of(game_of(spec.id), spec.action_space.size == NUM_ACTIONS)
    found = {
        name: (chosen.index(number), says)
        for name, (number, says) in ways.items()
        if number in chosen
    }
    return arrows(found)


class MinAtarEnv(gymnasium.Env):
    """One game. Observations are its picture, uint8 (40, 40, 3).

    A cell that several channels hold has the mean of their colours, so nothing is hidden.
    """

    def __init__(self, game: str, sticky: float, ramping: bool, all_actions: bool) -> None:
        self._settings = {"sticky_action_prob": sticky, "difficulty_ramping": ramping}
        self._game = game
        self._actions = actions_of(game, all_actions)
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))
        shape = (PICTURE_SIZE, PICTURE_SIZE, 3)
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in a new game: an old one remembers its last action."""
        with quiet_minatar():
            from minatar import Environment
        super().reset(seed=seed)
        self._env = Environment(self._game, **self._settings)
        self._env.seed(int(self.np_random.integers(2**31)))
        self._env.reset()
        self._steps = 0
        return draw_cells(self._env.state()), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; it is cut at the time limit."""
        reward, ended = self._env.act(self._actions[int(action)])
        self._steps += 1
        late = not ended and self._steps >= TIME_LIMIT
        return draw_cells(self._env.state()), float(reward), bool(ended), late, {}


def draw_cells(channels: np.ndarray) -> np.ndarray:
    """The picture uint8 (40, 40, 3) of what each cell holds, bool (10, 10, channels)."""
    held = channels.astype(np.float64)
    colours = held @ COLOURS[: held.shape[-1]] / np.maximum(held.sum(-1, keepdims=True), 1)
    cells = np.rint(colours).astype(np.uint8)
    return cells.repeat(CELL_SIZE, axis=0).repeat(CELL_SIZE, axis=1)


def make_slots(spec: EnvSpec, num_envs: int, threads: int) -> GymnasiumVectorEnv:
    """`num_envs` games, on one thread whatever `threads` says."""
    make_env = partial(MinAtarEnv, game_of(spec.id), **checked_kwargs(spec.kwargs))
    return GymnasiumVectorEnv(spec, make_env, num_envs)
