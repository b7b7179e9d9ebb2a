"""The axes of a search, against features taken one step at a time; its vectors folded into C."""

from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.agents.agent import WorldModelPolicy, load_agent
from world_models.data.store import EpisodeStore
from world_models.models.controller import (
    Controller,
    ControllerInputs,
    Features,
    load_parameters,
    num_parameters,
)
from world_models.search import observed as module
from world_models.search.components import Components, check_components, principal_components
from world_models.search.observed import observe
from world_models.worlds.latent import WorldModel


def random_components(features: int, kept: int, outputs: int) -> Components:
    mixed = np.random.default_rng(0).normal(size=(500, features)) @ np.random.default_rng(1).normal(
        size=(features,) * 2
    )
    return principal_components(mixed + 3, kept, outputs)


@pytest.mark.parametrize("hidden_units", [0, 4])
def test_a_search_vector_is_the_controller_on_the_components(hidden_units: int) -> None:
    controller = Controller(3, 5, 2, hidden_units=hidden_units).double()
    components = random_components(8, 6, hidden_units or 2)
    assert np.abs(components.axes.T @ components.axes - np.eye(6)).max() < 1e-12
    small = Controller(1, 5, 2, hidden_units=hidden_units).double()  # what acts on 6 components
    vector = np.random.default_rng(2).normal(
        size=components.size(num_parameters(3, 5, 2, hidden_units=hidden_units))
    )
    load_parameters(small, vector)
    load_parameters(controller, components.expand(vector[None])[0])
    features = np.random.default_rng(3).normal(size=(20, 8))
    expected = small(torch.from_numpy((features - components.mean) @ components.axes))
    torch.testing.assert_close(controller(torch.from_numpy(features)), expected)


def test_axes_are_those_of_the_singular_value_decomposition() -> None:
    features = np.random.default_rng(0).normal(size=(300, 7)) * np.arange(1, 8) + 5
    components = principal_components(features, 3, 2)
    _, _, rows = np.linalg.svd(features - features.mean(0), full_matrices=False)
    assert np.abs(np.sum(components.axes.T * rows[:3], 1)) == pytest.approx(np.ones(3))
    # one sign on every machine
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in components.axes.T)
    assert components.mean == pytest.approx(features.mean(0))


def test_more_components_than_features_are_refused() -> None:
    check_components(8, 8)
    check_components(None, 8)
    with pytest.raises(ValueError, match=r"stage\.components is 9, and C sees 8 features"):
        check_components(9, 8)


def test_they_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    components = random_components(8, 4, 2)
    torch.save(components.state(), tmp_path / "state.pt")
    again = Components.from_state(torch.load(tmp_path / "state.pt"))
    assert again.outputs == 2 and again.mean.tobytes() == components.mean.tobytes()
    assert again.axes.tobytes() == components.axes.tobytes()


@pytest.mark.parametrize("features", list(Features))
def test_features_are_what_the_policy_sees_step_by_step(
    finished: Path, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded actions are forced upon a policy, and what it hands to C is written down."""
    agent = load_agent(finished / "controller/agent.pt")
    world = WorldModel(
        agent.world.vae, agent.world.mdrnn, agent.world.env, ControllerInputs(features)
    )
    store = EpisodeStore.open(finished / "rollout/episodes")
    monkeypatch.setattr(module, "OBSERVED_EPISODES", 3)
    rows = [store.episodes("train")[index] for index in (0, 10, 21)]
    observed = observe(world, store)
    found = observed.features
    assert len(found) == len(observed.actions) == sum(row.length for row in rows)
    noted: list[np.ndarray] = []
    monkeypatch.setattr(
        WorldModel,
        "features",
        lambda self, z, h, c, real=WorldModel.features: (
            noted.append(real(self, z, h, c)[0].numpy()) or real(self, z, h, c)
        ),
    )
    for row in rows:
        episode = store.episode(row)
        size = num_parameters(**world.controller_config)
        policy = WorldModelPolicy(world, np.zeros((1, size)))
        policy.reset([0])
        for frame, action in zip(episode.frames[:-1], episode.actions[:-1], strict=True):
            monkeypatch.setattr(
                policy.controller, "_explore", lambda raw, rows, action=action: action[None]
            )
            policy.act(frame[None], np.array([0]))
    order = np.lexsort(np.round(found, 4).T)
    expected = np.stack(noted)[np.lexsort(np.round(np.stack(noted), 4).T)]
    np.testing.assert_allclose(found[order], expected, atol=1e-4)
