"""One episode of somebody else's file, brought into the project's order.

The way back leads to the rows that others read.
"""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from world_models.data.arrays import Array
from world_models.data.episode import TERMINATED, TRUNCATED, UNKNOWN_SEED
from world_models.data.store import META_KEYS, SPLITS, EpisodeRow, EpisodeStore


class Alignment(Enum):
    """Which frame stands beside an action in a row.

    `pre`: the one seen before its step. `post`: the one that came after it.
    """

    pre = "pre"
    post = "post"


BOUNDARY_NAMES = {Alignment.pre: "final_observation", Alignment.post: "first_observation"}
"""Names of the one frame of an episode that T rows with a frame each leave out.

Files of ours hold it under these names.
"""


@dataclass(frozen=True)
class Rows:
    """One episode as files hold it: T rows, in each an action, what followed, and one frame."""

    # the file, and the episode in it, as error messages name it
    place: str
    # (T, H, W, C) uint8, or all T+1 frames where there is no question of alignment
    observations: Array
    # (T, ...)
    actions: Array
    # (T,)
    rewards: Array
    # (T,) 0 or 1; None: the file has none, and the last row is the end
    terminals: Array | None
    # (T,) 0 or 1; None: the file does not tell a time limit from an end
    truncations: Array | None
    # (H, W, C) uint8, the frame named in BOUNDARY_NAMES
    boundary: Array | None
    seed: int = UNKNOWN_SEED
    # None: the file names none
    split: str | None = None


@dataclass(frozen=True)
class Recording:
    """One episode in the project's order (see `Episode`).

    Its frames and actions are still as the file has them.
    """

    place: str
    # (T+1, H, W, C) uint8
    frames: Array
    # (T, ...)
    actions: Array
    # (T,) float32
    rewards: Array
    # (T,) uint8
    done: Array
    seed: int
    split: str | None


def settle_alignment(place: str, stated: str | None, asked: Alignment | None) -> Alignment:
    """The alignment of a file: what it states itself, or what the user says.

    ValueError where neither says it, or the two contradict each other.
    """
    if stated is None and asked is None:
        raise ValueError(
            f"stage.alignment is missing and {place} does not state its own: "
            "give stage.alignment=pre if each frame was saved before the action beside it was "
            "taken (TorchWM, hardmaru, HumbleRL), or stage.alignment=post if it was saved after it "
            "(ctallec)"
        )
    if stated is None:
        assert asked is not None
        return asked
    if stated not in Alignment.__members__:
        raise ValueError(
            f"{place} states the alignment {stated!r}, which is none: it must be pre or post"
        )
    if asked is not None and asked.value != stated:
        raise ValueError(
            f"{place} states the alignment {stated}: leave out stage.alignment={asked.value}"
        )
    return Alignment(stated)


def ends_with_frame(origin: dict[str, Any], alignment: Alignment, has_boundary: bool) -> bool:
    """Whether the last frames of a file's episodes are valid.

    `origin` says it; where there is none, the alignment and the boundary frame imply it.
    """
    if origin:
        return bool(origin["has_final_frame"])
    return has_boundary or alignment is Alignment.post


def in_order(rows: Rows, alignment: Alignment | None, limit: int | None) -> Recording:
    """Frames and actions paired as they happened.

    No `alignment` means that `rows` holds all T+1 frames.
    `pre` without a final frame: nothing is dropped. The last row's frame stands again as a
    placeholder that is not valid.
    `post` without a first frame: the first action, whose frame is unknown, is dropped with its
    reward.
    `limit` is the step limit. Where a file knows only "terminal", an episode of that length was
    truncated.
    Rows that do not fit together are a ValueError.
    """
    _check(rows)
    _check_lengths(rows, alignment)
    frames, dropped = _frames(rows, alignment)
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
    )


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
    if rows.boundary is not None and rows.boundary.shape != frames.shape[1:]:
        raise ValueError(
            f"{place}: its first or final frame is {rows.boundary.shape} "
            f"where the others are {frames.shape[1:]}"
        )
    if rewards.ndim != 1 or not np.issubdtype(rewards.dtype, np.number):
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
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"{rows.place}: {name} are {values.dtype} {values.shape}, and must be (T,) of 0 and 1"
        )
    early = np.flatnonzero(values[:-1])
    if early.size:
        raise ValueError(
            f"{rows.place}: {name} is set in row {early[0]} of {len(values)}, "
            "but one file or entry holds one episode"
        )
    return values.astype(bool)


def as_rows(store: EpisodeStore, row: EpisodeRow, alignment: Alignment) -> Rows:
    """The inverse of `in_order`: an episode of the store as rows.

    The one frame that they leave out stands beside them.
    """
    episode = store.episode(row)
    pre = alignment is Alignment.pre
    done = episode.done[:-1]
    return Rows(
        place=f"{store.folder}, episode {row.index}",
        observations=episode.frames[:-1] if pre else episode.frames[1:],
        actions=episode.actions[:-1],
        rewards=episode.rewards[:-1],
        terminals=done == TERMINATED,
        truncations=done == TRUNCATED,
        boundary=episode.frames[-1] if pre else episode.frames[0],
        seed=row.seed,
        split=row.split,
    )


def origin_of(store: EpisodeStore) -> str:
    """What a store knows of where its episodes come from, as JSON.

    It is kept in files that are written from the store.
    """
    return json.dumps({key: store.manifest[key] for key in META_KEYS})


def parse_origin(place: str, text: str | None) -> dict[str, Any]:
    """What `origin_of` wrote; nothing for a file of somebody else."""
    if text is None:
        return {}
    try:
        origin = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: its entry 'origin' is damaged: {error}") from None
    missing = [key for key in META_KEYS if not isinstance(origin, dict) or key not in origin]
    if missing:
        raise ValueError(f"{place}: its entry 'origin' lacks {', '.join(missing)}")
    return dict(origin)
