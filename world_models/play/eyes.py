"""V and M on the frames of one episode: what is seen, remembered and expected."""

from dataclasses import dataclass

import numpy as np
import torch

from world_models.agents.perception import Perception
from world_models.agents.token_agent import TokenAgent
from world_models.agents.token_policy import TokenSight
from world_models.models.actor_critic import ActorState
from world_models.models.mdrnn import mixture_mean
from world_models.play.cast import Cast
from world_models.play.pins import Pins, pinned
from world_models.worlds.latent import WorldModel
from world_models.worlds.memory import LatentState

ROW = np.zeros(1, int)


@dataclass(frozen=True)
class Guess:
    """What M expects of the next frame."""

    # (1, L)
    latent: torch.Tensor
    # probability of the end
    chance: float


class Eyes:
    """Perception of one row; M always runs, whatever a controller reads."""

    sees, keeps = "what V sees", "V's picture of it"

    def __init__(self, model: WorldModel) -> None:
        self.model = model
        self.perception = Perception(model, with_memory=True)
        # what was expected of the newest frame; None of the first one
        self.guess: Guess | None = None
        # with the guess, and without: to draw costs more than all else here
        self._drawn: dict[bool, np.ndarray] = {}
        self.pins: Pins = {}

    def begin(self, seed: int, frame: np.ndarray) -> None:
        """Nothing is remembered at the first frame (H, W, C) of an episode."""
        self.perception.reset([seed])
        self.guess = None
        self.see(frame)

    def see(self, frame: np.ndarray) -> None:
        """The newest frame (H, W, C) uint8; `features` (1, F) is what C sees of it."""
        self.features = self.perception.see(frame[None], ROW)
        self._drawn = {}

    @torch.inference_mode()
    def remember(self, action: np.ndarray) -> None:
        """M reads what was seen and the action (...) done there, and says what it expects."""
        self.perception.remember(action[None], ROW)
        mus, _, logpi, _, done = self.model.memory.foresee(self.perception.state.h)
        self.guess = Guess(mixture_mean(mus, logpi), float(torch.sigmoid(done)[0]))

    def draw(self, with_guess: bool = True) -> np.ndarray:
        """What V keeps of the newest frame, and what was expected: uint8 (1 or 2, H, W, C)."""
        if with_guess not in self._drawn:
            guess = [self.guess.latent] if self.guess is not None and with_guess else []
            self._drawn[with_guess] = self.model.decode(torch.cat([self.shown, *guess]))
        return self._drawn[with_guess]

    @property
    def shown(self) -> torch.Tensor:
        """z (1, L) as it is drawn: numbers that a person holds are where they are held."""
        return pinned(self.perception.state.z, self.pins)

    def hold(self, pins: Pins) -> None:
        """Draw z with these numbers in it; nobody acts on them."""
        self.pins, self._drawn = pins, {}

    @property
    def state(self) -> LatentState:
        """z of the newest frame, and M's h and c before it: where a dream can begin."""
        return LatentState(*(part.clone() for part in self.perception.state))

    def copy(self, seed: int, frame: np.ndarray) -> "Eyes":
        """Other eyes at the same frame (H, W, C), with the same memory."""
        other = Eyes(self.model)
        other.perception.reset([seed])
        other.perception.state = self.state
        other.see(frame)
        return other


class TokenEyes:
    """The sight of an agent that reads tokens, one row."""

    sees, keeps = "what the agent sees", "what its tokens keep of it"
    guess: Guess | None = None
    # it has no dream of its own to begin
    state: LatentState | None = None

    def __init__(self, agent: TokenAgent) -> None:
        self.agent = agent
        self.sight = TokenSight(agent.tokenizer, agent.model, agent.env.action_space)

    def begin(self, seed: int, frame: np.ndarray) -> None:
        """Nothing is remembered at the first frame (H, W, C) of an episode."""
        self.sight.reset([seed])
        self.see(frame)

    def see(self, frame: np.ndarray) -> None:
        """The newest frame (H, W, C) uint8; `features` (1, A) are the actor's logits."""
        self.frame = frame
        self.features = self.sight.see(frame[None], ROW)

    def remember(self, action: np.ndarray) -> None:
        """Take in the action (...) done on what was seen."""
        self.sight.remember(action[None], ROW)

    def draw(self, with_guess: bool = True) -> np.ndarray:
        """What tokens keep of the newest frame, uint8 (1, H, W, C)."""
        return self.agent.reconstruct(self.frame[None])

    def copy(self, seed: int, frame: np.ndarray) -> "TokenEyes":
        """Other eyes at the same frame (H, W, C), with the same memory."""
        other = TokenEyes(self.agent)
        other.sight.state = ActorState(*(part.clone() for part in self.sight.state))
        other.frame, other.features = frame, self.features
        return other


def eyes_of(cast: Cast) -> Eyes | TokenEyes | None:
    """Those of whoever is there to see."""
    if cast.tokens is not None:
        return TokenEyes(cast.tokens)
    return None if cast.model is None else Eyes(cast.model)
