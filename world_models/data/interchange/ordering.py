"""Rows of a file put in the project's order, and what rows must be for that."""

from dataclasses import replace
from typing import Any

import numpy as np

from world_models.data.arrays import Array
from world_models.data.episode import TERMINATED, TRUNCATED, UNKNOWN_SEED
from world_models.data.interchange.recording import Alignment, Recording, Rows
from world_models.data.store import SPLITS
from world_models.envs.pictures import CHANNELS, as_picture


def in_order(
    rows: Rows,
    alignment: Alignment | None,
    limit: int | None,
    made_of: tuple[int, int] | None = None,
) -> Recording:
    """Frames and actions paired as they happened.

    No `alignment` means that `rows` holds all T+1 frames.
    `pre` without a final frame: nothing is dropped. The last row's frame stands again as a
    placeholder that is not valid.
    `post` without a first frame: the first action, whose frame is unknown, is dropped with its
    reward.
    `limit` is the step limit. Where a file knows only "terminal", an episode of that length was
    truncated.
    `made_of` is the size of the pictures that `rows` has frames of.
    Rows that do not fit together are a ValueError.
    """
    rows = _as_columns(_as_pictures(rows))
    _check(rows)
    surplus = _surplus(rows, alignment)
    if surplus:
        rows = replace(rows, actions=rows.actions[: len(rows.observations)])
    _check_lengths(rows, alignment)
    frames, dropped = _frames(rows, alignment)
    with np.errstate(over="ignore"):
        rewards = rows.rewards.astype(np.float32)
    done = _done(rows, limit)
    return Recording(
        place=rows.place,
        frames=frames,
        actions=rows.actions[dropped:],
        rewards=rewards[dropped:],
        done=done[dropped:],
        seed=rows.seed,
        split=rows.split,
        surplus=surplus,
        made_of=made_of,
    )


def _as_pictures(rows: Rows) -> Rows:
    """Frames uint8 (T, H, W, 1 or 3) of what `as_picture` takes.

    Without an axis of channels they must be whole numbers: floats (T, 2, L) are latents.
    """
    frames = rows.observations
    if frames.ndim == 3 and frames.dtype.kind in "iu":
        frames = frames[..., None]
    is_plain = frames.dtype == np.uint8 and frames.shape[-1:] in ((1,), (3,))
    if is_plain or frames.ndim != 4 or not frames.size:
        return replace(rows, observations=frames)
    try:
        made = np.stack([as_picture(frame) for frame in frames])
    except ValueError as error:
        raise ValueError(f"{rows.place}: its observations are no pictures: {error}") from None
    channels = frames.shape[-1] if frames.shape[-1] in CHANNELS else frames.shape[1]
    return replace(rows, observations=made[..., : min(channels, 3)])


def _as_columns(rows: Rows) -> Rows:
    """Rewards and flags (T,) where a file has them as (T, 1)."""
    columns = {name: getattr(rows, name) for name in ("rewards", "terminals", "truncations")}
    return replace(
        rows,
        **{
            name: values[:, 0]
            for name, values in columns.items()
            if values is not None and values.shape[1:] == (1,)
        },
    )


def _surplus(rows: Rows, alignment: Alignment | None) -> int:
    """How many actions the file has beyond its rows: ctallec's collector saves all planned ones."""
    if rows.actions.ndim == 0 or alignment is None:
        return 0
    return max(0, len(rows.actions) - len(rows.observations))


def _check(rows: Rows) -> None:
    """Shapes and types."""
    place = rows.place
    frames = rows.observations
    rewards = rows.rewards
    if frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[-1] not in (1, 3):
        raise ValueError(
            f"{place}: observations are {frames.dtype} {frames.shape}, "
            "and must be uint8 (T, H, W, C) with C 1 or 3"
        )
    boundary = rows.boundary
    if boundary is not None and (boundary.shape, boundary.dtype) != (frames.shape[1:], np.uint8):
        raise ValueError(
            f"{place}: its first or final frame is {boundary.dtype} {boundary.shape} "
            f"where the others are uint8 {frames.shape[1:]}"
        )
    if rewards.ndim != 1 or rewards.dtype.kind not in "biuf":
        raise ValueError(
            f"{place}: rewards are {rewards.dtype} {rewards.shape}, and must be numbers (T,)"
        )
    if rows.split is not None and rows.split not in SPLITS:
        raise ValueError(f"{place}: its split is {rows.split!r}, and must be {' or '.join(SPLITS)}")


def _check_lengths(rows: Rows, alignment: Alignment | None) -> None:
    """One row per action in all arrays, and one frame more where all frames are there."""
    parts = ("observations", "actions", "rewards", "terminals", "truncations")
    arrays = {part: getattr(rows, part) for part in parts if getattr(rows, part) is not None}
    single = [part for part, array in arrays.items() if array.ndim == 0]
    if single:
        raise ValueError(
            f"{rows.place}: {single[0]} is a single value, and must have one row per step"
        )
    lengths = {part: len(array) for part, array in arrays.items()}
    steps = lengths["rewards"]
    expected = {part: steps + (part == "observations" and alignment is None) for part in lengths}
    if lengths != expected:
        found = ", ".join(f"{count} {part}" for part, count in lengths.items())
        more = ", and one observation more" if alignment is None else ""
        raise ValueError(
            f"{rows.place}: its arrays differ in length ({found}), "
            f"and must have one row per step{more}"
        )
    if not steps:
        raise ValueError(f"{rows.place}: holds no step")


def _frames(rows: Rows, alignment: Alignment | None) -> tuple[Array, int]:
    """All T+1 frames, and how many leading actions have none before them."""
    frames = rows.observations
    boundary = rows.boundary
    if alignment is None:
        return frames, 0
    if alignment is Alignment.pre:
        final = frames[-1:] if boundary is None else boundary[None]
        return np.concatenate([frames, final]), 0
    if boundary is not None:
        return np.concatenate([boundary[None], frames]), 0
    if len(frames) < 2:
        raise ValueError(
            f"{rows.place}: a single row, saved after its step, "
            "holds no step with a frame before it: take it away"
        )
    return frames, 1


def _done(rows: Rows, limit: int | None) -> Array:
    """`done` (T,) of the last row's flags; a flag in another row is a ValueError."""
    terminals = _flags(rows, "terminals", rows.terminals)
    truncations = _flags(rows, "truncations", rows.truncations)
    ended = not truncations[-1] if rows.terminals is None else terminals[-1]
    if rows.truncations is None and limit is not None and len(rows.rewards) >= limit:
        ended = False
    done = np.zeros(len(rows.rewards), np.uint8)
    done[-1] = TERMINATED if ended else TRUNCATED
    return done


def _flags(rows: Rows, name: str, values: Array | None) -> Array:
    """Booleans (T,), all false but perhaps the last."""
    if values is None:
        return np.zeros(len(rows.rewards), bool)
    flags = as_flags(rows.place, name, values)
    early = np.flatnonzero(flags[:-1])
    if early.size:
        raise ValueError(
            f"{rows.place}: {name} is set in row {early[0]} of {len(values)}, "
            "but one file or entry holds one episode"
        )
    return flags


def as_seed(place: str, value: Any) -> int:
    """A stored seed; none is UNKNOWN_SEED, and what is no integer a ValueError."""
    if value is None or str(value) == "None":
        return UNKNOWN_SEED
    seed = np.asarray(value)
    if seed.size != 1 or seed.dtype.kind not in "iu":
        raise ValueError(f"{place}: its seed is {seed.dtype} {seed.shape}, and must be one integer")
    return int(seed.item())


def as_flags(place: str, name: str, values: Array) -> Array:
    """Booleans (T,) of values that are 0 or 1; any others are a ValueError."""
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"{place}: {name} are {values.dtype} {values.shape}, and must be (T,) of 0 and 1"
        )
    return values.astype(bool)
