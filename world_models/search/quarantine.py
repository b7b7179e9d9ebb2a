"""Episodes that cannot be played: a search goes on without them, and writes them down."""

from collections import Counter
from collections.abc import Sequence

from world_models.agents.quarantine import Advance
from world_models.agents.rollout import Score
from world_models.measures.search_rows import QuarantineRow
from world_models.pools.pool import Failure, Pool, WorkerError
from world_models.runs.metrics import MetricsLog
from world_models.search.fitness import Block

HANGS_PER_TRACK = 2
"""Episodes of a track that hang before it is left alone: each costs two deadlines."""
TRACK_HANGS = Failure("its track hung again and again, and was not played")


def play_with_quarantine(
    pool: Pool,
    blocks: Sequence[Block],
    advance: Advance,
    hanging: Counter[int] | None = None,
) -> list[Score]:
    """As `play_blocks`, but an episode that cannot be played becomes a Score with the cause.

    A block that fails each time is taken apart, and its episodes are tried one by one. A track on
    which HANGS_PER_TRACK of them hung is not played any more: the rest of its episodes, in the
    order of the blocks, are lost too. `hanging` says how often each track hung before, and counts
    on.
    """
    hanging = Counter() if hanging is None else hanging
    known = {seed for seed, times in hanging.items() if times >= HANGS_PER_TRACK}
    parts = [part for block in blocks for part in block.without(known)]
    outcomes = iter(_outcomes(pool, parts, advance))
    scores: list[Score] = []
    seeds = [seed for block in blocks for seed in block.seeds]
    for seed in seeds:
        outcome = TRACK_HANGS if seed in known else next(outcomes)
        if hanging[seed] >= HANGS_PER_TRACK:
            outcome = TRACK_HANGS
        elif isinstance(outcome, Failure):
            hanging[seed] += outcome.hung
        if isinstance(outcome, Failure):
            outcome = Score(seed, float("nan"), 0, outcome.cause)
        scores.append(outcome)
    return scores


def _outcomes(pool: Pool, blocks: Sequence[Block], advance: Advance) -> list[Score | Failure]:
    """What became of each episode, in the order of the blocks."""
    outcomes: list[list[Score | Failure]] = [[] for _ in blocks]
    for index, outcome in pool.attempt(blocks):
        if not isinstance(outcome, Failure):
            outcomes[index] = outcome
            advance(len(outcome), sum(score.length for score in outcome))
    hung: Counter[int] = Counter()
    for index in [index for index, found in enumerate(outcomes) if not found]:
        outcomes[index] = _one_by_one(pool, blocks[index].singles(), hung)
        played = [outcome for outcome in outcomes[index] if isinstance(outcome, Score)]
        advance(len(played), sum(score.length for score in played))
    return [outcome for found in outcomes for outcome in found]


def _one_by_one(pool: Pool, singles: list[Block], hung: Counter[int]) -> list[Score | Failure]:
    """Each episode alone; `hung` counts how often each track hung.

    Only as many are tried at once as there are workers, so that a track that hangs soon shows.
    """
    outcomes: list[Score | Failure] = []
    for start in range(0, len(singles), pool.size):
        some = singles[start : start + pool.size]
        tried = [place for place, one in enumerate(some) if hung[one.seeds[0]] < HANGS_PER_TRACK]
        found: dict[int, list[Score] | Failure] = {}
        for index, answer in pool.attempt([some[place] for place in tried]):
            found[tried[index]] = answer
        for place, single in enumerate(some):
            outcome = found.get(place, TRACK_HANGS)
            if isinstance(outcome, Failure):
                hung[single.seeds[0]] += outcome.hung
                outcomes.append(outcome)
            else:
                outcomes.append(outcome[0])
    return outcomes


def write_quarantine(
    scores: list[Score], players: list[str], generation: int, metrics: MetricsLog
) -> None:
    """Write down the episodes that could not be played, of players with as many each."""
    for place, score in enumerate(scores):
        if score.failure:
            row = QuarantineRow(
                generation=generation,
                player=players[place * len(players) // len(scores)],
                seed=score.seed,
                cause=score.failure,
            )
            metrics.write("quarantine", row)


def check_half_played(scores: list[Score], generation: int) -> None:
    """Half of the episodes lost are a WorkerError with the cause."""
    lost = [score for score in scores if score.failure]
    if 2 * len(lost) >= len(scores):
        raise WorkerError(
            f"{len(lost)} of {len(scores)} episodes of generation {generation} "
            f"could not be played: {lost[-1].failure}"
        )


def unplayable(scores: list[Score]) -> list[int]:
    """Tracks of which no episode could be played."""
    played = {score.seed for score in scores if not score.failure}
    return sorted({score.seed for score in scores} - played)
