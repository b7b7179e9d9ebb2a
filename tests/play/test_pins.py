"""Numbers of z that are held: dreams follow them, the game and who plays it never do."""

from typing import Any

import numpy as np
import pytest
import torch

from world_models.play.cast import Cast, Driver, Place
from world_models.play.pins import pinned
from world_models.play.session import Session


def test_held_numbers_stand_in_a_copy() -> None:
    z = torch.arange(4.0)[None]
    assert pinned(z, {}) is z
    assert pinned(z, {1: -2.0, 3: 5.0}).tolist() == [[0, -2, 2, 5]] and z[0, 1] == 1


@pytest.fixture
def dreaming(make: Any) -> Session:
    return make(driver=Driver.agent, place=Place.dream)


def test_a_dream_goes_on_from_what_is_held(make: Any, dreaming: Session, cast: Cast) -> None:
    assert cast.model is not None and dreaming.dream is not None
    dreaming.hold({1: 2.0})
    begun = dreaming.dream.state
    assert begun.z[0, 1] == 2.0
    picture = cast.model.decode(begun.z)[0]
    np.testing.assert_array_equal(dreaming.dream.picture, picture)
    free = make(driver=Driver.agent, place=Place.dream)
    for session in (dreaming, free):
        session.step()
    assert free.dream is not None and dreaming.dream.state.z[0, 1] == 2.0
    # M has read what was held
    assert not torch.equal(dreaming.dream.state.h, free.dream.state.h)
    dreaming.hold({})
    dreaming.step()
    assert dreaming.dream.state.z[0, 1] != 2.0


def test_what_is_held_stays_from_dream_to_dream(dreaming: Session) -> None:
    dreaming.hold({0: -1.0})
    for place in (Place.game, Place.dream):
        dreaming.turn(place=place)
    assert dreaming.dream is not None and dreaming.dream.state.z[0, 0] == -1.0


def test_in_the_game_only_the_picture_of_v_follows(make: Any, cast: Cast) -> None:
    held, free = make(driver=Driver.agent), make(driver=Driver.agent)
    held.hold({1: 2.0})
    for _ in range(3):
        for session in (held, free):
            session.step()
        assert held.drivers.action == free.drivers.action
        np.testing.assert_array_equal(held.game.frame, free.game.frame)
        assert torch.equal(held.eyes.state.z, free.eyes.state.z)
    assert cast.model is not None
    z = pinned(held.eyes.state.z, {1: 2.0})
    assert torch.equal(held.latent, z) and torch.equal(free.latent, free.eyes.state.z)
    np.testing.assert_allclose(held.eyes.draw()[0].astype(int), cast.model.decode(z)[0], atol=1)
    assert not np.array_equal(held.eyes.draw()[0], free.eyes.draw()[0])


def test_what_there_is_not_to_hold_is_refused(make: Any, cast: Cast) -> None:
    session = make()
    with pytest.raises(ValueError, match="z has 4 numbers"):
        session.hold({4: 0.0})
    blind = make(cast=Cast(cast.env, cast.backend))
    assert blind.latent is None
    with pytest.raises(ValueError, match="z has 0 numbers"):
        blind.hold({0: 0.0})
