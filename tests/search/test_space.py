"""Where a search takes place: what its vectors are as controllers, and that it is kept whole."""

from pathlib import Path

import numpy as np
import torch

from world_models.search.components import principal_components
from world_models.search.space import SearchSpace

FEATURES = np.random.default_rng(0).normal(size=(100, 6)) @ np.diag(np.arange(1.0, 7))


def test_without_components_a_vector_is_the_controller() -> None:
    space = SearchSpace(np.zeros(14))
    vectors = np.random.default_rng(1).normal(size=(3, 14))
    assert space.size == 14
    assert space.controllers(vectors) is vectors and space.seen(FEATURES) is FEATURES


def test_a_vector_on_components_acts_on_them_as_its_controller_on_the_features() -> None:
    components = principal_components(FEATURES, 4, 2)
    space = SearchSpace(np.random.default_rng(1).normal(size=10), components)
    (controller,) = space.controllers(space.start[None])
    assert controller.shape == (2 * 6 + 2,)
    on_components = space.seen(FEATURES) @ space.start[:8].reshape(2, 4).T + space.start[8:]
    on_features = FEATURES @ controller[:12].reshape(2, 6).T + controller[12:]
    np.testing.assert_allclose(on_components, on_features)


def test_it_is_kept_to_the_last_bit(tmp_path: Path) -> None:
    components = principal_components(FEATURES, 4, 2)
    for space in (SearchSpace(np.arange(3.0)), SearchSpace(np.arange(10.0) / 3, components)):
        torch.save(space.state(), tmp_path / "state.pt")
        again = SearchSpace.from_state(torch.load(tmp_path / "state.pt"))
        assert again.start.tobytes() == space.start.tobytes()
        assert again.seen(FEATURES).tobytes() == space.seen(FEATURES).tobytes()
