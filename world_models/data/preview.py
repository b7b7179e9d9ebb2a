"""What is in a store, at a glance: tables, a sheet of pictures, a film."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from world_models.data.episode import TERMINATED
from world_models.data.store import SPLITS, EpisodeRow, EpisodeStore
from world_models.figures.media import Film, labelled_rows
from world_models.figures.wording import number
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import tracked

COLUMNS = 10
"""Frames of an episode on the sheet."""
BINS = 10
"""Of the histogram of a number of an action."""
Doubles = np.typing.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Lowest, mean and highest of some numbers."""

    low: float
    mean: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:,.6g} to {self.high:,.6g}, mean {number(self.mean)}"


@dataclass(frozen=True)
class Part:
    """The episodes of a split, or all."""

    name: str
    episodes: int
    steps: int
    lengths: Spread
    returns: Spread
    # share of the episodes that ended by the rules, and were not cut off
    terminated: float


def parts_of(store: EpisodeStore) -> list[Part]:
    """What is in each split that has episodes, and in all."""
    splits = [(split, store.episodes(split)) for split in SPLITS]
    return [_part(store, name, rows) for name, rows in [*splits, ("all", store.rows)] if rows]


def _part(store: EpisodeStore, name: str, rows: Sequence[EpisodeRow]) -> Part:
    lengths = [row.length for row in rows]
    returns = [row.total_return for row in rows]
    ended = [store.episode(row).done[-2] == TERMINATED for row in rows]
    share = float(np.mean(ended))
    return Part(name, len(rows), sum(lengths), _spread(lengths), _spread(returns), share)


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(min(values)), float(np.mean(values)), float(max(values)))


@dataclass(frozen=True)
class Histogram:
    """How often a number of the action lies where: what is counted, the places, the shares."""

    what: str
    places: list[str]
    shares: Doubles


def actions_of(store: EpisodeStore) -> list[Histogram]:
    """Of numbered actions one histogram, of rows of numbers one for each."""
    space = store.env.action_space
    rows = tracked("count actions", store.rows, len(store.rows), "episodes")
    parts = [store.episode(row).actions[:-1] for row in rows]
    actions = np.concatenate(parts)
    if space.kind == "discrete":
        counts = np.bincount(actions - space.start, minlength=space.size)
        places = [str(space.start + action) for action in range(space.size)]
        return [Histogram("action", places, counts / len(actions))]
    dimensions = zip(actions.T, space.low, space.high, strict=True)
    return [_histogram(f"action[{at}]", *given) for at, given in enumerate(dimensions)]


def _histogram(what: str, values: np.ndarray, low: float, high: float) -> Histogram:
    counts, edges = np.histogram(values, BINS, (low, high))
    places = [number(edge, high - low) for edge in edges[:-1]]
    return Histogram(what, places, counts / len(values))


def chosen(store: EpisodeStore, count: int) -> list[EpisodeRow]:
    """Episodes evenly spread over the store, `count` of them at most."""
    places = evenly_spaced(len(store.rows), min(count, len(store.rows)), rounded=False)
    return [store.rows[place] for place in places]


def sheet(store: EpisodeStore, rows: Sequence[EpisodeRow]) -> np.ndarray:
    """A row of frames for each episode, from first to last, uint8 (H, W, 3)."""
    return labelled_rows(
        {
            f"{row.index} · {number(row.total_return)}": store.episode(row).frames[
                evenly_spaced(_shown(store, row), COLUMNS, rounded=False)
            ]
            for row in rows
        }
    )


def film(store: EpisodeStore, rows: Sequence[EpisodeRow], columns: int, height: int) -> Film:
    """The episodes side by side and below each other, each until it ends and then its last frame.

    Frames uint8 (H, W, 3), as many as the longest has.
    """
    lengths = [_shown(store, row) for row in rows]

    def frames() -> Iterator[np.ndarray]:
        episodes = [store.episode(row).frames for row in rows]
        for step in range(max(lengths)):
            tiles = [
                _tile(episode[min(step, length - 1)], height)
                for episode, length in zip(episodes, lengths, strict=True)
            ]
            yield _wall(tiles, columns)

    return Film(max(lengths), frames)


def _shown(store: EpisodeStore, row: EpisodeRow) -> int:
    """Frames that are valid."""
    return row.length + store.has_final_frame


def _tile(frame: np.ndarray, height: int) -> np.ndarray:
    """Colours, and large enough to be seen: pixels become squares."""
    scale = max(1, height // frame.shape[0])
    large = frame.repeat(scale, 0).repeat(scale, 1)
    return np.broadcast_to(large, (*large.shape[:2], 3))


def _wall(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Tiles in rows of so many; places without one are black."""
    empty = np.zeros_like(tiles[0])
    full = [*tiles, *[empty] * (-len(tiles) % columns)]
    rows = [np.concatenate(full[at : at + columns], 1) for at in range(0, len(full), columns)]
    return np.concatenate(rows)
