"""Who acts: a person's hands, C on what is seen, or chance."""

import numpy as np
import torch

from world_models.agents.control import ControllerPolicy
from world_models.agents.policy import RandomPolicy
from world_models.envs.keys import Held
from world_models.play.cast import Cast, Driver
from world_models.play.eyes import ROW


class Drivers:
    """All who may act in an episode; they take over from each other at any step."""

    def __init__(self, cast: Cast) -> None:
        self.keyboard = cast.env.family.keys(cast.env)
        self.random = RandomPolicy(cast.env.action_space)
        self.controller = None
        if cast.controller is not None and cast.model is not None:
            inputs, device = cast.model.controller_inputs, cast.model.device
            space = cast.env.action_space
            self.controller = ControllerPolicy(inputs, space, cast.controller[None], 0, device)

    def begin(self, seed: int) -> None:
        """An episode of this seed."""
        self.action = self.keyboard.rest
        self.random.reset([seed])
        if self.controller is not None:
            self.controller.reset([seed])

    def act(self, driver: Driver, held: Held, features: torch.Tensor | None) -> np.ndarray:
        """The action (...) of one of them; C reads features (1, F)."""
        if driver is Driver.person:
            self.action = self.keyboard.move(self.action, held)
        elif driver is Driver.random:
            self.action = self.random.act(np.empty(0), ROW)[0]
        else:
            assert self.controller is not None and features is not None, driver
            self.action = self.controller.act(features, ROW)[0]
        return np.asarray(self.action)
