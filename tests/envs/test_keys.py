"""What held keys do: the actions of each environment, and levers that move like pedals."""

from typing import Any

import numpy as np
import pytest

from world_models.envs.actions import ActionSpace, Squash
from world_models.envs.families import FAMILIES
from world_models.envs.keys import Held, Keyboard, any_keys
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec

BREAKOUT = ["NOOP", "FIRE", "RIGHT", "LEFT"]
CAR = ActionSpace("box", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (Squash.affine.value,) * 3)


def keys_of(env_id: str, space: ActionSpace, **kwargs: Any) -> Keyboard:
    spec = EnvSpec(env_id, kwargs, Preprocessing((0, 0, 0, 0), 64, False), 1, space, 100)
    return spec.family.keys(spec)


def numbers(count: int, start: int = 0) -> ActionSpace:
    return ActionSpace("discrete", count, (), (), (), start)


def held(*names: str) -> Held:
    return frozenset(names)


def test_procgen_has_the_combinations_of_its_own_interactive_games() -> None:
    env = pytest.importorskip("procgen.env")
    keys = keys_of("WorldModels/Procgen-coinrun-v0", numbers(15))
    combos = env.BaseProcgenEnv.get_combos(None)
    for action, combo in enumerate(combos):
        names = held(*(name.lower() for name in combo))
        assert keys.move(keys.rest, names) == action, combo
    assert keys.rest == combos.index(())


def test_a_chord_wins_over_its_parts_and_foreign_keys_do_nothing() -> None:
    keys = keys_of("WorldModels/Procgen-coinrun-v0", numbers(15))
    assert keys.move(keys.rest, held("right", "up", "f1")) == 8
    assert keys.move(keys.rest, held("f1")) == keys.rest


@pytest.mark.parametrize(
    ("env_id", "size", "names", "action"),
    [
        ("VizdoomTakeCover-v1", 3, ("left",), 2),
        ("VizdoomTakeCover-v1", 3, ("right",), 1),
        ("VizdoomTakeCover-v1", 3, (), 0),
        ("WorldModels/Pellet-v0", 5, ("down",), 2),
        ("CarRacing-v3", 5, ("right",), 1),
        ("WorldModels/MinAtar-seaquest-v0", 6, ("left",), 1),
        ("WorldModels/MinAtar-seaquest-v0", 6, ("down",), 4),
        ("WorldModels/MinAtar-seaquest-v0", 6, ("space",), 5),
        ("WorldModels/MinAtar-seaquest-v0", 6, (), 0),
        ("WorldModels/MinAtar-breakout-v0", 3, ("right",), 2),
        ("WorldModels/MinAtar-breakout-v0", 6, ("right",), 3),
        ("WorldModels/MinAtar-freeway-v0", 3, ("up",), 1),
        ("WorldModels/MinAtar-space_invaders-v0", 4, ("space",), 3),
        ("Acrobot-v1", 3, ("2",), 2),
    ],
)
def test_numbered_actions(env_id: str, size: int, names: tuple[str, ...], action: int) -> None:
    keys = keys_of(env_id, numbers(size))
    moved = keys.move(keys.rest, held(*names))
    assert (moved.dtype, moved.shape, int(moved)) == (np.int64, (), action)


def test_atari_actions_are_arrows_and_space_held_together() -> None:
    names = ["FIRE", "NOOP", "UP", "UPRIGHT", "DOWNLEFTFIRE"]
    keys = keys_of("WorldModels/Atari-Any-v0", numbers(5), actions=names)
    held_for = [("space",), (), ("up",), ("up", "right"), ("down", "left", "space")]
    for action, pressed in enumerate(held_for):
        assert keys.move(keys.rest, held(*pressed)) == action
    assert keys.rest == 1
    # a game in which nothing goes down has no key for it
    assert [
        key.name for key in keys_of("WorldModels/Atari-B-v0", numbers(4), actions=BREAKOUT).keys
    ] == ["left", "right", "space"]


def test_digits_and_then_letters_stand_for_any_numbered_actions() -> None:
    keys = any_keys(numbers(13, start=5))
    assert [key.name for key in keys.keys] == list("0123456789abc")
    assert keys.move(keys.rest, held("b")) == 16
    assert keys.move(keys.rest, held()) == keys.rest == 5


def test_steering_grows_while_it_is_held_and_goes_back_when_let_go() -> None:
    keys = keys_of("CarRacing-v3", CAR)
    action = keys.rest
    for step in range(1, 13):
        action = keys.move(action, held("left", "up"))
        far = min(step * 0.1, 1)
        np.testing.assert_allclose(action, [-far, far, 0], atol=1e-6)
    for far in (0.75, 0.5, 0.25, 0, 0):
        action = keys.move(action, held())
        np.testing.assert_allclose(action, [-far, far, 0], atol=1e-6)


def test_the_other_way_is_first_the_way_back() -> None:
    keys = keys_of("CarRacing-v3", CAR)
    action = np.array([-0.4, 0, 0], np.float32)
    steers = []
    for _ in range(4):
        action = keys.move(action, held("right"))
        steers.append(action[0])
    np.testing.assert_allclose(steers, [-0.15, 0, 0.1, 0.2], atol=1e-6)


def test_left_and_right_together_are_neither() -> None:
    keys = keys_of("CarRacing-v3", CAR)
    assert not keys.move(keys.rest, held("left", "right")).any()


def test_a_box_has_pairs_of_keys_and_rests_inside_its_bounds() -> None:
    keys = any_keys(ActionSpace("box", 2, (-2.0, 1.0), (2.0, 3.0), ("affine", "affine")))
    np.testing.assert_array_equal(keys.rest, [0, 2])
    action = keys.rest
    for _ in range(20):
        action = keys.move(action, held("right", "down"))
    np.testing.assert_allclose(action, [2, 1], atol=1e-6)
    assert action.dtype == np.float32


def test_no_family_has_two_keys_of_one_name() -> None:
    ids = {"procgen": ("WorldModels/Procgen-maze-v0", numbers(15))}
    ids |= {"take_cover": ("VizdoomTakeCover-v1", numbers(3)), "gymnasium": ("CarRacing-v3", CAR)}
    ids |= {"minatar": ("WorldModels/MinAtar-breakout-v0", numbers(6))}
    ids |= {"atari": ("WorldModels/Atari-Breakout-v0", numbers(4))}
    ids |= {"data": ("Data/my_game", numbers(5))}
    for family in FAMILIES:
        keys = keys_of(*ids[family.name], actions=BREAKOUT)
        names = [key.name for key in keys.keys]
        assert len(names) == len(set(names)) > 0
