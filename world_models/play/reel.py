"""Stored episodes, real and dreamt, stepped through forwards and backwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from world_models.data.episode import RUNNING
from world_models.data.store import EpisodeStore
from world_models.envs.keys import NOBODY, Held, Key
from world_models.play.cast import Cast, Place
from world_models.play.controls import Controls
from world_models.play.distance import psnr
from world_models.play.imagined import Imagined, noise_of, turned
from world_models.play.scene import Curve, Panel, Scene
from world_models.play.showing import numbers, rgb
from world_models.play.stored import Understood, understood

FAR = 10
"""Steps of a leap."""


class Reel:
    """One episode of a store at one of its frames, and a dream of it under the same actions.

    The dream begins at the first frame, or at the one where it was last asked for; it is dreamt on
    as far as it is looked at.
    """

    def __init__(self, store: EpisodeStore, cast: Cast, controls: Controls) -> None:
        self.store, self.cast, self.controls = store, cast, controls
        self.place = controls.place
        if self.place is Place.game and cast.places[1:]:
            self.place = cast.places[1]
        self.runs = False
        self._notice = ""
        self.open(0)

    def open(self, number: int) -> None:
        """The first frame of an episode; past the last one it is the last, and so in front."""
        self.number = min(max(number, 0), len(self.store.rows) - 1)
        self.row = self.store.rows[self.number]
        self.episode = self.store.episode(self.row)
        # a frame of another episode is none of this one's
        self.frames = self.row.length + self.store.has_final_frame
        self.understood: Understood | None = None
        if self.cast.model is not None:
            self.understood = understood(self.cast.model, self.episode, self.frames)
        self.at = 0
        self._dream_from(min(self._context, self.frames) - 1)

    def go(self, by: int) -> None:
        """So many frames on, or back, as far as there are frames."""
        self.at = min(max(self.at + by, 0), self.frames - 1)

    def dream_from_here(self) -> None:
        """The dream begins at this frame."""
        if self.at < self._context - 1:
            name = self.cast.name(self.place)
            self.say(f"{name} reads {self._context} frames: go on to that one")
        else:
            self._dream_from(self.at)

    def say(self, notice: str) -> None:
        """Show a sentence until a key is pressed."""
        self._notice = notice

    def step(self, held: Held = NOBODY) -> None:
        """One frame on, where it runs; after the last comes the next episode's first."""
        if not self.runs:
            return
        if self.at < self.frames - 1:
            self.go(1)
        elif self.number < len(self.store.rows) - 1:
            self.open(self.number + 1)
        else:
            self.runs = False

    @property
    def frame(self) -> np.ndarray:
        """uint8 (H, W, C)."""
        return np.array(self.episode.frames[self.at])

    def scene(self, held: Held = NOBODY, panels: bool = True) -> Scene:
        """What is seen of it."""
        self._dream_on()
        return Scene(
            panels=tuple(self._panels() if panels else [self._real()]),
            header=dict(self._header()),
            keys=(),
            curves=tuple(self._curves()),
            notice=self._notice,
        )

    @property
    def _context(self) -> int:
        """Frames that a dream reads before it begins, the one where it begins included."""
        pixel = self.cast.pixel
        return pixel.context if self.place is Place.pixel and pixel is not None else 1

    def _dream_from(self, begins: int) -> None:
        self.begins = begins
        self.dreamt = [np.array(self.episode.frames[begins])]
        self.dream = self._new_dream()

    def _new_dream(self) -> Imagined | None:
        """One that begins at the frame `begins`; None where no model dreams here."""
        at = self.begins
        seed = noise_of(self.row.seed, at, 0)
        if self.place is Place.dream and self.cast.latent is not None and self.understood:
            world = turned(self.cast.latent, vars(self.controls))
            return Imagined.after_perception(world, self.understood.state(at), seed)
        if self.place is Place.pixel and self.cast.pixel is not None:
            first = at + 1 - self._context
            frames = np.array(self.episode.frames[first : at + 1])
            actions = np.array(self.episode.actions[first:at])
            return Imagined.after_frames(self.cast.pixel, frames, actions, seed)
        return None

    def _dream_on(self) -> None:
        """As far as it is looked at."""
        while self.dream is not None and self.begins + len(self.dreamt) <= self.at:
            action = np.array(self.episode.actions[self.begins + len(self.dreamt) - 1])
            # the stored episode goes on, whatever the dream says of its end
            self.dream.advance(action, vars(self.controls), self.frames + 1)
            self.dreamt.append(self.dream.frame)

    def _real(self) -> Panel:
        return Panel("the episode", rgb(self.frame))

    def _panels(self) -> Iterator[Panel]:
        yield self._real()
        age = self.at - self.begins
        if self.dream is not None:
            shown = rgb(self.dreamt[age]) if age >= 0 else None
            yield Panel(f"{self.cast.name(self.place)}, {max(age, 0)} steps old", shown)
        known, model = self.understood, self.cast.model
        if known is None or model is None:
            return
        latents = torch.stack([known.latents[self.at], known.expected[max(self.at - 1, 0)]])
        drawn = model.decode(latents)
        yield Panel("V's picture of it", rgb(drawn[0]))
        yield Panel("M's guess before it", rgb(drawn[1]) if self.at else None)

    def _header(self) -> Iterator[tuple[str, str]]:
        at, episode = self.at, self.episode
        yield "episode", f"{self.number + 1} of {len(self.store.rows)}"
        yield "split", self.row.split
        yield "step", f"{at} of {self.row.length}"
        yield "action", numbers(np.asarray(episode.actions[at - 1])) if at else ""
        yield "reward", f"{episode.rewards[at - 1]:.2f}" if at else ""
        yield "return", f"{episode.rewards[:at].sum(dtype=np.float64):.1f}"
        if self.understood is not None:
            yield "end", f"{float(self.understood.chances[at - 1]):.0%}" if at else ""
        if at and episode.done[at - 1] != RUNNING:
            yield "over", ""

    def _curves(self) -> Iterator[Curve]:
        """How far the dream has gone from the episode."""
        ages = range(1, self.at - self.begins + 1)
        if self.dream is None or not ages:
            return
        real = self.episode.frames[self.begins :]
        yield Curve("PSNR in dB", tuple(psnr(rgb(self.dreamt[age]), real[age]) for age in ages))


@dataclass(frozen=True)
class Movement:
    """A key, and what it does to a reel."""

    key: Key
    do: Callable[[Reel], None]


def _run_or_stop(reel: Reel) -> None:
    reel.runs = not reel.runs


MOVEMENTS = (
    Movement(Key("right", "a frame on"), lambda reel: reel.go(1)),
    Movement(Key("left", "a frame back"), lambda reel: reel.go(-1)),
    Movement(Key("page up", "ten frames on"), lambda reel: reel.go(FAR)),
    Movement(Key("page down", "ten frames back"), lambda reel: reel.go(-FAR)),
    Movement(Key("down", "the next episode"), lambda reel: reel.open(reel.number + 1)),
    Movement(Key("up", "the one before"), lambda reel: reel.open(reel.number - 1)),
    Movement(Key("space", "run, and stop"), _run_or_stop),
    Movement(Key("tab", "the dream begins at this frame"), Reel.dream_from_here),
)
"""What can be done by keys."""
