"""The rules of Pellet, its picture, and its seeds."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import world_models.envs  # noqa: F401  (registers Pellet)
from world_models.envs.pellet import AGENT_COLOUR, PELLET_COLOUR, TILE_SIZE, PelletEnv

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
