"""A dream that goes on from where the game stands, step by step, with dials that turn."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from world_models.data.episode import RUNNING, TERMINATED, TRUNCATED
from world_models.models.draws import RowDraws
from world_models.play.game import Moment
from world_models.play.pins import Pins, pinned
from world_models.runs import seeding
from world_models.worlds.dreaming import BEGINNING, Dream, Rules
from world_models.worlds.latent import LatentWorld
from world_models.worlds.memory import LatentState
from world_models.worlds.pixel import PixelWorld
from world_models.worlds.token import TokenWorld
from world_models.worlds.world import World


@dataclass(frozen=True)
class Dial:
    """What can be turned about a world while it goes on."""

    name: str
    # how far a press of a key turns it, and between which ends
    step: float
    least: float
    most: float


DIALS = (Dial("temperature", 0.1, 0.0, 3.0), Dial("dropout", 0.05, 0.0, 0.95))


def dials_of(world: World[Any]) -> list[Dial]:
    """Those that a world has."""
    return [dial for dial in DIALS if hasattr(world, dial.name)]


class Imagined:
    """One dream: a row of a world, which began at some step of the game."""

    def __init__(self, world: World[Any], state: Any, seed: int) -> None:
        """`seed` is that of all noise to come."""
        self.world, self.state, self.seed = world, state, seed
        self.at = Moment()
        self._picture: np.ndarray | None = None
        self.pins: Pins = {}

    @classmethod
    def after_perception(cls, world: LatentWorld, seen: LatentState, seed: int) -> "Imagined":
        """M's dream of what follows: it begins with z of the newest frame, and M's h and c."""
        draws = RowDraws(*_numbers(world, seed, BEGINNING))
        begun = world.begin(np.zeros(1, int), draws)
        return cls(world, begun._replace(z=seen.z, h=seen.h, c=seen.c), seed)

    @classmethod
    def after_frames(
        cls, world: PixelWorld | TokenWorld, frames: np.ndarray, actions: np.ndarray, seed: int
    ) -> "Imagined":
        """The dream of what follows frames (k, H, W, C) and actions (k-1, ...)."""
        return cls(world, world.after_frames(frames, actions), seed)

    @property
    def age(self) -> int:
        """Steps since it began."""
        return self.at.steps

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.at.done != RUNNING

    @property
    @torch.inference_mode()
    def picture(self) -> np.ndarray:
        """What a person sees of it: uint8 (H, W, 3)."""
        if self._picture is None:
            self._picture = self.world.picture(self.state)[0].cpu().numpy()
        return self._picture

    @property
    def frame(self) -> np.ndarray:
        """The same with as many channels as frames have: uint8 (H, W, C)."""
        return self.picture[..., : self.world.env.preprocessing.channels]

    @property
    @torch.inference_mode()
    def observation(self) -> torch.Tensor:
        """What an agent reads of it, (1, ...)."""
        return self.world.observe(self.state)

    @torch.inference_mode()
    def advance(self, action: np.ndarray, dials: Mapping[str, float], horizon: int) -> None:
        """One step, with the dials as they stand; it ends at the latest after `horizon` steps."""
        dream = Dream(turned(self.world, dials), Rules(max_steps=horizon))
        seeds, steps = _numbers(self.world, self.seed, self.age)
        given = self.world.env.action_space.to_model(action[None])
        actions = torch.from_numpy(given).to(self.world.device)
        after = dream.step(self.state, actions, RowDraws(seeds, steps), steps)
        self.state, self._picture = after.state, None
        self.hold(self.pins)
        done = TERMINATED if after.ended[0] else TRUNCATED if after.late[0] else RUNNING
        chance = None if after.done is None else float(torch.sigmoid(after.done)[0])
        reward = float(after.rewards[0])
        shown = reward if predicts_rewards(self.world) else None
        self.at = Moment(self.age + 1, shown, self.at.total + reward, done, chance)

    def hold(self, pins: Pins) -> None:
        """Some numbers of z stay at these values from now on; a pixel model has none."""
        if isinstance(self.world, LatentWorld):
            self.pins = pins
            self.state = self.state._replace(z=pinned(self.state.z, pins))
            self._picture = None


def turned(world: World[Any], dials: Mapping[str, float]) -> Any:
    """The world with its dials at these values; those that it has not are left out."""
    own: dict[str, Any] = {dial.name: dials[dial.name] for dial in dials_of(world)}
    return replace(world, **own) if isinstance(world, LatentWorld | TokenWorld) else world


def predicts_rewards(world: World[Any]) -> bool:
    """Whether a world's rewards mean anything."""
    if isinstance(world, LatentWorld):
        return world.has_reward
    if isinstance(world, TokenWorld):
        return True
    return isinstance(world, PixelWorld) and bool(world.model.config.get("rewards"))


def noise_of(episode: int, step: int, number: int) -> int:
    """The seed of a dream's noise: its episode's seed, where it begins, how many were before."""
    return seeding.derive(episode, "play", step, number) % (1 << 62)


def _numbers(world: World[Any], seed: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Seed and step, int64 (1,) each, as draws take them."""
    return (
        torch.tensor([seed], dtype=torch.int64, device=world.device),
        torch.tensor([step], dtype=torch.int64, device=world.device),
    )
