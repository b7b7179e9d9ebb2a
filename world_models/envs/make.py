"""From what a user types to a running batch of environments: EnvConfig, EnvSpec, PixelVectorEnv."""

import difflib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import AddRenderObservation
from omegaconf import MISSING

from world_models.envs import procgen
from world_models.envs.actions import ActionSpace, Squash
from world_models.envs.envpool_backend import ENVPOOL_IDS, EnvPoolVectorEnv, envpool_installed
from world_models.envs.gymnasium_backend import GymnasiumVectorEnv
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import MIN_SIZE, Crop, Preprocessing
from world_models.envs.procgen import DistributionMode, Game, ProcgenVectorEnv
from world_models.envs.spec import EnvSpec


class Backend(Enum):
    """What steps the environments."""

    auto = "auto"
    gymnasium = "gymnasium"
    envpool = "envpool"
    procgen = "procgen"


@dataclass
class EnvConfig:
    """Any Gymnasium environment that shows pixels."""

    id: str = MISSING
    kwargs: dict[str, Any] = field(default_factory=dict)  # arguments of gymnasium.make
    backend: Backend = Backend.auto
    size: int = 64  # side of the frames
    crop: Crop = field(default_factory=Crop)  # of the raw picture, before resizing
    grayscale: bool = False
    frame_skip: int = 1  # environment steps per action
    squash: list[Squash] = field(default_factory=list)  # one per box dimension; empty: affine


@dataclass
class ProcgenConfig(EnvConfig):
    """A Procgen game."""

    id: str = "WorldModels/Procgen-${.game}-v0"
    game: Game = Game.coinrun
    num_levels: int = 0  # 0: all there are
    start_level: int = 0
    rand_seed: int = 0
    distribution_mode: DistributionMode = DistributionMode.easy


def make_spec(cfg: EnvConfig) -> EnvSpec:
    """Look at the environment that `cfg` names and describe it; ValueError for what cannot be used."""
    if cfg.id == MISSING:
        raise ValueError(
            "env.id is missing: name a Gymnasium environment, for example env.id=Acrobot-v1"
        )
    if cfg.frame_skip < 1:
        raise ValueError(f"env.frame_skip={cfg.frame_skip} must be at least 1")
    crop = (cfg.crop.top, cfg.crop.bottom, cfg.crop.left, cfg.crop.right)
    preprocessing = Preprocessing(crop, cfg.size, cfg.grayscale)
    if isinstance(cfg, ProcgenConfig) or procgen.is_procgen(cfg.id):
        return _procgen_spec(cfg, preprocessing)
    return _gymnasium_spec(cfg, preprocessing)


def _procgen_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    game, kwargs = procgen.game_of(cfg.id), dict(cfg.kwargs)
    procgen.require_procgen()
    if isinstance(cfg, ProcgenConfig):
        mode = cfg.distribution_mode.value
        levels = {
            "num_levels": cfg.num_levels,
            "start_level": cfg.start_level,
            "rand_seed": cfg.rand_seed,
        }
        kwargs = {**levels, "distribution_mode": mode, **kwargs}
    preprocessing.check(procgen.PICTURE_SIZE, procgen.PICTURE_SIZE)
    actions = ActionSpace.from_gymnasium(gymnasium.spaces.Discrete(procgen.NUM_ACTIONS), cfg.squash)
    kwargs = procgen.checked_kwargs(game, kwargs)
    return EnvSpec(cfg.id, kwargs, preprocessing, cfg.frame_skip, actions, procgen.time_limit(game))


def _gymnasium_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    kwargs = dict(cfg.kwargs)
    env = make_pixel_env(cfg.id, kwargs, find_render_mode(cfg.id, kwargs))
    try:
        height, width, _ = env.observation_space.shape or (0, 0, 0)
        preprocessing.check(height, width)
        actions = ActionSpace.from_gymnasium(env.action_space, cfg.squash)
        limit = env.spec.max_episode_steps if env.spec else None
        return EnvSpec(cfg.id, kwargs, preprocessing, cfg.frame_skip, actions, limit)
    finally:
        env.close()


def resolve_backend(cfg_backend: Backend, spec: EnvSpec) -> Backend:
    """The backend that will step `spec`; ValueError if the one asked for cannot."""
    if procgen.is_procgen(spec.id):
        if cfg_backend not in (Backend.auto, Backend.procgen):
            raise ValueError(
                f"env.backend={cfg_backend.value} cannot step {spec.id}: use procgen or auto"
            )
        procgen.require_procgen()
        return Backend.procgen
    if cfg_backend is Backend.procgen:
        raise ValueError(
            f"env.backend=procgen cannot step {spec.id}: it is for {procgen.PREFIX}<game>-v0 only"
        )
    fits = spec.id in ENVPOOL_IDS and not spec.kwargs and sys.platform == "linux"
    if cfg_backend is Backend.auto:
        return Backend.envpool if fits and envpool_installed() else Backend.gymnasium
    if cfg_backend is Backend.envpool:
        _require_envpool(spec, fits)
    return cfg_backend


def _require_envpool(spec: EnvSpec, fits: bool) -> None:
    if not fits:
        raise ValueError(
            f"env.backend=envpool cannot step {spec.id} with kwargs {spec.kwargs} on {sys.platform}: "
            f"it is for {', '.join(ENVPOOL_IDS)} without kwargs on Linux, so use env.backend=auto"
        )
    if not envpool_installed():
        raise ValueError(
            'env.backend=envpool needs the extra "fast": pip install "world-models[fast]"'
        )


def make_vector_env(
    spec: EnvSpec, backend: Backend, num_envs: int, threads: int = 1
) -> PixelVectorEnv:
    """`num_envs` slots of `spec`, stepped by `threads` (envpool alone); `backend` may still be auto. ValueError as in `resolve_backend`."""
    if num_envs < 1:
        raise ValueError(f"{num_envs} environments asked for: at least one is needed")
    backend = resolve_backend(backend, spec)
    if backend is Backend.procgen:
        return ProcgenVectorEnv(spec, num_envs)
    if backend is Backend.envpool:
        return EnvPoolVectorEnv(spec, num_envs, threads)
    render_mode = find_render_mode(spec.id, spec.kwargs)
    return GymnasiumVectorEnv(
        spec, partial(make_pixel_env, spec.id, spec.kwargs, render_mode), num_envs
    )


def wrappers(env: gymnasium.Env) -> list[Callable[[gymnasium.Env], gymnasium.Env]]:
    """The wrappers around a Gymnasium environment, innermost first; cropping and resizing is `Preprocessing`'s."""
    return [] if shows_pixels(env) else [AddRenderObservation]


def make_pixel_env(env_id: str, kwargs: dict[str, Any], render_mode: str | None) -> gymnasium.Env:
    """One environment whose observations are pictures; ValueError if it has none to show."""
    env = _make(env_id, kwargs if render_mode is None else {"render_mode": render_mode, **kwargs})
    if render_mode is None and not shows_pixels(env):
        env.close()
        raise ValueError(
            f"env.id={env_id} has no pixels: it needs image observations or the render mode rgb_array"
        )
    # wrappers may reset it: let nothing random linger from that
    env.unwrapped.np_random = np.random.default_rng(0)
    for wrapper in wrappers(env):
        env = wrapper(env)
    return env


def shows_pixels(env: gymnasium.Env) -> bool:
    """Whether the observations are pictures: uint8 (H, W, 3)."""
    space = env.observation_space
    if (
        not isinstance(space, gymnasium.spaces.Box)
        or space.dtype != np.uint8
        or len(space.shape) != 3
    ):
        return False
    return space.shape[2] == 3 and min(space.shape[:2]) >= MIN_SIZE


def find_render_mode(env_id: str, kwargs: dict[str, Any]) -> str | None:
    """`rgb_array` if the environment can render pictures, else None."""
    env = _make(env_id, kwargs)
    modes = env.metadata.get("render_modes") or []
    env.close()
    return "rgb_array" if "rgb_array" in modes else None


def _make(env_id: str, kwargs: dict[str, Any]) -> gymnasium.Env:
    try:
        return gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    except gymnasium.error.UnregisteredEnv as error:
        near = difflib.get_close_matches(env_id, list(gymnasium.registry), n=3)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else "see gymnasium.pprint_registry() for what exists"
        )
        raise ValueError(f"env.id={env_id} is not known to Gymnasium: {hint}") from error
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"env.id={env_id} cannot be made with env.kwargs={kwargs}: {reason}"
        ) from error
