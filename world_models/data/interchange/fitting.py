"""A recording fitted to an environment.

Its frames become what the preprocessing makes, its actions what the action space has.
"""

import numpy as np

from world_models.data.arrays import Array
from world_models.data.episode import Episode
from world_models.data.interchange.recording import Recording
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec


def fit(recording: Recording, spec: EnvSpec) -> Episode:
    """The recording as an episode of `spec`.

    ValueError naming the place where its frames, actions or rewards cannot be one.
    """
    actions = check(recording, spec)
    return Episode(
        seed=recording.seed,
        frames=fit_frames(recording, spec.preprocessing),
        actions=_padded(actions),
        rewards=_padded(recording.rewards),
        done=_padded(recording.done),
    )


def check(recording: Recording, spec: EnvSpec) -> Array:
    """All that `fit` checks, without making frames; returns the fitted actions."""
    finite = np.isfinite(recording.rewards)
    if not finite.all():
        raise ValueError(f"{recording.place}: the reward of step {np.argmin(finite)} is not finite")
    _preprocessing_for(recording, spec.preprocessing)
    return fit_actions(recording, spec)


def step_limit(spec: EnvSpec) -> int | None:
    """The number of actions after which the environment's own time limit cuts an episode off."""
    if spec.max_episode_steps is None:
        return None
    return -(-spec.max_episode_steps // spec.frame_skip)


def _padded(values: Array) -> Array:
    """(T, ...) -> (T+1, ...), the last row zero."""
    return np.concatenate([values, np.zeros_like(values[:1])])


def fit_frames(recording: Recording, preprocessing: Preprocessing) -> Array:
    """Frames (T+1, size, size, channels) uint8.

    Pictures of exactly size x size were cropped by whoever recorded them, and keep their content.
    Others are taken for the environment's own pictures, and go through its whole preprocessing.
    """
    frames = recording.frames
    fitting = _preprocessing_for(recording, preprocessing)
    return fitting.apply(np.broadcast_to(frames, (*frames.shape[:3], 3)))


def _preprocessing_for(recording: Recording, preprocessing: Preprocessing) -> Preprocessing:
    """What its pictures need; a ValueError where nothing makes frames of them."""
    height, width, channels = recording.frames.shape[1:]
    if channels == 1 and not preprocessing.grayscale:
        raise ValueError(
            f"{recording.place}: its frames are grey and the environment's are not: "
            "add env.grayscale=true"
        )
    try:
        return preprocessing.of_picture_size(height, width)
    except ValueError as error:
        raise ValueError(f"{recording.place}: {error}") from None


def fit_actions(recording: Recording, spec: EnvSpec) -> Array:
    """Actions (T, A) float32 or (T,) int64 inside the action space."""
    actions = recording.actions
    space = spec.action_space
    if space.kind == "discrete":
        actions = _numbered(actions, space.size)
        right_kind = _whole_numbers(actions)
        wanted = "whole numbers (T,)"
    else:
        right_kind = np.issubdtype(actions.dtype, np.floating)
        wanted = f"floats (T, {space.size})"
    if actions.shape[1:] != space.shape or not right_kind:
        raise ValueError(
            f"{recording.place}: its actions are {actions.dtype} {actions.shape}, "
            f"and env.id={spec.id} takes {wanted}"
        )
    actions = actions.astype(space.dtype)
    outside = np.flatnonzero(~space.contains(actions))
    if outside.size:
        step = outside[0]
        raise ValueError(
            f"{recording.place}: the action of step {step} is {actions[step]}, "
            f"outside {space.to_gymnasium()}, the action space of env.id={spec.id}"
        )
    return actions


def _numbered(actions: Array, size: int) -> Array:
    """Actions (T,) of such that are (T, 1) or one-hot (T, size); others as they are."""
    if actions.shape[1:] == (1,):
        return actions[:, 0]
    if actions.shape[1:] != (size,):
        return actions
    is_one_hot = np.isin(actions, (0, 1)).all() and (actions.sum(axis=1) == 1).all()
    return actions.argmax(axis=1) if is_one_hot else actions


def _whole_numbers(values: Array) -> bool:
    """Whether these are integers, or floats that could be."""
    if np.issubdtype(values.dtype, np.floating):
        return bool((values == np.floor(values)).all())
    return np.issubdtype(values.dtype, np.integer)
