"""What C would have seen in recorded episodes, against features taken one step at a time."""

from pathlib import Path

import numpy as np
import pytest

from world_models.agents.agent import WorldModelPolicy, load_agent
from world_models.data.store import EpisodeStore
from world_models.models.controller import ControllerInputs, Features, num_parameters
from world_models.search import observed as module
from world_models.search.observed import observe
from world_models.worlds.latent import WorldModel


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
