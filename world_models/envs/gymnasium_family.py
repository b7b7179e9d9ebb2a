"""Any environment of Gymnasium that shows pixels, CarRacing with EnvPool's engine among them."""

import difflib
import logging
import sys
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from world_models.envs.actions import ActionSpace, Noise
from world_models.envs.config import EnvConfig
from world_models.envs.envpool_backend import ENVPOOL_IDS, EnvPoolVectorEnv, envpool_installed
from world_models.envs.foreign import foreign
from world_models.envs.gymnasium_backend import GymnasiumVectorEnv
from world_models.envs.keys import Keyboard, any_keys, arrows, driving
from world_models.envs.picture_env import PictureEnv
from world_models.envs.pictures import CHANNELS
from world_models.envs.preprocess import MIN_FRAME_SIZE, Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.envs.trust import require_trust

log = logging.getLogger(__name__)

DRIVING_NOISE = {"CarRacing-v3": Noise(mean=(0.0, -0.8, -1.5), std=(0.3, 0.7, 1.0))}
"""How the brownian policy drives: steer, gas, brake.

It gives more gas than brake, and steers gently: full gas or full lock spins the car off the road at
once. So driven, it is on the road in 15 % of the frames instead of 3 %.
"""

KEYBOARDS: dict[tuple[str, str], Keyboard] = {
    ("CarRacing-v3", "box"): driving(),
    ("CarRacing-v3", "discrete"): arrows(
        {
            "left": (2, "steer left"),
            "right": (1, "steer right"),
            "up": (3, "gas"),
            "down": (4, "brake"),
        }
    ),
    ("WorldModels/Pellet-v0", "discrete"): arrows(
        {
            "up": (1, "go up"),
            "down": (2, "go down"),
            "left": (3, "go left"),
            "right": (4, "go right"),
        }
    ),
}
"""Keys of environments that have some of their own, by id and kind of actions."""

PACKAGES = {
    "ALE/": ("ale-py", "ale_py"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "MiniWorld-": ("miniworld", "miniworld"),
    "dm_control/": ("shimmy[dm-control]", "shimmy"),
}
"""Where environments whose ids begin so come from: what is installed, and what is imported."""


def fits(env_id: str) -> bool:
    """Every id: Gymnasium says at the making which of them it does not know."""
    return True


def brownian_noise(spec: EnvSpec) -> Noise:
    """How the brownian policy moves: driving in CarRacing, else standard normal."""
    return DRIVING_NOISE.get(spec.id, Noise.standard(spec.action_space.size))


def keys(spec: EnvSpec) -> Keyboard:
    """How a person plays it: by keys of its own, by digits, or by pairs of keys."""
    return KEYBOARDS.get((spec.id, spec.action_space.kind)) or any_keys(spec.action_space)


def make_spec(cfg: EnvConfig, preprocessing: Preprocessing) -> EnvSpec:
    """Make the environment, look at it and describe it; ValueError for what cannot be used."""
    kwargs = dict(cfg.kwargs)
    env = make_pixel_env(cfg.id, kwargs, find_render_mode(cfg.id, kwargs))
    try:
        actions = ActionSpace.from_gymnasium(env.action_space, cfg.squash)
        picture, _ = env.reset()
        preprocessing.check(*picture.shape[:2])
        # it shows whether it can be played at all
        env.step(actions.sample(np.random.default_rng(0), 1)[0])
        _warn_of_other_seeds(env, cfg.id)
        limit = env.spec.max_episode_steps if env.spec else None
        return EnvSpec(cfg.id, kwargs, preprocessing, cfg.frame_skip, actions, limit)
    finally:
        env.close()


def _warn_of_other_seeds(env: PictureEnv, env_id: str) -> None:
    """Say so where one seed begins different episodes: no run of it can be repeated."""
    try:
        one, again = (env.reset(seed=1)[0] for _ in range(2))
    except ValueError as error:
        # one episode that cannot be played is set aside when its turn comes
        log.debug("%s", error)
        return
    if not np.array_equal(one, again):
        log.warning(
            "env.id=%s begins other episodes each time with one seed: no run can be repeated, and "
            "held-out episodes are not sure to be others. It should draw from self.np_random alone",
            env_id,
        )


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


def make_pixel_env(env_id: str, kwargs: dict[str, Any], render_mode: str | None) -> PictureEnv:
    """One environment whose observations are pictures; ValueError if it has none to show."""
    rendering = {} if render_mode is None else {"render_mode": render_mode}
    env = _make(env_id, {**rendering, **kwargs})
    rendered = not shows_pixels(env) and render_mode is not None
    if not rendered and not shows_pictures(env):
        space = env.observation_space
        PictureEnv(env, env_id, False).close()
        raise ValueError(
            f"env.id={env_id} has no pixels: it needs image observations, not {space}, "
            "or the render mode rgb_array"
        )
    # a first reset without a seed: let nothing random linger from that
    env.unwrapped.np_random = np.random.default_rng(0)
    return PictureEnv(env, env_id, rendered)


def shows_pixels(env: gymnasium.Env) -> bool:
    """Whether the observations are pictures: uint8 (H, W, 3)."""
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or space.dtype != np.uint8:
        return False
    if len(space.shape) != 3:
        return False
    return space.shape[2] == 3 and min(space.shape[:2]) >= MIN_FRAME_SIZE


def shows_pictures(env: gymnasium.Env) -> bool:
    """Whether the observations can be taken for pictures, where it renders none."""
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Box):
        return False
    sides = [side for side in space.shape if side not in CHANNELS]
    return len(sides) == 2 and min(sides) >= MIN_FRAME_SIZE


def find_render_mode(env_id: str, kwargs: dict[str, Any]) -> str | None:
    """`rgb_array` if the environment can render pictures, else None."""
    env = _make(env_id, kwargs)
    modes = env.metadata.get("render_modes") or []
    PictureEnv(env, env_id, False).close()
    return "rgb_array" if "rgb_array" in modes else None


def _make(env_id: str, kwargs: dict[str, Any]) -> gymnasium.Env:
    require_trust(env_id, kwargs)
    with foreign(f"env.id={env_id} cannot be made with env.kwargs={kwargs}"):
        try:
            return gymnasium.make(env_id, disable_env_checker=True, **kwargs)
        except gymnasium.error.UnregisteredEnv:
            pass
    raise ValueError(f"env.id={env_id} is not known to Gymnasium: {_where_to_find(env_id)}")


def _where_to_find(env_id: str) -> str:
    """What to do about an id that Gymnasium does not know, in this process or in a worker."""
    for beginning, (package, module) in PACKAGES.items():
        if env_id.startswith(beginning):
            return f"pip install {package}, and type env.id={module}:{env_id}"
    module, colon, name = env_id.rpartition(":")
    if colon:
        return f"module {module} registers no {name}"
    near = difflib.get_close_matches(env_id, list(gymnasium.registry), n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return (
        f"{hint}One that other code registers is named with its module, "
        f"env.id=<module>:{env_id}: workers import that module, but no script or notebook"
    )
