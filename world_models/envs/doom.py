"""TakeCover, the second task of Ha & Schmidhuber (2018), played by ViZDoom: dodge fireballs."""

import contextlib
import importlib.util
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from world_models.envs.actions import ActionSpace
from world_models.envs.config import EnvConfig
from world_models.envs.foreign import foreign
from world_models.envs.keys import Chords, arrows
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import Preprocessing
from world_models.envs.slots import Transitions
from world_models.envs.spec import EnvSpec

TAKE_COVER = "VizdoomTakeCover-v1"
BUTTONS = ([False, False], [False, True], [True, False])
"""What each action presses of left and right: nothing, right, left."""
TIME_LIMIT = 2100
"""Steps, one tic each."""
SKILLS = range(1, 6)
"""Doom's: how fast monsters and their fireballs are."""
PICTURE_HEIGHT, PICTURE_WIDTH = 120, 160
"""The engine's smallest picture: one of 240x320 takes more than four times as long to draw."""


@dataclass
class TakeCoverConfig(EnvConfig):
    """ViZDoom's TakeCover."""

    # of ViZDoom
    id: str = TAKE_COVER
    # 1 to 5; 4 is the scenario's own, and random actions then score what they did in the paper
    skill: int = 4


def is_take_cover(env_id: str) -> bool:
    """Whether this is the environment that is played here."""
    return env_id == TAKE_COVER


def require_doom() -> None:
    """ValueError if ViZDoom is not installed."""
    if importlib.util.find_spec("vizdoom") is None:
        raise ValueError('env=take_cover needs the extra "doom": pip install "world-models[doom]"')


def make_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    """The description of the task; ValueError for what cannot be used."""
    preprocessing.check(PICTURE_HEIGHT, PICTURE_WIDTH)
    actions = ActionSpace.from_gymnasium(gymnasium.spaces.Discrete(len(BUTTONS)), cfg.squash)
    typed = {"doom_skill": cfg.skill} if isinstance(cfg, TakeCoverConfig) else {}
    kwargs = checked_kwargs({**typed, **cfg.kwargs})
    return EnvSpec(cfg.id, kwargs, preprocessing, cfg.frame_skip, actions, TIME_LIMIT)


def checked_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """`kwargs` with the skill that holds; ValueError for others."""
    kwargs = {"doom_skill": TakeCoverConfig.skill, **kwargs}
    unknown = sorted(set(kwargs) - {"doom_skill"})
    if unknown:
        raise ValueError(f"TakeCover takes env.skill alone, not env.kwargs.{unknown[0]}")
    if kwargs["doom_skill"] not in SKILLS:
        raise ValueError(
            f"env.skill={kwargs['doom_skill']} does not exist: use 4, the scenario's own, or "
            f"another from {SKILLS[0]} to {SKILLS[-1]}, the hardest"
        )
    return kwargs


def keys(spec: EnvSpec) -> Chords:
    """The arrows left and right."""
    left, right = BUTTONS.index([True, False]), BUTTONS.index([False, True])
    return arrows({"left": (left, "step left"), "right": (right, "step right")})


def make_game(skill: int) -> Any:
    """A running engine (vizdoom.DoomGame) without window, sound or any picture but the screen."""
    import vizdoom

    game = vizdoom.DoomGame()
    game.load_config(str(Path(vizdoom.scenarios_path) / "take_cover.cfg"))
    game.set_doom_skill(skill)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
    game.set_available_game_variables([])
    # read and written in the working directory otherwise
    game.set_doom_config_path("/dev/null")
    with foreign("ViZDoom's engine does not start"):
        _start(game, vizdoom.exe_path)
    return game


def _start(game: Any, engine: str) -> None:
    """Start the engine in a folder that is gone afterwards: it makes one of its own in there."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        script = Path(__file__).with_name("doom_engine.py")
        command = shlex.join([sys.executable, "-I", "-S", str(script), engine])
        launcher = folder / "launcher"
        launcher.write_text(f'#!/bin/sh\necho "$@" > words\nexec {command} "$@"\n')
        launcher.chmod(0o700)
        game.set_vizdoom_path(str(launcher))
        game.init()
        _unlink_shared((folder / "words").read_text().split())


def _unlink_shared(words: Sequence[str]) -> None:
    """Take the names from the memory that a player shares with the engine that got these words.

    Both have opened it, so it now ends with them, even where they are killed.
    """
    engine = words[words.index("+viz_instance_id") + 1]
    for path in Path("/dev/shm").glob(f"ViZDoom*{engine}"):
        path.unlink()


class TakeCoverVectorEnv(PixelVectorEnv):
    """Slots are engines, stepped in turn. An engine is kept: a seed begins the same episode in
    one that has played before."""

    has_final_frame = False

    def __init__(self, env_spec: EnvSpec, num_envs: int) -> None:
        super().__init__(env_spec, num_envs)
        self.games: list[Any] = [None] * num_envs
        self._elapsed = np.zeros(num_envs, int)

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> Sequence[np.ndarray]:
        self._elapsed[slots] = 0
        for slot, seed in zip(slots, seeds, strict=True):
            if self.games[slot] is None:
                self.games[slot] = make_game(self.env_spec.kwargs["doom_skill"])
            self.games[slot].set_seed(seed)
            self.games[slot].new_episode()
        return [self.games[slot].get_state().screen_buffer for slot in slots]

    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        self._elapsed[slots] += 1
        games = [self.games[slot] for slot in slots]
        rewards = [
            game.make_action(BUTTONS[action])
            for game, action in zip(games, actions.tolist(), strict=True)
        ]
        ended = np.array([game.is_episode_finished() for game in games])
        truncated = ~ended & (self._elapsed[slots] >= TIME_LIMIT)
        return [_screen(game) for game in games], np.array(rewards, np.float32), ended, truncated

    def close_extras(self, **kwargs: Any) -> None:
        """End every engine."""
        for game in filter(None, self.games):
            game.close()
        self.games.clear()


def _screen(game: Any) -> np.ndarray:
    """What the game shows, (H, W, 3); black at an episode's end, where it shows nothing."""
    state = game.get_state()
    if state is None:
        return np.zeros((PICTURE_HEIGHT, PICTURE_WIDTH, 3), np.uint8)
    picture: np.ndarray = state.screen_buffer
    return picture


def make_slots(spec: EnvSpec, num_envs: int, threads: int) -> TakeCoverVectorEnv:
    """`num_envs` engines, on one thread whatever `threads` says: each is a process."""
    return TakeCoverVectorEnv(spec, num_envs)
