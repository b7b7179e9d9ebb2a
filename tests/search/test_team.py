"""A generation that is played: every candidate on its tracks, and what cannot be played."""

from collections.abc import Callable, Sequence
from pathlib import Path

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


def build_adder(closed: Sequence[int]) -> Callable[[Block], list[Score]]:
    """The return is the controller's number plus the track's; on `closed` tracks it raises."""

    def play_block(block: Block) -> list[Score]:
        assert block.vectors is not None
        for seed in block.seeds:
            if seed in closed:
                raise OSError("no such track")
        returns = block.vectors[:, 0] + np.array(block.seeds)
        return [
            Score(seed, float(value), seed)
            for seed, value in zip(block.seeds, returns, strict=True)
        ]

    return play_block


def team(folder: Path, closed: Sequence[int] = ()) -> Team:
    return Team(InProcessPool(build_adder, [closed]), 2, None, MetricsLog(folder))


CANDIDATES = np.array([[0.0], [0.1], [0.2], [0.3]])


def test_returns_are_those_of_each_candidate_on_its_tracks(tmp_path: Path) -> None:
    tracks = GenerationTracks(1, np.array([[1, 2], [1, 2], [3, 4], [3, 4]]), 0, (0,))
    played = play_candidates(team(tmp_path), CANDIDATES, tracks)
    np.testing.assert_allclose(played.returns, CANDIDATES + tracks.seeds)
    assert played.steps == tracks.seeds.sum() and played.undisturbed
    assert played.mean_length == tracks.seeds.mean()


def test_a_closed_track_gives_way_for_its_own_group_alone(tmp_path: Path) -> None:
    tracks = GenerationTracks(1, np.array([[1, 2], [1, 2], [3, 4], [3, 4]]), 0, (0,))
    (other,) = tracks.others(1)
    played = play_candidates(team(tmp_path, [4]), CANDIDATES, tracks)
    expected = CANDIDATES + np.array([[1, 2], [1, 2], [3, other], [3, other]])
    np.testing.assert_allclose(played.returns, expected)
    assert not played.undisturbed
    lost = [(row["player"], row["seed"]) for row in read_csv(tmp_path / "quarantine.csv")]
    assert lost == [("2", "4"), ("3", "4")]


def test_a_candidate_that_is_lost_is_missing_and_half_of_all_are_too_many(tmp_path: Path) -> None:
    tracks = GenerationTracks(1, np.array([[1, 5], [2, 6], [3, 7], [4, 8]]), 0, (0,))
    (other,) = tracks.others(1)
    played = play_candidates(team(tmp_path, [3, other]), CANDIDATES, tracks)
    assert np.isnan(played.returns).sum() == 1 and np.isnan(played.returns[2, 0])
    assert played.mean_length == (36 - 3) / 7
    others = tracks.others(4)
    with pytest.raises(WorkerError, match="4 of 8 episodes of generation 1 could not be played"):
        play_candidates(team(tmp_path, [1, 2, 3, 4, *others]), CANDIDATES, tracks)


def test_candidates_of_a_group_have_the_same_fresh_tracks() -> None:
    evolution = Evolution(np.zeros(2), pop_size=4, sigma0=0.1, seed=0)
    search = Search(evolution, track_groups=2)
    first = fresh_tracks(search, seed=0, candidates=4, samples=3)
    assert first.generation == 1 and first.seeds.shape == (4, 3)
    assert (first.seeds[::2] == first.seeds[1::2]).all() and len(np.unique(first.seeds)) == 6
    search.evolution.ask()
    search.tell(np.zeros((4, 3)), 1, 1.0)
    second = fresh_tracks(search, seed=0, candidates=4, samples=3)
    assert not set(first.seeds.flat) & set(second.seeds.flat)
    assert not set(first.others(3)) & set(first.seeds.flat)
