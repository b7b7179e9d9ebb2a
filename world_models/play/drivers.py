"""Who acts: a person's hands, C on what is seen, a plan, or chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from world_models.agents.control import ControllerPolicy
from world_models.agents.planning import PlanningPolicy, planner
from world_models.agents.policy import RandomPolicy
from world_models.agents.sequences import Method, PlanConfig
from world_models.agents.token_agent import TokenAgent
from world_models.envs.keys import Held
from world_models.play.cast import Cast, Driver
from world_models.play.eyes import ROW
from world_models.worlds.memory import LatentState

NOTHING = np.empty(0)


@dataclass(frozen=True)
class Seen:
    """What V and M know where it is played, or what an agent that reads tokens says."""

    # (1, F): what C reads; of tokens (1, A): the logits of actions
    features: torch.Tensor
    # None where M's own state is not known
    state: LatentState | None


class Drivers:
    """All who may act in an episode; they take over from each other at any step."""

    def __init__(self, cast: Cast) -> None:
        self.keyboard = cast.env.family.keys(cast.env)
        self.random = RandomPolicy(cast.env.action_space)
        self.controller = _controller(cast) if Driver.agent in cast.drivers else None
        self.planner = _planner(cast) if Driver.planner in cast.drivers else None

    def begin(self, seed: int) -> None:
        """An episode of this seed."""
        self.action = self.keyboard.rest
        for policy in (self.random, self.controller, self.planner):
            if policy is not None:
                policy.reset([seed])

    def act(self, driver: Driver, held: Held, seen: Seen | None) -> np.ndarray:
        """The action (...) of one of them; C and plans need what is seen."""
        self.action = np.asarray(self._act(driver, held, seen))
        return self.action

    def _act(self, driver: Driver, held: Held, seen: Seen | None) -> np.ndarray:
        if driver is Driver.person:
            return self.keyboard.move(self.action, held)
        if driver is Driver.random:
            return self.random.act(NOTHING, ROW)[0]
        assert seen is not None, driver
        if driver is Driver.agent:
            assert self.controller is not None
            return self.controller.act(seen.features, ROW)[0]
        assert self.planner is not None and seen.state is not None, seen
        self.planner.sight = _Told(seen.state)
        return self.planner.act(NOTHING, ROW)[0]


def _controller(cast: Cast) -> "ControllerPolicy | _TokenDriver":
    if cast.tokens is not None:
        return _TokenDriver(cast.tokens)
    model, vector = cast.model, cast.controller
    assert model is not None and vector is not None
    space = cast.env.action_space
    return ControllerPolicy(model.controller_inputs, space, vector[None], device=model.device)


def _planner(cast: Cast) -> PlanningPolicy:
    """Around C, where there is one."""
    assert cast.model is not None
    guided = cast.controller is not None
    vectors = np.zeros((1, 1), np.float32) if cast.controller is None else cast.controller[None]
    return planner(cast.model, PlanConfig(Method.icem, from_controller=guided), vectors)


class _TokenDriver:
    """The actor of an agent that reads tokens, where somebody else sees and remembers."""

    def __init__(self, agent: TokenAgent) -> None:
        self.policy = agent.policy()

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self.policy.reset(seeds)

    def act(self, logits: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """The actions (n,) of the rows (n,) for which it said these logits (n, A)."""
        return self.policy.choose(logits, rows)


@dataclass(frozen=True)
class _Told:
    """What a plan begins with, where somebody else keeps it in step."""

    state: LatentState

    def reset(self, seeds: Sequence[int]) -> None:
        """Somebody else does."""

    def see(self, observations: np.ndarray, rows: np.ndarray) -> None:
        """Somebody else has seen it."""

    def states(self, rows: np.ndarray) -> LatentState:
        """Where the one row stands."""
        return self.state

    def remember(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """Somebody else will."""
