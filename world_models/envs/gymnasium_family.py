"""Any environment of Gymnasium that shows pixels, CarRacing with EnvPool's engine among them."""

import difflib
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import AddRenderObservation

from world_models.envs.actions import ActionSpace, Noise
from world_models.envs.config import EnvConfig
from world_models.envs.envpool_backend import ENVPOOL_IDS, EnvPoolVectorEnv, envpool_installed
from world_models.envs.gymnasium_backend import GymnasiumVectorEnv
from world_models.envs.preprocess import MIN_FRAME_SIZE, Preprocessing
from world_models.envs.spec import EnvSpec

DRIVING_NOISE = {"CarRacing-v3": Noise(mean=(0.0, -0.8, -1.5), std=(0.3, 0.7, 1.0))}
"""How the brownian policy drives: steer, gas, brake.

It gives more gas than brake, and steers gently: full gas or full lock spins the car off the road at
once. So driven, it is on the road in 15 % of the frames instead of 3 %.
"""


def fits(env_id: str) -> bool:
    """Every id: Gymnasium says at the making which of them it does not know."""
    return True


def brownian_noise(spec: EnvSpec) -> Noise:
    """How the brownian policy moves: driving in CarRacing, else standard normal."""
    return DRIVING_NOISE.get(spec.id, Noise.standard(spec.action_space.size))


def make_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    """Make the environment, look at it and describe it; ValueError for what cannot be used."""
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


def make_slots(spec: EnvSpec, num_envs: int, threads: int) -> GymnasiumVectorEnv:
    """`num_envs` environments of Gymnasium's own, on one thread whatever `threads` says."""
    render_mode = find_render_mode(spec.id, spec.kwargs)
    make_env = partial(make_pixel_env, spec.id, spec.kwargs, render_mode)
    return GymnasiumVectorEnv(spec, make_env, num_envs)


def make_pool(spec: EnvSpec, num_envs: int, threads: int) -> EnvPoolVectorEnv:
    """`num_envs` slots of EnvPool's, stepped by `threads` threads."""
    return EnvPoolVectorEnv(spec, num_envs, threads)


def pool_obstacle(spec: EnvSpec) -> str:
    """One sentence that says why EnvPool cannot step this environment, empty where it can."""
    if spec.id not in ENVPOOL_IDS or spec.kwargs or sys.platform != "linux":
        return (
            f"env.backend=envpool cannot step {spec.id} with kwargs {spec.kwargs} on "
            f"{sys.platform}: it is for {', '.join(ENVPOOL_IDS)} without kwargs on Linux, "
            "so use env.backend=auto"
        )
    if not envpool_installed():
        return 'env.backend=envpool needs the extra "fast": pip install "world-models[fast]"'
    return ""


def wrappers(env: gymnasium.Env) -> list[Callable[[gymnasium.Env], gymnasium.Env]]:
    """The wrappers around an environment, innermost first; `Preprocessing` crops and resizes."""
    return [] if shows_pixels(env) else [AddRenderObservation]


def make_pixel_env(env_id: str, kwargs: dict[str, Any], render_mode: str | None) -> gymnasium.Env:
    """One environment whose observations are pictures; ValueError if it has none to show."""
    rendering = {} if render_mode is None else {"render_mode": render_mode}
    env = _make(env_id, {**rendering, **kwargs})
    if render_mode is None and not shows_pixels(env):
        env.close()
        raise ValueError(
            f"env.id={env_id} has no pixels: "
            "it needs image observations or the render mode rgb_array"
        )
    # wrappers may reset it: let nothing random linger from that
    env.unwrapped.np_random = np.random.default_rng(0)
    for wrapper in wrappers(env):
        env = wrapper(env)
    return env


def shows_pixels(env: gymnasium.Env) -> bool:
    """Whether the observations are pictures: uint8 (H, W, 3)."""
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or space.dtype != np.uint8:
        return False
    if len(space.shape) != 3:
        return False
    return space.shape[2] == 3 and min(space.shape[:2]) >= MIN_FRAME_SIZE


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
        hint = "see gymnasium.pprint_registry() for what exists"
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        raise ValueError(f"env.id={env_id} is not known to Gymnasium: {hint}") from error
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"env.id={env_id} cannot be made with env.kwargs={kwargs}: {reason}"
        ) from error
