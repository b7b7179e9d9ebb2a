"""One episode of somebody else's file, brought into the project's order.

The way back leads to the rows that others read.
"""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from world_models.data.arrays import Array
from world_models.data.episode import TERMINATED, TRUNCATED, UNKNOWN_SEED
from world_models.data.store import META_KEYS, EpisodeRow, EpisodeStore


class Alignment(Enum):
    """Which frame stands beside an action in a row.

    `pre`: the one seen before its step. `post`: the one that came after it.
    """

    pre = "pre"  # before
    post = "post"  # after


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
    # actions that the file holds beyond its last row, which were planned and never taken
    surplus: int = 0
    # height and width of the pictures, where `frames` were made of them already
    made_of: tuple[int, int] | None = None

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of the pictures as they were recorded."""
        height, width = self.frames.shape[1:3]
        return self.made_of or (height, width)


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


def refuse_alignment(what: str, asked: Alignment | None) -> None:
    """Episodes that hold every frame have no alignment: one that is asked for is a ValueError."""
    if asked is not None:
        raise ValueError(f"{what}, which holds every frame: leave out stage.alignment")


def ends_with_frame(origin: dict[str, Any], alignment: Alignment, has_boundary: bool) -> bool:
    """Whether the last frames of a file's episodes are valid.

    `origin` says it; where there is none, the alignment and the boundary frame imply it.
    """
    if origin:
        return bool(origin["has_final_frame"])
    return has_boundary or alignment is Alignment.post


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
