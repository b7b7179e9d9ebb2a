"""What every backend promises.

Idle slots, episodes that depend on their seed alone, frame skip, stop.
"""

import dataclasses

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from world_models.envs.make import Backend, EnvConfig, EnvSpec, make_spec, make_vector_env
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import Crop

CASES = {
    "pellet": (EnvConfig(id="WorldModels/Pellet-v0"), Backend.gymnasium),
    "gray_pellet": (
        EnvConfig(id="WorldModels/Pellet-v0", grayscale=True, size=32),
        Backend.gymnasium,
    ),
    "acrobot": (EnvConfig(id="Acrobot-v1"), Backend.gymnasium),
    "pendulum": (EnvConfig(id="Pendulum-v1"), Backend.gymnasium),
    "lunar_lander": (EnvConfig(id="LunarLander-v3"), Backend.gymnasium),
    "bipedal_walker": (EnvConfig(id="BipedalWalker-v3"), Backend.gymnasium),
    "car_racing": (EnvConfig(id="CarRacing-v3", crop=Crop(bottom=12)), Backend.gymnasium),
    "car_racing_pool": (EnvConfig(id="CarRacing-v3", crop=Crop(bottom=12)), Backend.envpool),
    "coinrun": (EnvConfig(id="WorldModels/Procgen-coinrun-v0"), Backend.procgen),
}
MAX_STEPS = 15
Recording = list[tuple[np.ndarray, float, bool, bool]]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[EnvSpec, Backend]:
    cfg, backend = CASES[request.param]
    if backend is Backend.envpool:
        pytest.importorskip("envpool")
    return make_spec(cfg), backend


def actions_of(spec: EnvSpec, seed: int) -> np.ndarray:
    return spec.action_space.sample(np.random.default_rng(seed), MAX_STEPS)


def play(envs: PixelVectorEnv, seeds: list[int], slots: list[int]) -> list[Recording]:
    """Episodes of `seeds` in `slots`, up to MAX_STEPS steps.

    Each is played with actions drawn from its own seed.
    """
    mask = np.isin(np.arange(envs.num_envs), slots)
    frames, infos = envs.reset(seed=seeds, options={"reset_mask": mask})
    assert infos == {}
    records: list[Recording] = [[(frames[slot], 0.0, False, False)] for slot in slots]
    for step in range(MAX_STEPS):
        actions = np.stack(
            [envs.env_spec.action_space.sample(np.random.default_rng(step), 1)[0]] * envs.num_envs
        )
        for seed, slot in zip(seeds, slots, strict=True):
            actions[slot] = actions_of(envs.env_spec, seed)[step]
        frames, rewards, terminated, truncated, _ = envs.step(actions)
        for record, slot in zip(records, slots, strict=True):
            record.append(
                (frames[slot], float(rewards[slot]), bool(terminated[slot]), bool(truncated[slot]))
            )
    return records


def assert_same(one: Recording, two: Recording) -> None:
    for (frame_a, *rest_a), (frame_b, *rest_b) in zip(one, two, strict=True):
        np.testing.assert_array_equal(frame_a, frame_b)
        assert rest_a == rest_b


def test_spaces_and_types(case: tuple[EnvSpec, Backend]) -> None:
    spec, backend = case
    envs = make_vector_env(spec, backend, 2)
    frames, _ = envs.reset(seed=[1, 2])
    assert envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert envs.has_final_frame is (backend is not Backend.procgen)
    assert envs.observation_space.contains(frames) and frames.any()
    size = spec.preprocessing.size
    assert frames.shape == (2, size, size, spec.preprocessing.channels)
    actions = spec.action_space.sample(np.random.default_rng(0), 2)
    assert envs.action_space.contains(actions)
    frames, rewards, terminated, truncated, infos = envs.step(actions)
    assert (frames.dtype, rewards.dtype) == (np.uint8, np.float32)
    assert (terminated.dtype, truncated.dtype) == (bool, bool)
    assert rewards.shape == terminated.shape == truncated.shape == (2,) and infos == {}
    assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in envs.render())
    envs.close()


def test_an_episode_depends_on_its_seed_alone(case: tuple[EnvSpec, Backend]) -> None:
    spec, backend = case
    alone = make_vector_env(spec, backend, 1)
    expected = {seed: play(alone, [seed], [0])[0] for seed in (3, 4, 5)}
    assert (expected[3][0][0] != expected[4][0][0]).any() or (
        expected[3][-1][0] != expected[4][-1][0]
    ).any()
    envs = make_vector_env(spec, backend, 3)
    envs.reset(seed=[9, 8, 7])
    one, two = play(envs, [5, 3], [0, 2])
    assert_same(one, expected[5])
    assert_same(two, expected[3])
    assert_same(play(envs, [4], [2])[0], expected[4])
    assert_same(play(envs, [3], [0])[0], expected[3])


def test_a_stopped_slot_is_idle_and_its_neighbour_goes_on(case: tuple[EnvSpec, Backend]) -> None:
    spec, backend = case
    expected = play(make_vector_env(spec, backend, 1), [3], [0])[0]
    envs = make_vector_env(spec, backend, 2)
    before, _ = envs.reset(seed=[6, 3])
    envs.stop(np.array([True, False]))
    for step, action in enumerate(actions_of(spec, 3)):
        frames, rewards, terminated, truncated, _ = envs.step(np.stack([action, action]))
        np.testing.assert_array_equal(frames[0], before[0])
        np.testing.assert_array_equal(frames[1], expected[step + 1][0])
        assert rewards[0] == 0 and not terminated[0] and not truncated[0]
    envs.render()


def test_frame_skip_is_the_repeated_action(case: tuple[EnvSpec, Backend]) -> None:
    spec, backend = case
    single = make_vector_env(spec, backend, 1)
    skipping = make_vector_env(dataclasses.replace(spec, frame_skip=3), backend, 1)
    single.reset(seed=[2])
    skipping.reset(seed=[2])
    for action in actions_of(spec, 2)[:6]:
        batch = np.stack([action])
        steps = [single.step(batch) for _ in range(3)]
        frames, rewards, terminated, truncated, _ = skipping.step(batch)
        np.testing.assert_array_equal(frames, steps[-1][0])
        np.testing.assert_allclose(rewards, sum(step[1] for step in steps), rtol=1e-5, atol=1e-6)
        assert terminated == any(step[2] for step in steps) and truncated == any(
            step[3] for step in steps
        )


def test_frame_skip_stops_at_the_end() -> None:
    spec = dataclasses.replace(make_spec(EnvConfig(id="WorldModels/Pellet-v0")), frame_skip=3)
    envs = make_vector_env(spec, Backend.auto, 1)
    envs.reset(seed=[0])
    # 6 x 3 steps and 2 of 3
    ends = [bool(envs.step(np.zeros(1, int))[3][0]) for _ in range(7)]
    assert ends == [False] * 6 + [True]


def test_a_finished_slot_is_idle_until_it_is_reset() -> None:
    envs = make_vector_env(make_spec(EnvConfig(id="WorldModels/Pellet-v0")), Backend.auto, 2)
    envs.reset(seed=[0, 1])
    stay = np.zeros(2, int)
    ends = [envs.step(stay)[3] for _ in range(20)]
    assert not np.any(ends[:-1]) and ends[-1].all()
    frames, rewards, terminated, truncated, _ = envs.step(stay)
    again, *_ = envs.step(np.full(2, 3))
    np.testing.assert_array_equal(frames, again)
    assert not rewards.any() and not terminated.any() and not truncated.any()
    envs.reset(seed=[1], options={"reset_mask": np.array([True, False])})
    _, _, _, truncated, _ = envs.step(stay)
    assert envs.alive.tolist() == [True, False] and not truncated.any()


def test_at_least_one_slot() -> None:
    with pytest.raises(ValueError, match="at least one"):
        make_vector_env(make_spec(EnvConfig(id="WorldModels/Pellet-v0")), Backend.auto, 0)


def test_returned_frames_are_the_callers_own() -> None:
    envs = make_vector_env(make_spec(EnvConfig(id="WorldModels/Pellet-v0")), Backend.auto, 1)
    first, _ = envs.reset(seed=[0])
    first[:] = 0
    second, *_ = envs.step(np.zeros(1, int))
    assert second.any()


def test_reset_wants_one_seed_for_each_slot() -> None:
    envs = make_vector_env(make_spec(EnvConfig(id="WorldModels/Pellet-v0")), Backend.auto, 2)
    with pytest.raises(ValueError, match="1 seeds given for 2 slots"):
        envs.reset(seed=[0])
    with pytest.raises(ValueError, match="2\\*\\*31"):
        envs.reset(seed=[0, 2**31])
    assert all(not picture.any() for picture in envs.render())


def test_a_number_seeds_all_slots_and_none_goes_on_from_it() -> None:
    def frames(*seeds: object) -> list[bytes]:
        return [envs.reset(seed=seed)[0].tobytes() for seed in seeds]  # type: ignore[arg-type]

    envs = make_vector_env(make_spec(EnvConfig(id="WorldModels/Pellet-v0")), Backend.auto, 3)
    assert frames(5) == frames([5, 6, 7])
    first, second = frames(1, None, None), frames(1, None, None)
    assert first == second and len(set(first)) == 3
    other = make_vector_env(make_spec(EnvConfig(id="WorldModels/Pellet-v0")), Backend.auto, 3)
    assert other.reset()[0].tobytes() != other.reset()[0].tobytes()
    envs.reset(seed=9, options={"reset_mask": np.array([True, False, True])})
