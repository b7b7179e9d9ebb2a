"""Planning finds what is best in worlds where that is known, and a row needs no other."""

import itertools

import numpy as np
import pytest
import torch
from agents.toy_worlds import Clear, Point, PointWorld, TableWorld, Tile

from world_models.agents import planning
from world_models.agents.planning import PlanningPolicy, worth
from world_models.agents.sequences import Method, PlanConfig, colouring, gumbel
from world_models.worlds.inference import Batch
from world_models.worlds.world import Advance

STARTS = np.array([[0.0, 0.0], [0.8, 0.2], [-0.4, -0.6]], np.float32)


def point_policy(world: PointWorld | None = None, **options: object) -> PlanningPolicy:
    chosen = {"method": Method.cem, "horizon": 4, "rounds": 12, "candidates": 128, **options}
    return PlanningPolicy(world or PointWorld(), Clear(Point), PlanConfig(**chosen))


def first_actions(policy: PlanningPolicy, observations: np.ndarray) -> np.ndarray:
    policy.reset(range(len(observations)))
    return policy.act(observations, np.arange(len(observations)))


def random_table(seed: int, tiles: int = 6, actions: int = 4) -> TableWorld:
    rng = np.random.default_rng(seed)
    shape = (tiles, actions)
    return TableWorld(
        rng.normal(size=shape), rng.normal(size=shape), rng.integers(tiles, size=shape)
    )


def brute_force(world: TableWorld, start: int, horizon: int) -> tuple[int, float]:
    """The first action of the sequence that is worth most, and what it is worth."""
    actions = world.rewards.shape[1]
    found = {}
    for sequence in itertools.product(range(actions), repeat=horizon):
        tile, alive, total = start, 1.0, 0.0
        for action in sequence:
            total += alive * float(world.rewards[tile, action])
            alive *= 1 - float(torch.sigmoid(world.ends[tile, action]))
            tile = int(world.following[tile, action])
        found[sequence] = total
    best = max(found, key=found.__getitem__)
    return best[0], found[best]


@pytest.mark.parametrize("method", Method)
def test_the_first_action_is_that_of_the_known_optimum(method: Method) -> None:
    world = PointWorld()
    best = np.stack([world.best_actions(start, 4)[0] for start in STARTS])
    assert np.abs(best).max() < 0.95, "inside the bounds"
    found = first_actions(point_policy(method=method), STARTS)
    np.testing.assert_allclose(found, best, atol={Method.cem: 0.03, Method.icem: 0.07}[method])


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("seed", range(4))
def test_one_step_ahead_it_is_the_largest_reward(method: Method, seed: int) -> None:
    world = random_table(seed)
    cfg = PlanConfig(method, horizon=1, candidates=64, rounds=4, elites=2, noise=1.0)
    chosen = first_actions(PlanningPolicy(world, Clear(Tile), cfg), np.arange(6))
    np.testing.assert_array_equal(chosen, world.rewards.argmax(1))


@pytest.mark.parametrize("method", Method)
def test_several_steps_ahead_it_is_what_trying_all_sequences_finds(method: Method) -> None:
    world = random_table(9)
    cfg = PlanConfig(method, horizon=3, candidates=256, rounds=6, noise=1.0)
    chosen = first_actions(PlanningPolicy(world, Clear(Tile), cfg), np.arange(6))
    assert chosen.tolist() == [brute_force(world, start, 3)[0] for start in range(6)]


def test_a_predicted_end_stops_the_gain() -> None:
    """Two ways: 2 and an end, or 1 again and again."""
    never, surely = -20.0, 20.0
    for end, wanted in ((surely, 1), (never, 0)):
        world = TableWorld(np.array([[2.0, 1.0]]), np.array([[end, never]]), np.zeros((1, 2), int))
        cfg = PlanConfig(Method.icem, horizon=5, candidates=64)
        chosen = first_actions(PlanningPolicy(world, Clear(Tile), cfg), np.zeros(1, int))
        assert chosen.tolist() == [wanted]


def test_what_a_sequence_is_worth_is_the_sum_over_all_lengths_of_the_episode() -> None:
    rng = np.random.default_rng(0)
    rewards, ends = rng.normal(size=(2, 3, 5))
    dying = 1 / (1 + np.exp(-ends))
    wanted = np.zeros(3)
    for row, last in itertools.product(range(3), range(5)):
        lasted = np.prod(1 - dying[row, :last])
        share = lasted * (dying[row, last] if last < 4 else 1.0)
        wanted[row] += share * (rewards[row, : last + 1] * 0.9 ** np.arange(last + 1)).sum()
    np.testing.assert_allclose(worth(rewards, ends, 0.9), wanted)


@pytest.mark.parametrize("method", Method)
def test_a_row_plays_the_same_whoever_plays_beside_it(method: Method) -> None:
    def played(rows: list[int]) -> dict[int, list[bytes]]:
        policy = point_policy(method=method, rounds=2, candidates=20)
        policy.reset([7 + row for row in rows])
        position, found = STARTS[rows].copy(), {row: [] for row in rows}
        for step in range(3):
            order = np.roll(np.arange(len(rows)), step)
            actions = policy.act(position[order], order)
            position[order] += actions
            for place, action in zip(order, actions, strict=True):
                found[rows[place]].append(action.tobytes())
        return found

    together = played([0, 1, 2])
    for rows in ([2], [1, 0], [2, 0, 1]):
        assert played(rows) == {row: together[row] for row in rows}


def test_rows_that_plan_in_one_padded_batch_play_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is on a GPU."""
    alone = first_actions(point_policy(method=Method.icem), STARTS)
    monkeypatch.setattr(
        planning, "groups", lambda rows, device: [Batch(slice(0, len(rows)), rows, 8)]
    )
    np.testing.assert_array_equal(first_actions(point_policy(method=Method.icem), STARTS), alone)


def test_what_is_left_of_a_plan_helps_at_the_next_step() -> None:
    """Short of candidates, it plays better than a search that begins anew at every step."""
    world, rows = PointWorld(goal=(1.5, -1.5)), np.arange(12)

    def mean_error(kept: bool) -> float:
        policy = point_policy(world, rounds=1, candidates=24)
        policy.reset(rows)
        position, errors = np.zeros((12, 2), np.float32), []
        for _ in range(5):
            actions = policy.act(position, rows)
            best = [world.best_actions(here, 4)[0] for here in position]
            errors.append(np.abs(actions - best).mean())
            position += actions
            if not kept:
                policy.reset(rows)
        return float(np.mean(errors[1:]))

    assert mean_error(True) < 0.8 * mean_error(False)


def test_the_guide_is_followed_where_nothing_is_better() -> None:
    class Right:
        def reset(self, seeds: list[int]) -> None:
            pass

        def act(self, features: torch.Tensor, rows: np.ndarray) -> np.ndarray:
            return np.full((len(rows), 2), 0.5, np.float32)

    class Indifferent(PointWorld):
        def advance(self, state: Point, actions: torch.Tensor, draws: object) -> Advance[Point]:
            off = (actions - 0.5).abs().amax(1) > 1e-3
            return Advance(Point(state.position), -off.float(), None)

    cfg = PlanConfig(Method.icem, horizon=3, candidates=16)
    policy = PlanningPolicy(Indifferent(), Clear(Point), cfg, Right())
    np.testing.assert_allclose(first_actions(policy, STARTS), 0.5, atol=1e-3)


def test_a_world_without_rewards_is_refused() -> None:
    class Blind(PointWorld):
        def advance(self, state: Point, actions: torch.Tensor, draws: object) -> Advance[Point]:
            return Advance(state, None, None)

    with pytest.raises(ValueError, match="this world predicts no rewards"):
        first_actions(point_policy(Blind()), STARTS)


def test_coloured_noise_has_its_spectrum_and_the_variance_one() -> None:
    white = np.random.default_rng(0).normal(size=(40_000, 16))
    for exponent in (0.0, 1.0, 2.0):
        noise = white @ colouring(16, exponent)
        np.testing.assert_allclose(noise.var(0), 1, atol=0.04)
        power = (np.abs(np.fft.rfft(noise)) ** 2).mean(0)[1:]
        frequencies = np.fft.rfftfreq(16)[1:]
        slope = np.polyfit(np.log(frequencies), np.log(power), 1)[0]
        assert slope == pytest.approx(-exponent, abs=0.03)
    np.testing.assert_allclose(colouring(16, 0.0), np.eye(16), atol=1e-12)


def test_gumbel_noise_draws_from_the_probabilities() -> None:
    probabilities = np.array([0.1, 0.6, 0.3, 0.0])
    noise = gumbel(np.random.default_rng(0).normal(size=(60_000, 4)))
    with np.errstate(divide="ignore"):
        drawn = (np.log(probabilities) + noise).argmax(1)
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, probabilities, atol=0.01)
    assert shares[3] == 0


def test_icem_asks_for_fewer_each_round_and_keeps_enough() -> None:
    cfg = PlanConfig(Method.icem, candidates=64, rounds=5, elites=16)
    assert [cfg.asked(number) for number in range(5)] == [64, 51, 41, 33, 32]
    assert [PlanConfig(Method.cem).asked(number) for number in (0, 2)] == [64, 64]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"horizon": 0}, "stage.plan.horizon is 0"),
        ({"discount": 1.5}, "stage.plan.discount is 1.5; it must be above 0 and at most 1"),
        (
            {"elites": 40},
            "stage.plan.elites is 40; it must be 2 or more, and at most half of the 64",
        ),
        ({"colour": -1}, "stage.plan.colour is -1"),
        ({"method": None, "rounds": 4}, "stage.plan.rounds is of no use: nothing plans without"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PlanConfig(**{"method": Method.cem, **options})
