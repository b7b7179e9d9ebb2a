"""What a session plays with: an environment, and what of V, M, C and a pixel model there is."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from world_models.agents.agent import Agent
from world_models.agents.token_agent import TokenAgent
from world_models.envs.config import Backend
from world_models.envs.spec import EnvSpec
from world_models.play.imagined import DIALS, Dial, dials_of
from world_models.worlds.latent import LatentWorld, WorldModel
from world_models.worlds.pixel import PixelWorld
from world_models.worlds.token import TokenWorld
from world_models.worlds.world import World


class Driver(Enum):
    """Who acts."""

    person = "person"
    agent = "agent"
    # tries sequences of actions in M's dream before each step
    planner = "planner"
    random = "random"


class Place(Enum):
    """Where it is played."""

    game = "game"  # in the environment
    dream = "dream"  # in M's dream
    pixel = "pixel"  # in a model of frames: of pixels, or of tokens


@dataclass(frozen=True)
class Cast:
    """An environment, and the trained models that are there."""

    env: EnvSpec
    backend: Backend
    # V and M as C sees them, and the dream that begins anywhere
    latent: LatentWorld | None = None
    # (parameters,) of C
    controller: np.ndarray | None = None
    # of frames: a pixel model, or a world of tokens
    pixel: PixelWorld | TokenWorld | None = None
    # an agent that reads tokens, in place of V, M and C
    tokens: TokenAgent | None = None

    @property
    def model(self) -> WorldModel | None:
        """V and M."""
        return None if self.latent is None else self.latent.model

    @property
    def drivers(self) -> list[Driver]:
        """Who can act."""
        acts = self.controller is not None or self.tokens is not None
        agent = [Driver.agent] if acts else []
        plans = [Driver.planner] if self.latent is not None and self.latent.has_reward else []
        return [Driver.person, *agent, *plans, Driver.random]

    @property
    def places(self) -> list[Place]:
        """Where it can be played."""
        return [Place.game, *(place for place in (Place.dream, Place.pixel) if self.world(place))]

    @property
    def dials(self) -> list[Dial]:
        """What can be turned about any of its worlds."""
        worlds = [world for world in (self.latent, self.pixel) if world is not None]
        own = [dial for world in worlds for dial in dials_of(world)]
        return [dial for dial in DIALS if dial in own]

    @property
    def agent_sees_pixel_model(self) -> bool:
        """Whether the pixel model's frames are such as V was trained on."""
        return self.pixel is not None and _frames(self.pixel.env) == _frames(self.env)

    def require_agent_sees_pixel_model(self) -> None:
        """An agent whose V takes other frames is a ValueError."""
        assert self.pixel is not None
        if not self.agent_sees_pixel_model:
            raise ValueError(
                f"the agent's V takes frames {_frames(self.env)} (size, channels), and the pixel "
                f"model draws {_frames(self.pixel.env)}: let a person or chance drive there"
            )

    def name(self, place: Place) -> str:
        """What a place is called."""
        if place is Place.pixel and isinstance(self.pixel, TokenWorld):
            return "the token world"
        return {Place.game: "game", Place.dream: "M's dream", Place.pixel: "the pixel model"}[place]

    def world(self, place: Place) -> World[Any] | None:
        """The world of a place; the game is none."""
        return {Place.game: None, Place.dream: self.latent, Place.pixel: self.pixel}[place]


def _frames(env: EnvSpec) -> tuple[int, int]:
    return env.preprocessing.size, env.preprocessing.channels


def dreamer(model: WorldModel, has_reward: bool) -> LatentWorld:
    """M as a world that begins where a perception is; of its own it knows one empty place."""
    weight = next(model.vae.parameters())
    nowhere = model.memory.begin(weight.new_zeros(1, model.mdrnn.latents))
    return LatentWorld(model, nowhere, has_reward=has_reward)


def cast_of_agent(
    agent: Agent, backend: Backend, pixel: PixelWorld | TokenWorld | None = None
) -> Cast:
    """An agent, its environment, and the dream of its M."""
    latent = dreamer(agent.world, agent.has_reward)
    return Cast(agent.env, backend, latent, agent.controllers[agent.which], pixel)


def cast_of_player(
    agent: Agent | TokenAgent, backend: Backend, pixel: PixelWorld | TokenWorld | None = None
) -> Cast:
    """An agent of either kind and its environment."""
    if isinstance(agent, Agent):
        return cast_of_agent(agent, backend, pixel)
    return Cast(agent.env, backend, pixel=pixel, tokens=agent)
