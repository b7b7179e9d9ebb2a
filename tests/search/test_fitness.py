"""Fitness of controllers: what cannot be played is quarantined, the rest keeps its numbers."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from worker_jobs import build_hanging

from world_models.envs.pellet import PelletEnv
from world_models.pools.pool import InProcessPool, Pool, WorkerError
from world_models.pools.processes import WorkerPool
from world_models.runs.files import read_json
from world_models.search.fitness import (
    Block,
    Models,
    block_size,
    build_player,
    candidate_blocks,
    film_episodes,
    play_blocks,
    single_blocks,
)
from world_models.search.quarantine import play_with_quarantine


@pytest.fixture
def pool(finished: Path) -> Pool:
    """Plays the finished pipeline's world model in this process, three environments at once."""
    env = read_json(finished / "manifest.json")["env"]
    return InProcessPool(
        build_player, (Models(env, agent=finished / "controller/agent.pt"), "gymnasium", 3, "cpu")
    )


def vectors(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, (4 + 12 + 1) * 5))


def ignore(episodes: int, steps: int) -> None:
    pass


def test_a_block_taken_apart_comes_to_the_same(pool: Pool) -> None:
    for block in (
        *candidate_blocks(vectors(3), [1, 2], 3, None),
        *single_blocks(vectors(1)[0], [3, 4, 5], 3),
        *single_blocks(None, [3, 4, 5], 3, 9),
    ):
        assert len(block.singles()) == len(block.seeds)
        assert play_blocks(pool, block.singles(), ignore) == play_blocks(pool, [block], ignore)


def test_films_show_the_episodes_that_were_scored(pool: Pool) -> None:
    vector = vectors(1)[0]
    scores = play_blocks(pool, single_blocks(vector, [3, 4, 5], 3), ignore)
    chosen = [scores[2], scores[0]]
    shown: list[tuple[int, int]] = []
    films = film_episodes(pool, vector, chosen, lambda *counts: shown.append(counts))
    assert shown == [(1, score.length) for score in chosen]
    for film, score in zip(films, chosen, strict=True):
        assert film.total_return == score.total_return
        assert film.observations.shape == (score.length, 64, 64, 3)
        assert film.observations.dtype == np.uint8
    again = play_blocks(pool, single_blocks(vector, [5], 3), ignore)
    assert again == chosen[:1], "the worker goes on as before"


def test_candidates_play_the_same_tracks_or_each_their_own() -> None:
    def played(seeds: list[int] | np.ndarray) -> list[tuple[float, int]]:
        blocks = candidate_blocks(population, seeds, 4, None)
        assert [len(block.seeds) for block in blocks] == [4, 2]
        return [
            (float(row[0]), seed)
            for block in blocks
            for row, seed in zip(block.vectors, block.seeds, strict=True)
        ]

    population = np.array([[0.0], [1], [2]])
    assert played([7, 8]) == [(0, 7), (0, 8), (1, 7), (1, 8), (2, 7), (2, 8)]
    assert played(np.array([[7, 8], [7, 8], [5, 6]])) == [
        (0, 7),
        (0, 8),
        (1, 7),
        (1, 8),
        (2, 5),
        (2, 6),
    ]


def test_a_candidate_that_gives_nan_is_quarantined(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    population = vectors(5)
    sound = play_blocks(pool, candidate_blocks(population, [1, 2], 3, 20), ignore)
    population[3, 7] = np.nan
    scores = play_with_quarantine(pool, candidate_blocks(population, [1, 2], 3, 20), ignore)
    assert [index for index, score in enumerate(scores) if score.failure] == [6, 7]
    assert "a controller's output is NaN or infinite" in scores[6].failure and np.isnan(
        scores[6].total_return
    )
    assert [score for index, score in enumerate(scores) if index not in (6, 7)] == sound[
        :6
    ] + sound[8:]
    assert caplog.text.count("it is given up") == 3, "the block, and two episodes of it"
    with pytest.raises(WorkerError, match="NaN or infinite"):
        play_blocks(pool, candidate_blocks(population, [1, 2], 3, 20), ignore)


def test_an_environment_that_raises_on_one_track_costs_that_track(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset = PelletEnv.reset

    def broken(self: PelletEnv, *, seed: int | None = None, **options: object) -> object:
        if seed == 2:
            raise OSError("no such track")
        return reset(self, seed=seed, **options)

    blocks = [Block(vectors(1), (1, 2, 3, 4), 20)]
    sound = play_blocks(pool, blocks, ignore)
    monkeypatch.setattr(PelletEnv, "reset", broken)
    scores = play_with_quarantine(pool, blocks, ignore)
    causes = [score.failure.rpartition("OSError")[2] for score in scores]
    assert causes == ["", ": no such track", "", ""]
    assert scores[0] == sound[0] and scores[2:] == sound[2:]


def test_a_reward_that_is_no_number_costs_its_episode(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = PelletEnv.step

    def broken(self: PelletEnv, action: object) -> object:
        frame, reward, *rest = step(self, action)
        return frame, float("nan") if self.np_random_seed == 2 else reward, *rest

    monkeypatch.setattr(PelletEnv, "step", broken)
    scores = play_with_quarantine(pool, [Block(vectors(1), (1, 2, 3), 20)], ignore)
    cause = (
        "ValueError: WorldModels/Pellet-v0 gave a reward that is NaN or infinite "
        "in the episode of seed 2"
    )
    assert [score.failure for score in scores] == ["", cause, ""]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_a_track_that_hangs_is_soon_left_alone(workers: int, tmp_path: Path) -> None:
    def hangs() -> int:
        return len(list(tmp_path.glob("hung-*")))

    population, hanging = np.arange(8.0)[:, None], Counter[int]()
    blocks = candidate_blocks(population, [5, 6], 8, None)
    with WorkerPool(workers, build_hanging, [tmp_path, [6]], deadline=1.0) as pool:
        scores = play_with_quarantine(pool, blocks, ignore, hanging)
        assert [score.total_return for score in scores if score.seed == 5] == list(range(8))
        causes = [score.failure for score in scores if score.seed == 6]
        assert all("gave no sign of life for 1 seconds" in cause for cause in causes[:2])
        assert causes[2:] == ["its track hung again and again, and was not played"] * 6
        assert hanging == {6: 2} and 8 <= hangs() <= 8 + 2 * workers, (
            "two blocks and two episodes, each twice"
        )
        before = hangs()
        again = play_with_quarantine(pool, blocks, ignore, hanging)
        assert [score for score in again if score.seed == 5] == [
            score for score in scores if score.seed == 5
        ]
        assert all(score.failure for score in again if score.seed == 6) and hangs() == before


@pytest.mark.parametrize(
    ("episodes", "width", "workers", "size"),
    [(64, 16, 2, 32), (256, 16, 2, 32), (64, 16, 16, 4), (3, 16, 16, 1), (6, 4, 4, 2)],
)
def test_workers_share_the_episodes(episodes: int, width: int, workers: int, size: int) -> None:
    assert block_size(episodes, width, workers) == size
