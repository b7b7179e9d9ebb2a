"""Candidates that dream side by side come to what they come to alone."""

from typing import Any

import numpy as np
import pytest
import torch
from walker import Walk, Walker

from world_models.agents.control import ControllerPolicy
from world_models.agents.rollout import play
from world_models.envs.actions import ActionSpace, Squash
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.controller import ControllerInputs, Features, num_parameters
from world_models.models.convvae import ConvVAE
from world_models.models.draws import Draws, RowDraws
from world_models.models.mdrnn import MDRNN
from world_models.runs import seeding
from world_models.search import dreaming
from world_models.search.dream_config import DreamConfig
from world_models.search.dreaming import Dreamers, Noise
from world_models.search.evolution import Evolution
from world_models.worlds.dream_env import DreamEnv
from world_models.worlds.dreaming import Dream, Reward, Rules
from world_models.worlds.latent import LatentWorld, WorldModel
from world_models.worlds.memory import LatentState
from world_models.worlds.world import Advance

BOX = ActionSpace(
    "box", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (Squash.affine.value,) * 2 + ("positive",)
)
DISCRETE = ActionSpace("discrete", 5, (), (), ())
LATENTS, HIDDENS = 4, 12
SEEDS = [3, 11, 5]


def env_of(space: ActionSpace) -> EnvSpec:
    return EnvSpec("Dreamt-v0", {}, Preprocessing((0, 0, 0, 0), 64, False), 1, space, None)


def latent_world(
    space: ActionSpace, inputs: ControllerInputs | None = None, **dials: Any
) -> LatentWorld:
    """V and M that nobody trained; M's rewards are all over the place."""
    with seeding.seeded_weights(1, "dreamers test"):
        memory = MDRNN(LATENTS, space.size, HIDDENS, 3)
        for weight in memory.parameters():
            torch.nn.init.normal_(weight, std=0.6)
        with torch.no_grad():  # most steps are no end
            memory.gmm_linear.bias[-1] -= 3
        starts = LatentState(*(torch.randn(7, size) for size in (LATENTS, HIDDENS, HIDDENS)))
        model = WorldModel(ConvVAE(3, LATENTS), memory, env_of(space), inputs or ControllerInputs())
    return LatentWorld(model, starts, **dials)


def candidates(world: LatentWorld, count: int = 6) -> np.ndarray:
    size = num_parameters(**world.model.controller_config)
    return np.random.default_rng(0).normal(size=(count, size))


def dreamers(world: Any, *, units: int = 0, **rules: Any) -> Dreamers:
    return Dreamers(Dream(world, Rules(**{"max_steps": 40, **rules})), units)


@pytest.mark.parametrize(
    ("space", "inputs", "dials", "rules"),
    [
        (BOX, ControllerInputs(), {}, {"end": 0.2}),
        (
            DISCRETE,
            ControllerInputs(Features.zch),
            {"temperature": 1.3, "dropout": 0.2},
            {"end": None},
        ),
        (BOX, ControllerInputs(Features.z, 5), {"start_noise": 0.5}, {"reward": Reward.survival}),
        (DISCRETE, ControllerInputs(), {"dropout": 0.3}, {"end": 0.2}),
    ],
    ids=["box", "discrete, all of M's state, ends drawn", "hidden units, survival", "dropout"],
)
@pytest.mark.parametrize("slots", [1, 3])
def test_a_batch_comes_to_what_a_loop_over_the_environment_does(
    space: ActionSpace, inputs: ControllerInputs, dials: Any, rules: Any, slots: int
) -> None:
    world = latent_world(space, inputs, **dials)
    vectors = candidates(world)
    found = dreamers(world, units=inputs.hidden_units, **rules).play(vectors, SEEDS)
    env = DreamEnv(Dream(world, Rules(**{"max_steps": 40, **rules})), slots)
    for vector, returns, lengths in zip(vectors, found.returns, found.lengths, strict=True):
        scores = play(env, ControllerPolicy(inputs, space, vector[None]), SEEDS)
        assert [score.total_return for score in scores] == returns.tolist()
        assert [score.length for score in scores] == lengths.tolist()
    assert len(np.unique(found.lengths)) > 1 and len(np.unique(found.returns)) > 2, found


def test_order_and_who_is_left_out_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = latent_world(BOX)
    vectors = candidates(world, 24)
    found = dreamers(world, end=None).play(vectors, SEEDS)
    order = np.random.default_rng(1).permutation(len(vectors))
    other = dreamers(world, end=None).play(vectors[order], SEEDS[::-1])
    np.testing.assert_array_equal(other.returns, found.returns[order][:, ::-1])
    np.testing.assert_array_equal(other.lengths, found.lengths[order][:, ::-1])
    for share in (0.0, 1.0):
        monkeypatch.setattr(dreaming, "ALIVE_SHARE", share)
        again = dreamers(world, end=None).play(vectors, SEEDS)
        np.testing.assert_array_equal(again.returns, found.returns)
        np.testing.assert_array_equal(again.lengths, found.lengths)


def test_the_dead_are_left_out_and_gain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step onwards brings what has been walked; it ends above 5."""
    widths: list[int] = []

    class Counted(Walker):
        def advance(self, state: Walk, actions: torch.Tensor, draws: Draws) -> Advance[Walk]:
            widths.append(len(actions))
            return super().advance(state, actions, draws)

    stay, walk = [0.0] * 4 + [1.0, 0.0], [0.0] * 4 + [0.0, 1.0]
    found = dreamers(Counted(), max_steps=9).play(np.array([walk] * 6 + [stay]), [1, 2])
    np.testing.assert_array_equal(found.returns, [[1 + 2 + 3 + 4 + 5 + 6] * 2] * 6 + [[0, 0]])
    np.testing.assert_array_equal(found.lengths, [[6, 6]] * 6 + [[9, 9]])
    assert found.steps == 6 * 12 + 2 * 9 and found.undisturbed
    assert widths == [16] * 6 + [4] * 3


def test_steps_are_told_and_a_broken_reward_is_refused() -> None:
    told: list[int] = []
    walkers = Dreamers(
        Dream(Walker(), Rules(max_steps=2)), 0, lambda episodes, steps: told.append(steps)
    )
    walkers.play(np.zeros((2, 6)), [1])
    assert told == [2, 2]

    def broken(before: torch.Tensor, actions: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        return torch.where(after[:, 1] > 0, torch.nan, 0.0)

    walk = [0.0] * 5 + [1.0]
    with pytest.raises(ValueError, match="the dream's reward function gave NaN"):
        dreamers(Walker(), reward=broken).play(np.array([[0.0] * 6, walk]), [4, 8])
    with pytest.raises(ValueError, match="a controller's output is NaN"):
        dreamers(Walker()).play(np.full((1, 6), np.nan), [1])


def test_temperature_zero_is_the_limit_of_small_ones() -> None:
    """It is the mode: the mean of the most probable component."""
    returns = {}
    for temperature in (0.0, 1e-10, 1.0):
        world = latent_world(BOX, temperature=temperature)
        players = dreamers(world, end=0.999, max_steps=12)
        returns[temperature] = players.play(candidates(world), SEEDS).returns
    np.testing.assert_allclose(returns[1e-10], returns[0.0], rtol=1e-3, atol=1e-3)
    assert np.abs(returns[1.0] - returns[0.0]).max() > 0.1


def test_candidates_share_starts_and_noise() -> None:
    world = latent_world(DISCRETE, start_noise=0.3)
    one = candidates(world, 1)
    found = dreamers(world, end=None).play(np.repeat(one, 3, 0), SEEDS)
    assert (found.returns == found.returns[0]).all() and len(set(found.returns[0])) == len(SEEDS)


def test_noise_is_that_of_each_rows_own_seed_and_step() -> None:
    seeds, rollouts = torch.tensor([7, 8, 9]), torch.tensor([2, 0, 0, 1, 2])
    noise, like = Noise(seeds), torch.zeros(5, 2, 3)
    for step in range(2 * dreaming.STEPS_AHEAD + 1):
        now = torch.full_like(seeds, step)
        shared, own = noise.at(step, rollouts), RowDraws(seeds[rollouts], now[rollouts])
        assert torch.equal(shared.exponential(like), own.exponential(like))
        assert torch.equal(shared.normal(like), own.normal(like))
        assert torch.equal(shared.normal(like[:, 0]), own.normal(like[:, 0]))


def test_cma_es_finds_the_best_action_of_a_memory_made_by_hand() -> None:
    """M rewards a step by tanh of its first action less its second's: +1 and -1 are best."""
    space = ActionSpace("box", 2, (-1.0, -1.0), (1.0, 1.0), ("affine", "affine"))
    world = latent_world(space, ControllerInputs(Features.z))
    make_rewarding(world)
    players = dreamers(world, end=0.99, max_steps=10)
    best = np.zeros(num_parameters(**world.model.controller_config))
    best[-2:] = 20, -20
    optimum = float(players.play(best[None], SEEDS).returns.mean())
    evolution = Evolution(np.zeros_like(best), pop_size=12, sigma0=0.5, seed=0)
    began = float(players.play(evolution.mean[None], SEEDS).returns.mean())
    for _ in range(25):
        evolution.tell(players.play(evolution.ask(), SEEDS).returns.mean(1).tolist())
    ended = float(players.play(evolution.mean[None], SEEDS).returns.mean())
    assert began == pytest.approx(0, abs=0.05 * optimum) and ended > 0.95 * optimum > 5


@torch.no_grad()
def make_rewarding(world: LatentWorld) -> None:
    """The first unit of M opens all its gates and takes in the first action less the second; the
    reward is 3 times its output, and nothing ever ends.
    """
    cell = world.model.cell
    for weight in cell.parameters():
        weight.zero_()
    inputs, forget, taken, output = (gate * HIDDENS for gate in range(4))
    cell.rnn.bias_ih[[inputs, output]] = 20
    cell.rnn.bias_ih[forget] = -20
    cell.rnn.weight_ih[taken, :2] = torch.tensor([1.0, -1.0])
    cell.gmm_linear.weight[-2, 0] = 3
    cell.gmm_linear.bias[-1] = -20


def test_every_dial_of_the_configuration_reaches_m() -> None:
    cfg = DreamConfig(temperature=1.2, dropout=0.1, start_noise=0.3)
    world = latent_world(DISCRETE, **cfg.dials)
    assert (world.temperature, world.dropout, world.start_noise) == (1.2, 0.1, 0.3)
