"""What Gymnasium makes of `WorldModels/Dream-v0` and `WorldModels/Real-v0`."""

from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from gymnasium.vector import AutoresetMode

from world_models.envs.autoreset import Autoreset, SingleEnv
from world_models.worlds.dream_env import DreamEnv, open_dream
from world_models.worlds.dreaming import Reward, RewardFunction
from world_models.worlds.opening import WorldDials
from world_models.worlds.real_env import open_real
from world_models.worlds.starts import Starts

OPTIONS = ("reward", "starts", "end", "max_steps", "device", *WorldDials.__annotations__)
"""What can be chosen of a dream."""
Choice = TypeVar("Choice", bound=Enum)


def dream_vector(
    num_envs: int,
    run: str | Path,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    render_mode: str | None = "rgb_array",
    **options: Any,
) -> Autoreset:
    """Dreams side by side; `options` are those of `open_dream`, with words for choices."""
    _require_pictures(render_mode)
    return Autoreset(_dreams(run, num_envs, **options), autoreset_mode)


def dream(run: str | Path, render_mode: str | None = "rgb_array", **options: Any) -> SingleEnv:
    """One dream; `options` are those of `open_dream`, with words for choices."""
    _require_pictures(render_mode)
    return SingleEnv(_dreams(run, 1, **options), render_mode)


def real_vector(
    num_envs: int,
    run: str | Path,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    render_mode: str | None = "rgb_array",
    **options: Any,
) -> Autoreset:
    """The environment of a run side by side; `options` are those of `open_real`."""
    _require_pictures(render_mode)
    return Autoreset(open_real(run, num_envs, **options), autoreset_mode)


def real(run: str | Path, render_mode: str | None = "rgb_array", **options: Any) -> SingleEnv:
    """The environment of a run; `options` are those of `open_real`."""
    _require_pictures(render_mode)
    return SingleEnv(open_real(run, 1, **options), render_mode)


def _dreams(
    run: str | Path,
    num_envs: int,
    reward: str | Reward | RewardFunction = Reward.head,
    starts: str | Starts = Starts.anywhere,
    **options: Any,
) -> DreamEnv:
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise ValueError(f"{unknown[0]} is no option of a dream: it has {', '.join(OPTIONS)}")
    if num_envs < 1:
        raise ValueError(f"{num_envs} dreams asked for: at least one is needed")
    rule = reward_of(reward)
    return open_dream(run, num_envs, reward=rule, starts=starts_of(starts), **options)


def reward_of(word: str | Reward | RewardFunction) -> Reward | RewardFunction:
    """What is rewarded, by its word; another word is a ValueError."""
    return word if callable(word) else _choice(Reward, "reward", word, ", or a function")


def starts_of(word: str | Starts) -> Starts:
    """Where dreams begin, by its word; another word is a ValueError."""
    return _choice(Starts, "starts", word)


def _choice(kind: type[Choice], key: str, value: str | Choice, more: str = "") -> Choice:
    """The member of that value; another value is a ValueError."""
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(one.value for one in kind)
        raise ValueError(f"{key}={value} is none of {names}{more}") from None


def _require_pictures(render_mode: str | None) -> None:
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f"render_mode={render_mode} is not known: use rgb_array")
