"""Procgen: its games and modes, the level that belongs to an episode seed, and a slot per level."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import gymnasium
import numpy as np

from world_models.envs.actions import ActionSpace
from world_models.envs.config import EnvConfig
from world_models.envs.keys import ARROWS, Chords, Key
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import Preprocessing
from world_models.envs.quiet import quiet_gym
from world_models.envs.slots import Transitions
from world_models.envs.spec import HELD_OUT, EnvSpec

PROCGEN_PREFIX = "WorldModels/Procgen-"
NUM_ACTIONS = 15
PICTURE_SIZE = 64
NUM_LEVELS = 2**31 - 1
"""Levels that exist: 0 up to this."""


class Game(Enum):
    """The sixteen games."""

    bigfish = "bigfish"
    bossfight = "bossfight"
    caveflyer = "caveflyer"
    chaser = "chaser"
    climber = "climber"
    coinrun = "coinrun"
    dodgeball = "dodgeball"
    fruitbot = "fruitbot"
    heist = "heist"
    jumper = "jumper"
    leaper = "leaper"
    maze = "maze"
    miner = "miner"
    ninja = "ninja"
    plunder = "plunder"
    starpilot = "starpilot"

    def __str__(self) -> str:
        return self.name


class DistributionMode(Enum):
    """How levels are drawn; every game has easy and hard, `GAMES_OF_MODE` lists the others."""

    easy = "easy"
    hard = "hard"
    extreme = "extreme"
    memory = "memory"
    exploration = "exploration"


GAMES_OF_MODE = {
    "extreme": ["chaser", "dodgeball", "leaper", "starpilot"],
    "memory": ["caveflyer", "dodgeball", "heist", "jumper", "maze", "miner"],
    "exploration": [
        "caveflyer",
        "climber",
        "coinrun",
        "heist",
        "jumper",
        "leaper",
        "maze",
        "ninja",
    ],
}
CHORDS = [
    ("left", "down"),
    ("left",),
    ("left", "up"),
    ("down",),
    (),
    ("up",),
    ("right", "down"),
    ("right",),
    ("right", "up"),
    *(("d",), ("a",), ("w",), ("s",), ("q",), ("e",)),
]
"""The keys of the fifteen actions, in their order, as Procgen's own interactive games have them."""
TIME_LIMITS = {"bigfish": 6000, "bossfight": 4000, "leaper": 500, "maze": 500, "plunder": 4000}
DEFAULT_TIME_LIMIT = 1000
DEFAULT_KWARGS: dict[str, Any] = {
    "num_levels": 0,
    "start_level": 0,
    "rand_seed": 0,
    "distribution_mode": "easy",
}


@dataclass
class ProcgenConfig(EnvConfig):
    """A Procgen game."""

    # follows from the game
    id: str = "WorldModels/Procgen-${.game}-v0"
    # one of the sixteen
    game: Game = Game.coinrun
    # levels of training; 0: all there are
    num_levels: int = 0
    # the first of them
    start_level: int = 0
    # Procgen's own seed
    rand_seed: int = 0
    # how levels are drawn
    distribution_mode: DistributionMode = DistributionMode.easy


def is_procgen(env_id: str) -> bool:
    """Whether this is one of the Procgen environments registered here."""
    return env_id.startswith(PROCGEN_PREFIX)


def game_of(env_id: str) -> str:
    """The game in `WorldModels/Procgen-<game>-v0`; ValueError if there is none of that name."""
    name = env_id.removeprefix(PROCGEN_PREFIX).removesuffix("-v0")
    if name not in Game.__members__ or env_id != f"{PROCGEN_PREFIX}{name}-v0":
        raise ValueError(
            f"env.id={env_id} is no Procgen game: "
            f"use {PROCGEN_PREFIX}<game>-v0 with one of {', '.join(Game.__members__)}"
        )
    return name


def time_limit(game: str) -> int:
    """Steps after which the game itself ends an episode."""
    return TIME_LIMITS.get(game, DEFAULT_TIME_LIMIT)


def require_procgen() -> None:
    """ValueError if Procgen is not installed."""
    if importlib.util.find_spec("procgen") is None:
        raise ValueError(
            "Procgen is not installed: its package procgen-mirror has wheels for Linux x86-64 "
            "with Python 3.11 or 3.12 only, so use such a machine or another environment"
        )


def checked_kwargs(game: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """`kwargs` completed by the defaults; ValueError for what Procgen would abort on."""
    unknown = sorted(set(kwargs) - set(DEFAULT_KWARGS))
    if unknown:
        known = ", ".join(f"env.{key}" for key in DEFAULT_KWARGS)
        raise ValueError(f"Procgen takes {known}, not env.kwargs.{unknown[0]}")
    kwargs = {**DEFAULT_KWARGS, **kwargs}
    mode = kwargs["distribution_mode"]
    start = kwargs["start_level"]
    count = kwargs["num_levels"]
    if mode not in DistributionMode.__members__:
        raise ValueError(
            f"env.distribution_mode={mode} does not exist: "
            f"use {', '.join(DistributionMode.__members__)}"
        )
    if game not in GAMES_OF_MODE.get(mode, [game]):
        raise ValueError(
            f"env.game={game} has no env.distribution_mode={mode}: "
            f"{', '.join(GAMES_OF_MODE[mode])} have it"
        )
    if start < 0 or count < 0 or start + count >= NUM_LEVELS:
        raise ValueError(
            f"env.start_level={start} and env.num_levels={count} "
            f"must lie in [0, {NUM_LEVELS}) together"
        )
    return kwargs


def make_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    """The description of a game; ValueError for what cannot be used."""
    game = game_of(cfg.id)
    preprocessing.check(PICTURE_SIZE, PICTURE_SIZE)
    actions = ActionSpace.from_gymnasium(gymnasium.spaces.Discrete(NUM_ACTIONS), cfg.squash)
    kwargs = checked_kwargs(game, {**_typed_kwargs(cfg), **cfg.kwargs})
    return EnvSpec(cfg.id, kwargs, preprocessing, cfg.frame_skip, actions, time_limit(game))


def _typed_kwargs(cfg: EnvConfig) -> dict[str, Any]:
    if not isinstance(cfg, ProcgenConfig):
        return {}
    return {
        "num_levels": cfg.num_levels,
        "start_level": cfg.start_level,
        "rand_seed": cfg.rand_seed,
        "distribution_mode": cfg.distribution_mode.value,
    }


def keys(spec: EnvSpec) -> Chords:
    """Arrows, two of them together, and six letters; what a letter does is the game's own."""
    moves = [Key(name, f"move {name}") for name in ARROWS]
    letters = [Key(chord[0], "special") for chord in CHORDS[-6:]]
    chords = {frozenset(chord): action for action, chord in enumerate(CHORDS) if chord}
    return Chords([*moves, *letters], chords, CHORDS.index(()))


def has_one_level(spec: EnvSpec) -> bool:
    """Whether every episode is of the same level, so that none can be held out."""
    return spec.kwargs["distribution_mode"] == DistributionMode.exploration.value


def level_limit(spec: EnvSpec) -> int:
    """From how many levels the seeds below `HELD_OUT` draw, 0 where from all there are."""
    return spec.kwargs["num_levels"]


def episode_level(spec: EnvSpec, seed: int) -> int:
    """The level that an episode of this seed has; 0 where there is but one."""
    if has_one_level(spec):
        return 0
    return level_of(seed, spec.kwargs["start_level"], spec.kwargs["num_levels"])


def level_of(seed: int, start_level: int, num_levels: int) -> int:
    """The level of an episode seed: the seed itself, or, with `num_levels`, inside their range.

    Held-out seeds have levels outside [start_level, start_level + num_levels).
    """
    if num_levels == 0:
        return seed % NUM_LEVELS
    if seed < HELD_OUT:
        return start_level + seed % num_levels
    outside = (seed - HELD_OUT) % (NUM_LEVELS - num_levels)
    return (start_level + num_levels + outside) % NUM_LEVELS


def make_gym3(
    game: str, *, distribution_mode: str, rand_seed: int, start_level: int, num_levels: int
) -> Any:
    """One Procgen game as a gym3 environment without threads of its own.

    Exploration mode has one level of its own.
    """
    levels = {"start_level": start_level, "num_levels": num_levels}
    if distribution_mode == DistributionMode.exploration.value:
        levels = {}
    with quiet_gym():
        from procgen import ProcgenGym3Env

        return ProcgenGym3Env(
            num=1,
            env_name=game,
            distribution_mode=distribution_mode,
            rand_seed=rand_seed,
            num_threads=0,
            **levels,
        )


class ProcgenVectorEnv(PixelVectorEnv):
    """Slots are games of a single level, made anew for each episode."""

    has_final_frame = False

    def __init__(self, env_spec: EnvSpec, num_envs: int) -> None:
        super().__init__(env_spec, num_envs)
        self._game = game_of(env_spec.id)
        self._time_limit = time_limit(self._game)
        self._games: list[Any] = [None] * num_envs
        self._elapsed = np.zeros(num_envs, int)

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> Sequence[np.ndarray]:
        self._elapsed[slots] = 0
        for slot, seed in zip(slots, seeds, strict=True):
            self._games[slot] = self._make_level(seed)
        return [self._games[slot].observe()[1]["rgb"][0].copy() for slot in slots]

    def _make_level(self, seed: int) -> Any:
        kwargs = self.env_spec.kwargs
        level = level_of(seed, kwargs["start_level"], kwargs["num_levels"])
        return make_gym3(self._game, **{**kwargs, "start_level": level, "num_levels": 1})

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        self._elapsed[slots] += 1
        pictures: list[np.ndarray] = []
        rewards = np.zeros(len(slots), np.float32)
        ended, solved = np.zeros((2, len(slots)), bool)
        for row, slot in enumerate(slots):
            game = self._games[slot]
            game.act(actions[row : row + 1])
            reward, observation, first = game.observe()
            pictures.append(observation["rgb"][0].copy())
            rewards[row] = reward[0]
            ended[row] = first[0]
            solved[row] = ended[row] and game.get_info()[0]["prev_level_complete"]
        truncated = ended & ~solved & (self._elapsed[slots] >= self._time_limit)
        return pictures, rewards, ended & ~truncated, truncated

    def close_extras(self, **kwargs: Any) -> None:
        """Let every game go."""
        self._games.clear()


def make_slots(spec: EnvSpec, num_envs: int, threads: int) -> ProcgenVectorEnv:
    """`num_envs` games, on one thread whatever `threads` says."""
    return ProcgenVectorEnv(spec, num_envs)
