"""Sessions on the finished pipeline's Pellet."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from world_models.agents.agent import Agent, load_agent
from world_models.data.episode import Episode
from world_models.data.view import View
from world_models.envs.config import Backend
from world_models.envs.make import make_vector_env
from world_models.models.pixel_unet import PixelUNet
from world_models.play.cast import Cast, cast_of_agent
from world_models.play.controls import Controls
from world_models.play.game import Game
from world_models.play.session import Session
from world_models.runs import seeding
from world_models.worlds.pixel import PixelPredictor, PixelWorld

FIRST_SEED = 70
Make = Callable[..., Session]


@pytest.fixture(scope="session")
def agent(finished: Path) -> Agent:
    return load_agent(finished / "controller/agent.pt")


@pytest.fixture(scope="session")
def pixel_world(agent: Agent) -> PixelWorld:
    """An untrained model of two frames whose layers all do something."""
    with seeding.seeded_weights(0, "play test"):
        model = PixelUNet(
            3,
            agent.env.action_space.size,
            rewards=True,
            ends=False,
            head="residual",
            widths=[8, 12],
            condition=16,
            context=3,
            past_actions=3,
        )
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    baselines = torch.zeros(3, 64, 64), torch.zeros(4)
    predictor = PixelPredictor(model.eval(), agent.env, View(), *baselines, None, 0)
    return PixelWorld(predictor, None)


@pytest.fixture(scope="session")
def cast(agent: Agent, pixel_world: PixelWorld) -> Cast:
    return cast_of_agent(agent, Backend.gymnasium, pixel_world)


@pytest.fixture
def make(cast: Cast) -> Iterator[Make]:
    """Makes sessions whose episodes have the seeds from FIRST_SEED on."""
    made: list[Session] = []

    def make_session(
        keep: Callable[[Episode], None] | None = None, cast: Cast = cast, **chosen: Any
    ) -> Session:
        game = Game(make_vector_env(cast.env, cast.backend, 1))
        made.append(Session(cast, game, Controls(**chosen), count(FIRST_SEED), keep))
        return made[-1]

    yield make_session
    for session in made:
        session.close()
