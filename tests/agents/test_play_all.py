"""Blocks of episodes that fail are taken apart, and others stand for what cannot be played."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from world_models.agents.quarantine import Quarantine, known_rows, play_all
from world_models.agents.rollout import Score
from world_models.pools.pool import Failure, Pool, WorkerError
from world_models.runs.metrics import MetricsLog
from world_models.runs.seeding import Purpose, seed_instead


@dataclass(frozen=True)
class Some:
    seeds: tuple[int, ...]

    def singles(self) -> list["Some"]:
        return [Some((seed,)) for seed in self.seeds]

    def with_seeds(self, seeds: tuple[int, ...]) -> "Some":
        return replace(self, seeds=seeds)


class Told(Pool):
    """Jobs come to what `outcome` says; none is tried twice."""

    def __init__(self, outcome: Callable[[Some], Failure | None], size: int = 2) -> None:
        self.outcome, self.workers, self.tried = outcome, size, list[Some]()

    @property
    def size(self) -> int:
        return self.workers

    def close(self) -> None:
        pass

    def attempt(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for index, job in enumerate(jobs):
            self.tried.append(job)
            yield index, self.outcome(job) or [Score(seed, seed / 2, 3) for seed in job.seeds]


def hanging(*bad: int) -> Callable[[Some], Failure | None]:
    hung = Failure("it hangs", hung=True)
    return lambda job: hung if set(bad) & set(job.seeds) else None


def ignore(episodes: int, steps: int) -> None:
    pass


BLOCKS = [Some((1, 2, 3)), Some((4, 5, 6)), Some((7,))]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_what_hangs_gives_way_to_a_seed_of_its_own(size: int, tmp_path: Path) -> None:
    quarantine = Quarantine(MetricsLog(tmp_path), 7)
    pool = Told(hanging(5, seed_instead(5), 7), size)
    scores = play_all(pool, BLOCKS, ignore, quarantine)
    played = [1, 2, 3, 4, seed_instead(seed_instead(5)), 6, seed_instead(7)]
    assert scores == [Score(seed, seed / 2, 3) for seed in played]
    rows = known_rows(tmp_path)
    assert [(row.seed, row.instead, row.cause) for row in rows] == [
        (seed, seed_instead(seed), "it hangs") for seed in (5, seed_instead(5), 7)
    ]


@dataclass(frozen=True)
class Played(Some):
    player: str = "agent"

    def singles(self) -> list["Some"]:
        return [replace(self, seeds=(seed,)) for seed in self.seeds]


@pytest.mark.parametrize("who", ["agent", "random"])
def test_what_one_cannot_play_no_other_plays(who: str, tmp_path: Path) -> None:
    def outcome(job: Some) -> Failure | None:
        assert isinstance(job, Played)
        return Failure("lost") if 5 in job.seeds and job.player == who else None

    counted = [0]

    def count(episodes: int, steps: int) -> None:
        counted[0] += episodes

    blocks = [Played(seeds, player) for player in ("agent", "random") for seeds in [(1, 2), (5, 6)]]
    scores = play_all(Told(outcome), blocks, count, Quarantine(MetricsLog(tmp_path), 8))
    assert [score.seed for score in scores] == [1, 2, seed_instead(5), 6] * 2
    assert [row.seed for row in known_rows(tmp_path)] == [5]
    assert counted[0] == 8


def test_what_is_known_is_not_tried_again(tmp_path: Path) -> None:
    play_all(Told(hanging(5)), BLOCKS, ignore, Quarantine(MetricsLog(tmp_path), 7))
    rows = known_rows(tmp_path)
    again = Quarantine(MetricsLog(tmp_path), 7)
    again.resume(rows, 0)
    pool = Told(hanging(5))
    play_all(pool, BLOCKS, ignore, again)
    assert [job.seeds for job in pool.tried] == [(1, 2, 3), (4, seed_instead(5), 6), (7,)]
    assert known_rows(tmp_path) == rows


def test_where_nothing_can_be_played_it_shows_soon(tmp_path: Path) -> None:
    pool = Told(lambda job: Failure("no road"))
    blocks = [Some(tuple(range(start, start + 5))) for start in range(0, 100, 5)]
    with pytest.raises(WorkerError, match="4 episodes could not be played, 0 could"):
        play_all(pool, blocks, ignore, Quarantine(MetricsLog(tmp_path), 100))
    assert [len(job.seeds) for job in pool.tried] == [5, 1, 1, 1, 1]


def test_half_of_the_episodes_are_too_many(tmp_path: Path) -> None:
    pool = Told(lambda job: Failure("no road") if any(seed % 2 for seed in job.seeds) else None)
    blocks = [Some(tuple(range(start, start + 5))) for start in range(0, 100, 5)]
    with pytest.raises(WorkerError, match="50 episodes could not be played"):
        play_all(pool, blocks, ignore, Quarantine(MetricsLog(tmp_path), 100))


def test_who_fails_only_together_ends_the_run(tmp_path: Path) -> None:
    pool = Told(lambda job: Failure("too narrow") if len(job.seeds) > 1 else None)
    with pytest.raises(WorkerError, match="played alone failed together: too narrow"):
        play_all(pool, BLOCKS, ignore, Quarantine(MetricsLog(tmp_path), 7))


@pytest.mark.parametrize("purpose", Purpose)
def test_another_seed_is_of_the_same_range(purpose: Purpose) -> None:
    others = {seed_instead(purpose.value + number) for number in range(50)}
    assert len(others) == 50
    assert {other >> 28 for other in others} == {purpose.value >> 28}
