"""Ends that M foretells, beside counts by hand, and dreams beside plain loops."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from world_models.measures.ends import RULES, Lengths, end_rows, lengths_of
from world_models.measures.episodes import LatentEpisodes
from world_models.models.draws import RowDraws
from world_models.runs import seeding
from world_models.worlds.dreaming import Dream, Rules
from world_models.worlds.latent import LatentWorld

MakeEpisodes = Callable[..., LatentEpisodes]
MakeWorld = Callable[..., Any]
PROBABILITY = np.array([0.05, 0.2, 0.6, 0.95, 0.5, 0.8])
ENDED = np.array([False, True, False, True, False, False])
LENGTHS = Lengths(np.arange(12).reshape(6, 2), np.array([3, 8]))


def test_recall_and_precision_are_those_counted_by_hand() -> None:
    rows = {row.rule: row for row in end_rows(PROBABILITY, ENDED, LENGTHS, "validation")}
    assert list(rows) == ["0.1", "0.3", "0.5", "0.7", "0.9", "drawn"]
    assert {(row.steps, row.ends, row.precision_chance) for row in rows.values()} == {(6, 2, 2 / 6)}
    # above 0.5 lie three steps, one of which ended
    usual = rows["0.5"]
    found = usual.ended, usual.recall, usual.recall_chance, usual.precision
    assert found == (3, 1 / 2, 3 / 6, 1 / 3)
    assert (rows["0.1"].recall, rows["0.9"].precision) == (1, 1)
    drawn = rows["drawn"]
    assert drawn.recall == pytest.approx((0.2 + 0.95) / 2)
    assert drawn.precision == pytest.approx((0.2 + 0.95) / 3.1)
    assert (rows["0.3"].dream_length, rows["0.3"].real_length) == (2.5, 5.5)


def test_what_cannot_be_said_is_nan() -> None:
    silent = end_rows(np.full(6, 0.01), ENDED, LENGTHS, "validation")[2]
    assert silent.recall == 0 and math.isnan(silent.precision)
    endless = end_rows(PROBABILITY, np.zeros(6, bool), LENGTHS, "validation")[2]
    assert math.isnan(endless.recall) and endless.precision == 0


@torch.no_grad()
def test_dreams_last_as_long_as_those_that_are_stepped_alone(
    make_episodes: MakeEpisodes, make_world: MakeWorld
) -> None:
    episodes, world = make_episodes(), make_world()
    rows = episodes.store.episodes("validation")
    found = lengths_of(world, episodes, rows, seed=3)
    assert found.real.tolist() == [row.length for row in rows]
    longest = max(found.real)
    seeds = seeding.generator(3, "mdrnn", "ends").integers(2**31, size=4)
    for column, row in enumerate(rows):
        start = world.memory.begin(torch.from_numpy(episodes.posterior(row, 1)[0]))
        actions = torch.from_numpy(episodes.actions(row, 0, row.length))
        seed = torch.from_numpy(seeds[column : column + 1])
        for index, rule in enumerate(RULES):
            dream = Dream(LatentWorld(world, start), Rules(end=rule, max_steps=int(longest)))
            state: Any = start
            for step in range(longest):
                number = torch.tensor([step])
                action = actions[step % row.length][None]
                outcome = dream.step(state, action, RowDraws(seed, number), number)
                state = outcome.state
                if outcome.ended or outcome.late:
                    break
            assert found.dreamt[index, column] == step + 1
    assert len(np.unique(found.dreamt)) > 2, "rules differ"
    again = lengths_of(world, episodes, rows, seed=3)
    np.testing.assert_array_equal(again.dreamt, found.dreamt)
