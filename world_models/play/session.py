"""A session: one running scene that is told of inputs. It knows no screen, no page and no file."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from world_models.data.episode import Episode
from world_models.envs.keys import NOBODY, Held
from world_models.play.cast import Cast, Place
from world_models.play.controls import Controls, require
from world_models.play.distance import Distance, distance
from world_models.play.drivers import Drivers, Seen
from world_models.play.eyes import Eyes, TokenEyes, eyes_of
from world_models.play.game import Game
from world_models.play.imagined import Imagined, noise_of, turned
from world_models.play.pins import Pins
from world_models.play.scene import Done
from world_models.worlds.latent import LatentWorld
from world_models.worlds.memory import LatentState

NOTICE_STEPS = 90
"""Steps for which a sentence is shown."""


class Session:
    """A game, perhaps a dream that began somewhere in it, and whoever drives.

    Inputs alone move it: `step` by one step, `turn` by changing what is chosen. A dream begins
    where the game stands, with z of its newest frame and M's memory; meanwhile the game waits, or
    steps on as a ghost. A dream that ends begins again where the game then stands, with other
    noise, and says so.
    """

    def __init__(
        self,
        cast: Cast,
        game: Game,
        controls: Controls,
        seeds: Iterator[int],
        keep: Callable[[Episode], None] | None = None,
    ) -> None:
        """`seeds` are those of the game's episodes; `keep` takes those that are to be kept.

        With `keep`, an episode that ends is asked about: see `asks` and `answer`.
        """
        self.cast, self.game, self.seeds, self.keep = cast, game, seeds, keep
        self.controls = Controls()
        self.drivers = Drivers(cast)
        self.eyes = eyes_of(cast)
        self.dream: Imagined | None = None
        self.dream_eyes: Eyes | TokenEyes | None = None
        # what the last step did
        self.done: Done | None = None
        # of the dream and the game beside it, step by step
        self.distances: list[Distance] = []
        # whether the episode that has ended is to be kept
        self.asks = False
        # numbers of z that a person holds
        self.pins: Pins = {}
        self._begin_game()
        self.turn(**vars(controls))

    @property
    def here(self) -> Game | Imagined:
        """Where it is played now."""
        return self.dream or self.game

    def turn(self, **changes: Any) -> None:
        """Change what is chosen, fields of `Controls`; what there is not is a ValueError."""
        before, chosen = self.controls, replace(self.controls, **changes)
        require(chosen, self.cast)
        # a dream that is older than what is played beside it could not be compared with it
        apart = chosen.ghost and not before.ghost and self.dream is not None and self.dream.age > 0
        moves = apart or chosen.place is not before.place
        if moves:
            self._require_answer()
        self.controls = chosen
        if moves:
            self._go(chosen.place)

    def hold(self, pins: Pins) -> None:
        """Keep numbers of z at values: in the dreams of M, and in what is drawn of V.

        Nobody who plays the game sees them. What there is not to hold is a ValueError.
        """
        count = 0 if self.latent is None else self.latent.shape[1]
        if not all(0 <= number < count for number in pins):
            raise ValueError(f"z has {count} numbers here: hold one of them")
        self.pins = pins
        if isinstance(self.eyes, Eyes):
            self.eyes.hold(pins)
        if self.dream is not None:
            self.dream.hold(pins)

    @property
    def latent(self) -> Tensor | None:
        """z (1, L) of M's dream where it is played there, else of the game's frame."""
        if self.dream is not None and isinstance(self.dream.world, LatentWorld):
            return self.dream.state.z
        return self.eyes.shown if isinstance(self.eyes, Eyes) else None

    def reset(self) -> None:
        """The next episode of the game; a dream, if one is on, begins at its first frame."""
        self._require_answer()
        self._begin_game()
        self._go(self.controls.place)

    def step(self, held: Held = NOBODY) -> None:
        """One step, unless it is paused or asks something."""
        self.done = None
        if not self.controls.paused:
            self.step_once(held)

    def step_once(self, held: Held = NOBODY) -> None:
        """One step, also where it is paused: the driver acts, or what is over begins again."""
        self.done = None
        if self.asks:
            return
        self._notice_left -= 1
        if self.here.is_over:
            self._begin_again()
        else:
            self._advance(self.drivers.act(self.controls.driver, held, self._seen()))

    def answer(self, keep: bool) -> None:
        """Whether the episode that has ended is kept."""
        assert self.asks and self.keep is not None, "nothing was asked"
        if keep:
            self.keep(self.game.tape.episode(self.game.seed))
        self.asks = False
        self.say("the episode is kept" if keep else "the episode is not kept")

    def say(self, notice: str) -> None:
        """Show a sentence for a while."""
        self._notice, self._notice_left = notice, NOTICE_STEPS

    @property
    def notice(self) -> str:
        """The sentence that is shown."""
        return self._notice if self._notice_left > 0 else ""

    def close(self) -> None:
        """Let the environment go."""
        self.game.close()

    def _require_answer(self) -> None:
        if self.asks:
            raise ValueError("first say whether the episode that has ended is kept: y or n")

    def _begin_game(self) -> None:
        self.game.begin(next(self.seeds))
        self.drivers.begin(self.game.seed)
        if self.eyes is not None:
            self.eyes.begin(self.game.seed, self.game.frame)
        self.done = None
        self.asks, self.dreams = False, 0
        self.say("")
        self._leave()

    def _leave(self) -> None:
        self.dream = self.dream_eyes = None
        self.distances = []

    def _go(self, place: Place) -> None:
        """Hand over to a world where the game stands, or back to the game."""
        self._leave()
        if place is Place.game:
            self.say(f"the game goes on at step {self.game.at.steps}" if self.dreams else "")
            return
        if self.game.is_over:
            self._begin_game()
        self.dream = self._dream_here(place)

    def _dream_here(self, place: Place) -> Imagined | None:
        """A dream that begins where the game stands; None where a model saw too little."""
        steps = self.game.at.steps
        seed = noise_of(self.game.seed, steps, self.dreams)
        dream = self._dream_of_m(seed) if place is Place.dream else self._dream_of_frames(seed)
        if dream is not None:
            self.dreams += 1
            self.say(f"dream {self.dreams} begins at step {steps} of the game")
        return dream

    def _dream_of_m(self, seed: int) -> Imagined:
        assert isinstance(self.eyes, Eyes) and self.cast.latent is not None
        world = turned(self.cast.latent, vars(self.controls))
        dream = Imagined.after_perception(world, self.eyes.state, seed)
        dream.hold(self.pins)
        return dream

    def _dream_of_frames(self, seed: int) -> Imagined | None:
        assert self.cast.pixel is not None
        context = self.cast.pixel.context
        if len(self.game.tape.frames) < context:
            name = self.cast.name(Place.pixel)
            self.say(f"{name} takes over once it has seen {context} frames")
            return None
        frames, actions = self.game.tape.newest(context)
        if self.eyes is not None and self.cast.agent_sees_pixel_model:
            self.dream_eyes = self.eyes.copy(self.game.seed, self.game.frame)
        return Imagined.after_frames(self.cast.pixel, frames, actions, seed)

    def _begin_again(self) -> None:
        at, what = self.here.at, "the episode" if self.dream is None else f"dream {self.dreams}"
        if self.dream is None:
            self.reset()
        else:
            self._go(self.controls.place)
        follows = self.notice or "the next one begins"
        self.say(f"{what} ended after {at.steps} steps, return {at.total:.1f}; {follows}")

    def _seen(self) -> Seen | None:
        """What V and M know where it is played."""
        eyes = self.eyes if self.dream is None else self.dream_eyes
        if eyes is not None:
            return Seen(eyes.features, eyes.state)
        if self.dream is None:
            return None
        state = None
        if isinstance(self.dream.world, LatentWorld):
            known = self.dream.state
            state = LatentState(known.z, known.h, known.c)
        return Seen(self.dream.observation, state)

    def _advance(self, action: np.ndarray) -> None:
        if self.dream is None:
            frame = self.game.frame
            self._advance_game(action)
        else:
            frame = self._advance_dream(self.dream, action)
        at = self.here.at
        reward = float("nan") if at.reward is None else at.reward
        self.done = Done(frame, action, reward, at.done, self.dream is not None)
        if self.dream is None and self.controls.place is not Place.game and not self.game.is_over:
            self.dream = self._dream_here(self.controls.place)

    def _advance_game(self, action: np.ndarray) -> None:
        if self.eyes is not None:
            self.eyes.remember(action)
        self.game.advance(action)
        if self.eyes is not None:
            self.eyes.see(self.game.frame)
        self.asks = self.keep is not None and self.game.is_over

    def _advance_dream(self, dream: Imagined, action: np.ndarray) -> np.ndarray:
        """One step of a dream and of its ghost; returns the frame that the dream showed before."""
        frame = dream.frame
        dream.advance(action, vars(self.controls), self.controls.horizon)
        if self.dream_eyes is not None:
            self.dream_eyes.remember(action)
            self.dream_eyes.see(dream.frame)
        if self.controls.ghost and not self.game.is_over:
            self._advance_game(action)
            self.distances.append(distance(dream, self.game, self.eyes))
        return frame
