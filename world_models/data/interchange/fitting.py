"""A recording fitted to an environment: frames as its preprocessing makes them, actions as its action space has them."""

from dataclasses import replace

import numpy as np

from world_models.data.arrays import Array
from world_models.data.episode import Episode
from world_models.data.interchange.recording import Recording
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec


def fit(recording: Recording, spec: EnvSpec) -> Episode:
    """The recording as an episode of `spec`; actions or rewards that cannot be one are a ValueError naming the place."""
    finite = np.isfinite(recording.rewards)
    if not finite.all():
        raise ValueError(f"{recording.place}: the reward of step {np.argmin(finite)} is not finite")
    return Episode(
        seed=recording.seed,
        frames=fit_frames(recording, spec.preprocessing),
        actions=_padded(fit_actions(recording, spec)),
        rewards=_padded(recording.rewards),
        done=_padded(recording.done),
    )


def step_limit(spec: EnvSpec) -> int | None:
    """The number of actions after which the environment's own time limit cuts an episode off."""
    return None if spec.max_episode_steps is None else -(-spec.max_episode_steps // spec.frame_skip)


def _padded(values: Array) -> Array:
    """(T, ...) -> (T+1, ...), the last row zero."""
    return np.concatenate([values, np.zeros_like(values[:1])])


def fit_frames(recording: Recording, preprocessing: Preprocessing) -> Array:
    """Frames (T+1, size, size, channels) uint8.

    Pictures of exactly size x size were cropped by whoever recorded them and keep their content; others are taken for the
    environment's own pictures and go through its whole preprocessing.
    """
    frames, size = recording.frames, preprocessing.size
    if frames.shape[-1] == 1 and not preprocessing.grayscale:
        raise ValueError(
            f"{recording.place}: its frames are grey and the environment's are not: add env.grayscale=true"
        )
    if frames.shape[1:3] == (size, size):
        preprocessing = replace(preprocessing, crop=(0, 0, 0, 0))
    return preprocessing.apply(np.broadcast_to(frames, (*frames.shape[:3], 3)))


def fit_actions(recording: Recording, spec: EnvSpec) -> Array:
    """Actions (T, A) float32 or (T,) int64 inside the action space."""
    actions, space = recording.actions, spec.action_space
    if space.kind == "discrete" and actions.shape[1:] == (1,):
        actions = actions[:, 0]
    fitted = (
        _whole_numbers(actions)
        if space.kind == "discrete"
        else np.issubdtype(actions.dtype, np.floating)
    )
    if actions.shape[1:] != space.shape or not fitted:
        raise ValueError(
            f"{recording.place}: its actions are {actions.dtype} {actions.shape}, and env.id={spec.id} takes "
            + ("whole numbers (T,)" if space.kind == "discrete" else f"floats (T, {space.size})")
        )
    actions = actions.astype(space.dtype)
    outside = np.flatnonzero(~space.contains(actions))
    if outside.size:
        raise ValueError(
            f"{recording.place}: the action of step {outside[0]} is {actions[outside[0]]}, outside {space.to_gymnasium()}, "
            f"the action space of env.id={spec.id}"
        )
    return actions


def _whole_numbers(values: Array) -> bool:
    """Whether these are integers, or floats that could be."""
    if np.issubdtype(values.dtype, np.floating):
        return bool((values == np.floor(values)).all())
    return np.issubdtype(values.dtype, np.integer)
