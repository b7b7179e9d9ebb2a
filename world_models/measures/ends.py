"""Whether M ends episodes where they end: rules by which its dreams may end, on held-out data."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from world_models.data.store import EpisodeRow
from world_models.measures.bootstrap import Doubles
from world_models.measures.calibration import Bools
from world_models.measures.episodes import LatentEpisodes
from world_models.measures.rows import EndRow
from world_models.models.draws import RowDraws
from world_models.runs import seeding
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import tracked
from world_models.worlds.dreaming import ends
from world_models.worlds.inference import padded
from world_models.worlds.latent import Dreamt, LatentWorld, WorldModel

RULES: tuple[float | None, ...] = (0.1, 0.3, 0.5, 0.7, 0.9, None)
"""See `Rules.end` of worlds/dreaming.py; dreams end at 0.5 where nothing else is said."""
DREAMT_EPISODES = 64
"""Most held-out episodes that are dreamt again."""
LONGEST_DREAM = 1000
"""Steps after which dreams are cut, and real episodes counted as cut."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lengths:
    """How many steps N episodes lasted: as M dreams them under each of R rules, and really."""

    # (R, N)
    dreamt: Counts
    # (N,)
    real: Counts


def end_rows(probability: Doubles, ended: Bools, lengths: Lengths, split: str) -> list[EndRow]:
    """A row per rule, from the predicted probability and the end of each held-out step, (N,)."""
    return [
        _end_row(rule, probability, ended, lengths.dreamt[index], lengths.real, split)
        for index, rule in enumerate(RULES)
    ]


def _end_row(
    rule: float | None,
    probability: Doubles,
    ended: Bools,
    dreamt: Counts,
    real: Counts,
    split: str,
) -> EndRow:
    # how far each step is ended: wholly, or with its probability
    share = probability if rule is None else (probability > rule).astype(float)
    total, hits, actual = float(share.sum()), float(share[ended].sum()), int(ended.sum())
    return EndRow(
        split=split,
        rule="drawn" if rule is None else str(rule),
        steps=len(ended),
        ends=actual,
        ended=total,
        recall=hits / actual if actual else math.nan,
        recall_chance=total / len(ended),
        precision=hits / total if total else math.nan,
        precision_chance=actual / len(ended),
        episodes=len(real),
        dream_length=float(dreamt.mean()),
        real_length=float(real.mean()),
    )


@torch.inference_mode()
def lengths_of(
    world: WorldModel, episodes: LatentEpisodes, rows: list[EpisodeRow], seed: int
) -> Lengths:
    """Held-out episodes again, as M dreams them from their first frames at temperature 1.

    Their actions are repeated where a dream goes on for longer.
    """
    picks = np.unique(evenly_spaced(len(rows), DREAMT_EPISODES, rounded=False))
    chosen = [rows[pick] for pick in picks]
    real = np.minimum([row.length for row in chosen], LONGEST_DREAM)
    filled = [chosen[i % len(chosen)] for i in range(padded(len(chosen)))]
    ended = _ended(world, episodes, filled, int(real.max()), seed)[:, :, : len(chosen)]
    last = np.where(ended.any(0), ended.argmax(0) + 1, len(ended))
    return Lengths(last, real)


def _ended(
    world: WorldModel, episodes: LatentEpisodes, rows: list[EpisodeRow], steps: int, seed: int
) -> Bools:
    """Whether each rule ends each of these episodes at each step, (steps, R, N)."""
    first = np.concatenate([episodes.posterior(row, 1)[0] for row in rows])
    start = world.memory.begin(torch.from_numpy(first).to(world.device))
    dream = LatentWorld(world, start)
    numbers = seeding.generator(seed, "mdrnn", "ends").integers(2**31, size=len(rows))
    seeds = torch.from_numpy(numbers).to(world.device)
    state: Dreamt = start
    found = []
    actions = _repeated(episodes, rows, steps).to(world.device)
    for step, action in enumerate(tracked("dream episodes", actions, steps, "steps")):
        draws = RowDraws(seeds, torch.full_like(seeds, step))
        after = dream.advance(state, action, draws)
        assert after.done is not None
        state = after.state
        found.append(torch.stack([ends(after.done, rule, draws) for rule in RULES]))
    return torch.stack(found).cpu().numpy()


def _repeated(episodes: LatentEpisodes, rows: list[EpisodeRow], steps: int) -> Tensor:
    """The recorded actions (steps, N, A), from the first on again after the last."""
    recorded = [episodes.actions(row, 0, min(row.length, steps)) for row in rows]
    filled = [np.resize(actions, (steps, actions.shape[1])) for actions in recorded]
    return torch.from_numpy(np.stack(filled, axis=1))
