"""M's dreams as pictures: beside the truth with the same actions, and at several temperatures."""

from dataclasses import dataclass

import numpy as np

from world_models.data.store import EpisodeRow, EpisodeStore
from world_models.worlds.latent import WorldModel

TEMPERATURES = (0.5, 1.0, 1.3)
MOST_EPISODES = 50
"""Episodes that are looked at to choose a stretch."""

Panels = dict[str, np.ndarray]
"""Per label, frames (horizon, H, W, C) uint8."""


@dataclass(frozen=True)
class Span:
    """A stretch of an episode.

    M sees `context` frames before `start`, then dreams `horizon` frames.
    """

    row: EpisodeRow
    start: int
    context: int
    horizon: int


def dream(world: WorldModel, store: EpisodeStore, temperature: float, seed: int) -> Panels:
    """The stretch with most change as it was, as V keeps it, and as M dreams it.

    M dreams open loop, with the same actions.
    """
    span = stretch_with_most_change(store)
    truth = _frames(store, span, span.start)
    seen = world.decode(world.encode(truth))
    return {
        "truth": truth,
        "seen by V": seen,
        "dreamt by M": _dreamt(world, store, span, temperature, seed),
    }


def dream_at_temperatures(world: WorldModel, store: EpisodeStore, seed: int) -> Panels:
    """The same stretch, and M's dreams of it at three temperatures, with the same noise."""
    span = stretch_with_most_change(store)
    dreams = {f"temperature {tau}": _dreamt(world, store, span, tau, seed) for tau in TEMPERATURES}
    return {"truth": _frames(store, span, span.start), **dreams}


def _dreamt(
    world: WorldModel, store: EpisodeStore, span: Span, temperature: float, seed: int
) -> np.ndarray:
    first = span.start - span.context
    actions = store.episode(span.row).actions[first : span.start + span.horizon]
    return world.dream(
        _frames(store, span, first)[: span.context], actions, span.horizon, temperature, seed
    )


def stretch_with_most_change(store: EpisodeStore) -> Span:
    """The held-out stretch whose frames change most, of ten in each of 50 episodes.

    Change is the mean standard deviation over time.
    """
    rows = store.episodes("validation") or store.rows
    spans = [span for row in rows[:: -(-len(rows) // MOST_EPISODES)] for span in _spans(row)]
    return max(spans, key=lambda span: _frames(store, span, span.start)[::5].std(0).mean())


def _spans(row: EpisodeRow) -> list[Span]:
    context = min(60, max(1, row.length // 3))
    horizon = min(50, row.length - context) or 1
    starts = np.unique(np.linspace(context, max(context, row.length - horizon), 10).astype(int))
    return [Span(row, int(start), context, horizon) for start in starts]


def _frames(store: EpisodeStore, span: Span, first: int) -> np.ndarray:
    return np.asarray(store.episode(span.row).frames[first : span.start + span.horizon])
