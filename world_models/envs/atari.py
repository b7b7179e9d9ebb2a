"""Atari 2600 games, played by the Arcade Learning Environment as Atari-100k has them."""

import difflib
import importlib.util
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from world_models.envs.actions import ActionSpace
from world_models.envs.config import EnvConfig
from world_models.envs.gymnasium_backend import GymnasiumVectorEnv
from world_models.envs.keys import NOBODY, Chords, Held, Key
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import SCORED, EnvSpec

ATARI_PREFIX = "WorldModels/Atari-"
PICTURE_SHAPE = (210, 160, 3)
TRAINING_FRAMES = 20_000
"""After so many raw frames an episode of training is cut."""
SCORED_FRAMES = 108_000
"""After so many raw frames, 30 minutes, an episode of a score is cut."""
NO_OPERATION = "NOOP"
BUTTONS = {"LEFT": "left", "RIGHT": "right", "UP": "up", "DOWN": "down", "FIRE": "space"}
"""Words of which the names of actions are made, and the keys that stand for them."""


@dataclass
class AtariConfig(EnvConfig):
    """An Atari game.

    What `life_loss` and `noops` say holds for training; an episode of a score is a whole game.
    """

    # follows from the game
    id: str = "WorldModels/Atari-${.game}-v0"
    # one of ale-py's
    game: str = "Breakout"
    # raw frames per action
    frame_skip: int = 4
    # whether an episode ends with the first life that is lost
    life_loss: bool = True
    # most raw frames without action at the beginning; 1 for scores
    noops: int = 30


def is_atari(env_id: str) -> bool:
    """Whether this is one of the Atari games that are played here."""
    return env_id.startswith(ATARI_PREFIX)


def require_atari() -> None:
    """ValueError if ale-py is not installed."""
    if importlib.util.find_spec("ale_py") is None:
        raise ValueError('env=atari needs the extra "atari": pip install "world-models[atari]"')


def make_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    """The description of a game; ValueError for what cannot be used."""
    preprocessing.check(*PICTURE_SHAPE[:2])
    typed: dict[str, Any] = {}
    if isinstance(cfg, AtariConfig):
        typed = {"life_loss": cfg.life_loss, "noops": cfg.noops}
    kwargs = {**checked_kwargs({**typed, **cfg.kwargs}), "actions": actions_of(rom_of(cfg.id))}
    space = ActionSpace.from_gymnasium(
        gymnasium.spaces.Discrete(len(kwargs["actions"])), cfg.squash
    )
    return EnvSpec(cfg.id, kwargs, preprocessing, cfg.frame_skip, space, SCORED_FRAMES)


def checked_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """`kwargs` with the values that hold; ValueError for others."""
    kwargs = {"life_loss": AtariConfig.life_loss, "noops": AtariConfig.noops, **kwargs}
    unknown = sorted(set(kwargs) - {"life_loss", "noops"})
    if unknown:
        raise ValueError(f"Atari takes env.life_loss and env.noops, not env.kwargs.{unknown[0]}")
    if kwargs["noops"] < 1:
        raise ValueError(f"env.noops={kwargs['noops']} must be at least 1")
    return kwargs


def rom_of(env_id: str) -> str:
    """The file of the game in `WorldModels/Atari-<Game>-v0`; ValueError if there is no such game.

    The games come with ale-py.
    """
    from ale_py import roms

    games = {game_name(rom): rom for rom in roms.get_all_rom_ids()}
    name = env_id.removeprefix(ATARI_PREFIX).removesuffix("-v0")
    if name not in games or env_id != f"{ATARI_PREFIX}{name}-v0":
        near = difflib.get_close_matches(name, games, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}" if near else f"use one of {', '.join(games)}"
        raise ValueError(f"env.game={name} is no game of ale-py: {hint}")
    return str(roms.get_rom_path(games[name]))


def game_name(rom: str) -> str:
    """`space_invaders` as `SpaceInvaders`."""
    return "".join(part.capitalize() for part in rom.split("_"))


def actions_of(rom: str) -> list[str]:
    """The names of the actions that make a difference in a game."""
    return [action.name for action in open_console(rom).getMinimalActionSet()]


def open_console(rom: str) -> Any:
    """A console (ale_py.ALEInterface) with a game in it, without sticky actions."""
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    console = ale_py.ALEInterface()
    console.setFloat("repeat_action_probability", 0.0)
    console.setInt("random_seed", 0)
    console.loadROM(rom)
    return console


def keys(spec: EnvSpec) -> Chords:
    """The arrows, and space to fire; actions of several words are those keys held together."""
    held = [buttons_of(name) for name in spec.kwargs["actions"]]
    says = {"space": "fire", **{way: f"go {way}" for way in ("left", "right", "up", "down")}}
    used = [Key(name, says[name]) for name in BUTTONS.values() if any(name in one for one in held)]
    chords = {chord: number for number, chord in enumerate(held) if chord}
    return Chords(used, chords, held.index(NOBODY))


def buttons_of(action: str) -> Held:
    """The keys of an action such as UPRIGHTFIRE."""
    return frozenset(key for word, key in BUTTONS.items() if word in action)


class AtariEnv(gymnasium.Env):
    """One game, a raw frame a step. Observations are pictures, uint8 (210, 160, 3).

    A picture is the brighter of the last two frames, pixel by pixel: the console draws some things
    only in every second one.
    """

    def __init__(self, rom: str, actions: list[str], life_loss: bool, noops: int) -> None:
        self._console = open_console(rom)
        self._switched_on = self._console.cloneState(include_rng=True)
        known = {action.name: action for action in self._console.getLegalActionSet()}
        self._actions = [known[name] for name in actions]
        self._nothing = known[NO_OPERATION]
        self._life_loss = life_loss
        self._noops = noops
        self.action_space = gymnasium.spaces.Discrete(len(actions))
        self.observation_space = gymnasium.spaces.Box(0, 255, PICTURE_SHAPE, np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode as if the console was just switched on; its seed says of which kind."""
        super().reset(seed=seed)
        self._is_scored = seed is not None and seed >= SCORED
        self._console.restoreState(self._switched_on)
        waits = 1 if self._is_scored else int(self.np_random.integers(1, self._noops + 1))
        for _ in range(waits):
            self._console.act(self._nothing)
        self._frames = 0
        self._lives = self._console.lives()
        self._last = self._console.getScreenRGB()
        return self._last, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One raw frame; the episode ends with the game or, in training, with a life."""
        reward = float(self._console.act(self._actions[action]))
        before, self._last = self._last, self._console.getScreenRGB()
        self._frames += 1
        ended = self._console.game_over() or self._lost_life()
        late = self._frames >= (SCORED_FRAMES if self._is_scored else TRAINING_FRAMES)
        picture = np.maximum(before, self._last)
        return picture, reward, bool(ended), bool(late and not ended), {}

    def _lost_life(self) -> bool:
        """Whether the step took a life, and that ends the episode."""
        before, self._lives = self._lives, self._console.lives()
        return self._life_loss and not self._is_scored and self._lives < before


def make_slots(spec: EnvSpec, num_envs: int, threads: int) -> GymnasiumVectorEnv:
    """`num_envs` consoles, on one thread whatever `threads` says."""
    kwargs = dict(spec.kwargs)
    actions = kwargs.pop("actions")
    make_env = partial(AtariEnv, rom_of(spec.id), actions, **checked_kwargs(kwargs))
    return GymnasiumVectorEnv(spec, make_env, num_envs)
