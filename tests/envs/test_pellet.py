"""The rules of Pellet, its picture, and its seeds."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import world_models.envs  # noqa: F401  (registers Pellet)
from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import play
from world_models.envs.config import EnvConfig
from world_models.envs.make import Backend, make_spec, make_vector_env
from world_models.envs.pellet import (
    AGENT_COLOUR,
    BOARD_SIZE,
    PELLET_COLOUR,
    TILE_SIZE,
    PelletEnv,
)
from world_models.envs.preprocess import Preprocessing

STAY, UP, DOWN, LEFT, RIGHT = range(5)


@pytest.fixture
def env() -> gymnasium.Env:
    return gymnasium.make("WorldModels/Pellet-v0", render_mode="rgb_array")


def pellet_of(env: gymnasium.Env) -> PelletEnv:
    assert isinstance(env.unwrapped, PelletEnv)
    return env.unwrapped


def test_gymnasium_finds_nothing_wrong(env: gymnasium.Env) -> None:
    check_env(env.unwrapped)


def test_the_shortest_way_ends_in_one_reward(env: gymnasium.Env) -> None:
    game = pellet_of(env)
    for seed in range(20):
        env.reset(seed=seed)
        down, right = game.pellet - game.agent
        moves = [DOWN if down > 0 else UP] * abs(down) + [RIGHT if right > 0 else LEFT] * abs(right)
        steps = [env.step(move)[1:4] for move in moves]
        assert steps[-1] == (1.0, True, False)
        assert all(step == (0.0, False, False) for step in steps[:-1])


def test_staying_is_truncated_after_20_steps(env: gymnasium.Env) -> None:
    first, _ = env.reset(seed=0)
    steps = [env.step(STAY) for _ in range(20)]
    assert [step[3] for step in steps] == [False] * 19 + [True]
    assert not any(step[2] or step[1] for step in steps)
    np.testing.assert_array_equal(steps[-1][0], first)


@pytest.mark.parametrize(
    ("action", "corner"), [(UP, (0, 3)), (DOWN, (5, 3)), (LEFT, (2, 0)), (RIGHT, (2, 5))]
)
def test_walls_hold(action: int, corner: tuple[int, int]) -> None:
    game = PelletEnv()
    game.reset(seed=0)
    game.agent, game.pellet = np.array(corner), np.array([4, 4])
    game.step(action)
    assert tuple(game.agent) == corner


def test_seeds_place_two_different_tiles_all_over_the_board() -> None:
    game = PelletEnv()
    places = []
    for seed in range(300):
        game.reset(seed=seed)
        assert (game.agent != game.pellet).any()
        places.append((tuple(game.agent), tuple(game.pellet)))
    assert len({agent for agent, _ in places}) == len({pellet for _, pellet in places}) == 36
    game.reset(seed=7)
    assert (tuple(game.agent), tuple(game.pellet)) == places[7]


def test_the_picture_shows_both_where_they_are(env: gymnasium.Env) -> None:
    picture, _ = env.reset(seed=3)
    game = pellet_of(env)
    for place, colour in ((game.agent, AGENT_COLOUR), (game.pellet, PELLET_COLOUR)):
        row, column = place * TILE_SIZE + TILE_SIZE // 2
        assert tuple(picture[row, column]) == colour
    np.testing.assert_array_equal(env.render(), picture)
    assert env.action_space == gymnasium.spaces.Discrete(5)


def test_frames_of_32_pixels_show_every_place(env: gymnasium.Env) -> None:
    """The tile whose middle is nearest to a disc's colour is the one where it lies."""
    small = Preprocessing((0, 0, 0, 0), 32, False)
    middles = np.round((np.arange(BOARD_SIZE) + 0.5) * 32 / BOARD_SIZE - 0.5).astype(int)
    game = pellet_of(env)
    for seed in range(200):
        picture, _ = env.reset(seed=seed)
        shown = small.apply([picture])[0][np.ix_(middles, middles)].astype(int)
        for place, colour in ((game.agent, AGENT_COLOUR), (game.pellet, PELLET_COLOUR)):
            distance = np.abs(shown - colour).sum(2)
            assert np.unravel_index(distance.argmin(), distance.shape) == tuple(place)


def test_chance_finds_the_pellet_in_a_fifth_of_the_episodes() -> None:
    """0.22 in 20,000 episodes."""
    spec = make_spec(EnvConfig(id="WorldModels/Pellet-v0", size=32))
    envs = make_vector_env(spec, Backend.auto, 16)
    scores = play(envs, RandomPolicy(spec.action_space), range(300))
    found = np.mean([score.total_return for score in scores])
    assert abs(found - 0.22) < 4 * np.sqrt(0.22 * 0.78 / 300)
