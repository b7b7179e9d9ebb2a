"""Episodes that cannot be played give way to others, each with a seed of its own."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self, TypeVar

from world_models.agents.rollout import Score
from world_models.data.tables import SetAsideRow
from world_models.pools.pool import Failure, Pool, WorkerError
from world_models.runs.metrics import MetricsLog, read_rows
from world_models.runs.seeding import seed_instead

log = logging.getLogger(__name__)

TABLE = "quarantine"
LOST_AT_START = 4
"""Episodes that cannot be played, before any could, after which a run ends."""


class Block(Protocol):
    """A job of a pool that plays episodes and returns their scores in the order of the seeds."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of its episodes."""

    def singles(self) -> "list[Self]":
        """Its episodes, each to be tried alone."""

    def with_seeds(self, seeds: tuple[int, ...]) -> Self:
        """The same with other seeds."""


AnyBlock = TypeVar("AnyBlock", bound=Block)
Advance = Callable[[int, int], None]
"""Is told of episodes and environment steps as they are played."""


@dataclass
class Quarantine:
    """Which episodes of a run were set aside, and what was played instead."""

    metrics: MetricsLog
    # to be played in the run
    episodes: int
    instead: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    played: int = 0

    def resume(self, known: Sequence[SetAsideRow], played: int) -> None:
        """Go on from what an earlier part of the run found: the table begins with it."""
        for row in known:
            self.metrics.write(TABLE, row)
            self.instead[row.seed] = row.instead
        self.lost = len(known)
        self.played = played

    def current(self, block: AnyBlock) -> AnyBlock:
        """The block with what is played instead of its seeds."""
        seeds = list(block.seeds)
        for place in range(len(seeds)):
            while seeds[place] in self.instead:
                seeds[place] = self.instead[seeds[place]]
        return block.with_seeds(tuple(seeds))

    def set_aside(self, seed: int, cause: str) -> int:
        """Write an episode down; returns another seed of the same range, always the same one.

        Too many are a WorkerError.
        """
        instead = self.instead[seed] = seed_instead(seed)
        self.metrics.write(TABLE, SetAsideRow(seed=seed, instead=instead, cause=cause))
        log.warning(
            "the episode of seed %d cannot be played (%s): %d is played instead",
            seed,
            cause,
            instead,
        )
        self.lost += 1
        at_most = self.episodes // 2 if self.played else 0
        if self.lost >= max(LOST_AT_START, at_most):
            raise WorkerError(
                f"{self.lost} episodes could not be played, {self.played} could; the last: {cause}"
            )
        return instead


def known_rows(folder: Path) -> list[SetAsideRow]:
    """What an earlier part of the run in `folder` set aside."""
    return read_rows(folder / f"{TABLE}.csv", SetAsideRow)


def play_all(
    pool: Pool, blocks: Sequence[AnyBlock], advance: Advance, quarantine: Quarantine
) -> list[Score]:
    """Scores of all episodes in the order of the blocks.

    A block that fails is taken apart. An episode that cannot be played even alone is set aside,
    and every block with its seed is played again with another in its place: players that are
    compared are so on the same seeds.
    """
    blocks = [quarantine.current(block) for block in blocks]
    scores: dict[int, list[Score]] = {}
    while len(scores) < len(blocks):
        for index, failure in sorted(_attempt(pool, blocks, scores, advance, quarantine).items()):
            if not _bring_up_to_date(blocks, index, quarantine):
                blocks[index] = _playable(pool, blocks[index], failure, quarantine)
        for index in sorted(scores):
            if _bring_up_to_date(blocks, index, quarantine):
                advance(-len(scores.pop(index)), 0)
    return [score for index in range(len(blocks)) for score in scores[index]]


def _bring_up_to_date(blocks: list[AnyBlock], index: int, quarantine: Quarantine) -> bool:
    """Replace what was set aside since a block was made; returns whether there was any."""
    before = blocks[index].seeds
    blocks[index] = quarantine.current(blocks[index])
    return blocks[index].seeds != before


def _attempt(
    pool: Pool,
    blocks: Sequence[Block],
    scores: dict[int, list[Score]],
    advance: Advance,
    quarantine: Quarantine,
) -> dict[int, Failure]:
    """Play the blocks that have no scores yet; returns why some failed.

    The first one that fails ends the attempt, where nothing was played before: perhaps nothing
    can be.
    """
    waiting = [index for index in range(len(blocks)) if index not in scores]
    failed: dict[int, Failure] = {}
    for place, outcome in pool.attempt([blocks[index] for index in waiting]):
        if isinstance(outcome, Failure):
            failed[waiting[place]] = outcome
            if not quarantine.played:
                break
        else:
            scores[waiting[place]] = outcome
            quarantine.played += len(outcome)
            advance(len(outcome), sum(score.length for score in outcome))
    return failed


def _playable(pool: Pool, block: AnyBlock, failure: Failure, quarantine: Quarantine) -> AnyBlock:
    """The block with other seeds for those that cannot be played even alone."""
    seeds = list(block.seeds)
    waiting = deque(enumerate(block.singles()))
    while waiting:
        some = [waiting.popleft() for _ in range(min(pool.size, len(waiting)))]
        outcomes = dict(pool.attempt([single for _, single in some]))
        for number, (place, single) in enumerate(some):
            outcome = outcomes[number]
            if isinstance(outcome, Failure):
                seeds[place] = quarantine.set_aside(seeds[place], outcome.cause)
                waiting.append((place, single.with_seeds((seeds[place],))))
            else:
                quarantine.played += 1
    if tuple(seeds) == block.seeds:
        raise WorkerError(f"episodes that can be played alone failed together: {failure.cause}")
    return block.with_seeds(tuple(seeds))
