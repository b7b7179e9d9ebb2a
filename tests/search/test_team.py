"""A generation that is played: every candidate on its tracks, and what cannot be played."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from world_models.agents.rollout import Score
from world_models.pools.pool import InProcessPool, WorkerError
from world_models.runs.metrics import MetricsLog, read_csv
from world_models.search.evolution import Evolution
from world_models.search.fitness import Block
from world_models.search.search import Search
from world_models.search.team import Team, play_candidates
from world_models.search.tracks import GenerationTracks, fresh_tracks


def build_adder(closed: Sequence[Any]) -> Callable[[Block], list[Score]]:
    """The return is the controller's number plus the track's.

    It raises on `closed` tracks: for all controllers, or for one, where it is (number, track).
    """

    def play_block(block: Block) -> list[Score]:
        assert block.vectors is not None
        numbers = block.vectors[:, 0]
        for number, seed in zip(numbers, block.seeds, strict=True):
            if seed in closed or (round(float(number), 3), seed) in closed:
                raise OSError("no such track")
        returns = numbers + np.array(block.seeds)
        return [
            Score(seed, float(value), seed)
            for seed, value in zip(block.seeds, returns, strict=True)
        ]

    return play_block


def team(folder: Path, closed: Sequence[Any] = ()) -> Team:
    return Team(InProcessPool(build_adder, [closed]), 2, None, MetricsLog(folder))


CANDIDATES = np.array([[0.0], [0.1], [0.2], [0.3]])


def test_returns_are_those_of_each_candidate_on_each_track(tmp_path: Path) -> None:
    played = play_candidates(team(tmp_path), CANDIDATES, GenerationTracks(1, [1, 2], 0, (0,)))
    np.testing.assert_allclose(played.returns, CANDIDATES + np.array([1, 2]))
    assert played.steps == 4 * (1 + 2) and played.undisturbed
    assert played.mean_length == 1.5


def test_a_closed_track_gives_way_to_another(tmp_path: Path) -> None:
    tracks = GenerationTracks(1, [3, 4], 0, (0,))
    (other,) = tracks.others(1)
    played = play_candidates(team(tmp_path, [4]), CANDIDATES, tracks)
    np.testing.assert_allclose(played.returns, CANDIDATES + np.array([3, other]))
    assert not played.undisturbed
    lost = [(row["player"], row["seed"]) for row in read_csv(tmp_path / "quarantine.csv")]
    assert lost == [("0", "4"), ("1", "4"), ("2", "4"), ("3", "4")]


def test_a_candidate_that_is_lost_is_missing_and_half_of_all_are_too_many(tmp_path: Path) -> None:
    tracks = GenerationTracks(1, [1, 2], 0, (0,))
    played = play_candidates(team(tmp_path, [(0.2, 1)]), CANDIDATES, tracks)
    assert np.isnan(played.returns).sum() == 1 and np.isnan(played.returns[2, 0])
    assert played.mean_length == (3 * 1 + 4 * 2) / 7
    closed = [1, *tracks.others(1)]
    with pytest.raises(WorkerError, match="4 of 8 episodes of generation 1 could not be played"):
        play_candidates(team(tmp_path, closed), CANDIDATES, tracks)


def test_each_generation_has_fresh_tracks() -> None:
    search = Search(Evolution(np.zeros(2), pop_size=4, sigma0=0.1, seed=0))
    first = fresh_tracks(search, seed=0, samples=3)
    assert first.generation == 1 and len(set(first.seeds)) == 3
    search.evolution.ask()
    search.tell(np.zeros((4, 3)), 1, 1.0)
    second = fresh_tracks(search, seed=0, samples=3)
    assert not set(first.seeds) & set(second.seeds)
    assert not set(first.others(3)) & set(first.seeds)
