"""Policies: inside the bounds, a function of their seed, row by row."""

import numpy as np
import pytest
import torch

from world_models.agents.agent import WorldModelPolicy
from world_models.agents.perception import Perception
from world_models.agents.policy import (
    BrownianPolicy,
    CarRacingExplorer,
    MixedPolicy,
    Policy,
    RandomPolicy,
    RightwardPolicy,
    StickyPolicy,
)
from world_models.envs.actions import ActionSpace, Noise
from world_models.envs.gymnasium_family import DRIVING_NOISE
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.controller import (
    Controller,
    ControllerInputs,
    Features,
    Latent,
    load_parameters,
)
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN
from world_models.runs import seeding
from world_models.runs.threads import one_thread
from world_models.worlds.latent import WorldModel

CAR = ActionSpace("box", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), ("affine", "affine", "positive"))
KEYS = ActionSpace("discrete", 5, (), (), ())
PROCGEN = ActionSpace("discrete", 15, (), (), ())
POLICIES = [
    RandomPolicy(CAR),
    BrownianPolicy(CAR, DRIVING_NOISE["CarRacing-v3"]),
    CarRacingExplorer(CAR),
    RandomPolicy(KEYS),
    StickyPolicy(KEYS),
    RightwardPolicy(PROCGEN),
]


def played(policy: Policy, seeds: list[int], steps: int) -> np.ndarray:
    frames = np.zeros((len(seeds), 64, 64, 3), np.uint8)
    policy.reset(seeds)
    return np.stack([policy.act(frames, np.arange(len(seeds))).copy() for _ in range(steps)])


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_explorers_act_by_their_seed_inside_the_space(policy: Policy) -> None:
    actions = played(policy, [5, 6, 5], 100)
    np.testing.assert_array_equal(actions[:, 0], actions[:, 2])
    assert not np.array_equal(actions[:, 0], actions[:, 1])
    space = policy.space.to_gymnasium()  # type: ignore[attr-defined]
    assert all(space.contains(action) for action in actions[:, 0])
    np.testing.assert_array_equal(played(policy, [6], 100)[:, 0], actions[:, 1])


def test_brownian_noise_is_smooth_and_drives_on() -> None:
    actions = played(BrownianPolicy(CAR, DRIVING_NOISE["CarRacing-v3"]), list(range(20)), 300)
    steps = np.abs(np.diff(actions[..., 0], axis=0)).mean()
    jumps = np.abs(
        actions[1:, :, 0] - actions[np.random.default_rng(0).permutation(299), :, 0]
    ).mean()
    assert steps < 0.4 * jumps, "successive actions are much closer than random pairs"
    assert actions[..., 1].mean() > 2 * actions[..., 2].mean(), "more gas than brake"


def test_rightward_goes_right() -> None:
    actions = played(RightwardPolicy(PROCGEN), list(range(50)), 200)
    assert np.isin(actions, [7, 8]).mean() == pytest.approx(0.7 + 0.3 * 2 / 15, abs=0.02)
    assert (actions[1:] == actions[:-1]).mean() == pytest.approx(
        0.75 + 0.25 * (2 * 0.37**2 + 13 * 0.02**2), abs=0.02
    )
    with pytest.raises(ValueError, match="fifteen actions"):
        RightwardPolicy(KEYS)


def test_a_mixture_plays_each_episode_by_one_of_its_policies() -> None:
    parts = [StickyPolicy(PROCGEN), RightwardPolicy(PROCGEN)]
    mixed = MixedPolicy(parts)
    alone = [played(policy, list(range(40)), 50) for policy in parts]
    actions = played(mixed, list(range(40)), 50)
    assert 10 < mixed.chosen.sum() < 30
    for row, number in enumerate(mixed.chosen):
        assert np.array_equal(actions[:, row], alone[number][:, row])
    policy = MixedPolicy(parts)
    policy.reset([3, 1, 2])
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    some = np.stack([policy.act(frames, np.array([2, 0])).copy() for _ in range(50)])
    # whoever plays beside it
    assert np.array_equal(some, actions[:, [2, 3]])


def test_sticky_holds_actions() -> None:
    actions = played(StickyPolicy(KEYS, 0.75), list(range(50)), 200)
    assert (actions[1:] == actions[:-1]).mean() == pytest.approx(0.75 + 0.25 / 5, abs=0.02)


def test_policies_refuse_action_spaces_that_do_not_fit() -> None:
    for make, space in ((StickyPolicy, CAR), (CarRacingExplorer, KEYS)):
        with pytest.raises(ValueError, match=r"stage\.policy"):
            make(space)
    with pytest.raises(ValueError, match="use sticky"):
        BrownianPolicy(KEYS, Noise((), ()))


@pytest.fixture(scope="module")
def world() -> WorldModel:
    torch.manual_seed(0)
    env = EnvSpec("Any-v0", {}, Preprocessing((0, 0, 0, 0), 64, False), 1, CAR, None)
    return WorldModel(ConvVAE(3, 8), MDRNN(8, 3, 16, 2), env)


def vectors(world: WorldModel, count: int) -> np.ndarray:
    size = sum(weight.numel() for weight in Controller(**world.controller_config).parameters())
    return np.random.default_rng(1).normal(size=(count, size)).astype(np.float32)


def frames_for(steps: int, rows: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (steps, rows, 64, 64, 3), np.uint8)


WAYS_TO_SEE = [
    ControllerInputs(),
    ControllerInputs(Features.z),
    ControllerInputs(Features.zch),
    ControllerInputs(Features.z, hidden_units=7),
    ControllerInputs(Features.zh, hidden_units=5, latent=Latent.sample),
    ControllerInputs(Features.zch, latent=Latent.sample),
]


def seen_by(world: WorldModel, inputs: ControllerInputs) -> WorldModel:
    return WorldModel(world.vae, world.mdrnn, world.env, inputs)


@pytest.mark.parametrize("inputs", WAYS_TO_SEE, ids=str)
def test_the_agent_acts_on_what_it_sees_and_remembers_what_it_did(
    world: WorldModel, inputs: ControllerInputs
) -> None:
    """Against a plain loop of one environment, module by module."""
    world = seen_by(world, inputs)
    vector = vectors(world, 1)
    frames = frames_for(4, 1)
    policy = WorldModelPolicy(world, vector)
    controller = Controller(**world.controller_config)
    load_parameters(controller, vector[0])
    policy.reset([6])
    h, c = world.cell.get_init_hidden(1)
    draw = seeding.generator(6, "latent")
    for frame in frames:
        x = torch.from_numpy(frame).permute(0, 3, 1, 2).float() / 255
        z, logsigma = world.vae.encoder(x)
        if inputs.latent is Latent.sample:
            z = z + logsigma.exp() * torch.from_numpy(draw.standard_normal((1, 8), np.float32))
        seen = {"z": [z], "zh": [z, h], "zch": [z, c, h]}[inputs.features.value]
        raw = controller(torch.cat(seen, -1))
        action = torch.stack(
            [raw[:, 0].tanh(), (raw[:, 1].tanh() + 1) / 2, raw[:, 2].tanh().clamp(min=0)], -1
        )
        np.testing.assert_allclose(
            policy.act(frame, np.array([0])), action.detach().numpy(), atol=1e-5
        )
        *_, (h, c) = world.cell(action, z, (h, c))


def test_a_controller_that_is_not_finite_is_refused(world: WorldModel) -> None:
    broken = vectors(world, 2)
    broken[1, 3] = np.nan
    policy = WorldModelPolicy(world, broken)
    policy.reset([0, 1])
    with pytest.raises(ValueError, match="a controller's output is NaN or infinite"):
        policy.act(frames_for(1, 2)[0], np.arange(2))


@pytest.mark.parametrize("inputs", WAYS_TO_SEE, ids=str)
def test_a_row_acts_the_same_whoever_plays_beside_it(
    world: WorldModel, inputs: ControllerInputs
) -> None:
    world = seen_by(world, inputs)
    many = vectors(world, 20)
    frames = frames_for(5, 20)
    together = played_on(WorldModelPolicy(world, many), frames, np.arange(20))
    for rows in (np.array([3]), np.array([0, 7, 19]), np.arange(4, 16)):
        policy = WorldModelPolicy(world, many[rows])
        apart = played_on(policy, frames[:, rows], np.arange(len(rows)), seeds=rows.tolist())
        np.testing.assert_array_equal(apart, together[:, rows])


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
        ),
    ],
)
def test_at_full_size_too_a_row_acts_the_same_whoever_plays_beside_it(
    world: WorldModel, device: str
) -> None:
    torch.manual_seed(0)
    full = WorldModel(ConvVAE(3, 32).to(device), MDRNN(32, 3, 256, 5).to(device), world.env)
    many = vectors(full, 70)
    frames = frames_for(3, 70)
    with one_thread():
        together = played_on(WorldModelPolicy(full, many), frames, np.arange(70))
        widths = [np.arange(2, 2 + count) for count in (4, 8, 12, 16, 20, 24, 28, 32, 65)]
        for rows in (np.array([3]), np.array([0, 7, 69]), *widths):
            policy = WorldModelPolicy(full, many[rows])
            apart = played_on(policy, frames[:, rows], np.arange(len(rows)), seeds=rows.tolist())
            np.testing.assert_array_equal(apart, together[:, rows])


def played_on(
    policy: Policy, frames: np.ndarray, rows: np.ndarray, seeds: list[int] | None = None
) -> np.ndarray:
    policy.reset(seeds or rows.tolist())
    return np.stack([policy.act(frame, rows) for frame in frames])


def test_rows_that_ended_leave_the_others_alone(world: WorldModel) -> None:
    many = vectors(world, 3)
    frames = frames_for(3, 3)
    whole, partly = WorldModelPolicy(world, many), WorldModelPolicy(world, many)
    whole.reset([0, 1, 2])
    partly.reset([0, 1, 2])
    for step, rows in enumerate([np.array([0, 1, 2]), np.array([0, 2]), np.array([2])]):
        expected = whole.act(frames[step], np.arange(3))
        np.testing.assert_array_equal(partly.act(frames[step][rows], rows), expected[rows])


def test_exploration_noise_moves_the_actions(world: WorldModel) -> None:
    frames = frames_for(1, 2)
    vector = vectors(world, 1)
    rows = np.arange(2)
    plain, noisy = (
        played_on(WorldModelPolicy(world, vector, noise), frames, rows) for noise in (0.0, 0.5)
    )
    assert not np.allclose(plain, noisy)
    np.testing.assert_array_equal(
        noisy, played_on(WorldModelPolicy(world, vector, 0.5), frames, rows)
    )


def test_m_sees_what_a_burst_made_the_agent_do(world: WorldModel) -> None:
    frames, rows = frames_for(60, 8), np.arange(8)
    vector = vectors(world, 1)
    policy = WorldModelPolicy(world, vector, bursts=0.9)
    actions = played_on(policy, frames, rows)
    perception = Perception(world)
    perception.reset(range(8))
    for frame, done in zip(frames, actions, strict=True):
        perception.see(frame, rows)
        perception.remember(done, rows)
    assert torch.equal(perception.state.h, policy.perception.state.h)
    own = played_on(WorldModelPolicy(world, vector), frames, rows)
    disturbed = (actions != own).any(-1).mean()
    assert 0.05 < disturbed < 0.9


def test_each_episode_explores_at_its_own_level(world: WorldModel) -> None:
    frames = frames_for(200, 8)
    rows = np.arange(8)
    policy = WorldModelPolicy(world, np.zeros_like(vectors(world, 1)), 0.5)
    # C itself says 0 for steering
    raw = np.arctanh(played_on(policy, frames, rows)[..., 0].clip(-0.9999, 0.9999))
    np.testing.assert_allclose(raw.std(0), policy.controller.levels, rtol=0.2)
    assert (
        min(policy.controller.levels) > 0
        and max(policy.controller.levels) < 0.5
        and len(set(policy.controller.levels)) == 8
    )
