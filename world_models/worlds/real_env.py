"""The environment of a run, of which agents observe what they observe in its dream."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from world_models.data.view import View
from world_models.envs.make import Backend, make_vector_env
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.slots import RawObservations, SlotVectorEnv, Transitions
from world_models.worlds.dream_env import observed
from world_models.worlds.inference import padded
from world_models.worlds.latent import WorldModel, load_world_model
from world_models.worlds.memory import LatentState
from world_models.worlds.opening import OF_TOKENS, dreaming_run
from world_models.worlds.pixel import load_pixel_predictor
from world_models.worlds.world import place, select


class Senses(Protocol):
    """What an agent observes of N slots that show frames (N, H, W, C) uint8."""

    def begin(self, slots: np.ndarray, frames: np.ndarray) -> torch.Tensor:
        """Observations (n, ...) of `slots` (n,), which show the first frames of episodes."""

    def go_on(self, slots: np.ndarray, actions: np.ndarray, frames: np.ndarray) -> torch.Tensor:
        """Those of `slots` (n,) after the actions (N, ...) that led to what they show."""


class Features:
    """V sees each frame and M remembers: the features that C sees.

    All slots go through V and M as one batch that is always equally wide, so that what a slot
    observes depends on its own frames and actions alone.
    """

    def __init__(self, model: WorldModel, num_envs: int) -> None:
        self.model = model
        self.width = padded(num_envs)
        latents = torch.zeros(self.width, model.mdrnn.latents, device=model.device)
        self._state = model.memory.begin(latents)

    def begin(self, slots: np.ndarray, frames: np.ndarray) -> torch.Tensor:
        """As in `Senses`: M has read nothing yet."""
        return self._take(slots, self.model.memory.begin(self._latents(frames)))

    def go_on(self, slots: np.ndarray, actions: np.ndarray, frames: np.ndarray) -> torch.Tensor:
        """As in `Senses`: M reads what was seen before, and the actions."""
        done = self.model.env.action_space.to_model(self._filled(actions))
        given = torch.from_numpy(done).to(self.model.device)
        hidden = self.model.memory.read(self._state, given)
        return self._take(slots, LatentState(self._latents(frames), *hidden))

    def _latents(self, frames: np.ndarray) -> torch.Tensor:
        return self.model.encode(self._filled(frames))

    def _filled(self, values: np.ndarray) -> np.ndarray:
        """Values (N, ...) repeated to the width of a batch."""
        return values[np.arange(self.width) % len(values)]

    def _take(self, slots: np.ndarray, new: LatentState) -> torch.Tensor:
        rows = torch.from_numpy(slots).to(self.model.device)
        own = select(new, rows)
        self._state = place(self._state, rows, own)
        return self.model.features(*own)


class Pictures:
    """Frames as a pixel model sees them, uint8 (n, H, W, C)."""

    def __init__(self, view: View) -> None:
        self.view = view

    def begin(self, slots: np.ndarray, frames: np.ndarray) -> torch.Tensor:
        """As in `Senses`."""
        seen = self.view(torch.from_numpy(frames[slots]), "cpu")
        return (seen * 255).round().byte().movedim(1, -1)

    def go_on(self, slots: np.ndarray, actions: np.ndarray, frames: np.ndarray) -> torch.Tensor:
        """As in `Senses`."""
        return self.begin(slots, frames)


class RealEnv(SlotVectorEnv):
    """The environment itself, behind what `senses` make of its frames."""

    def __init__(self, envs: PixelVectorEnv, senses: Senses) -> None:
        self.envs = envs
        self.senses = senses
        self.has_final_frame = envs.has_final_frame
        blank = np.zeros(envs.observation_space.shape or (), np.uint8)
        with torch.inference_mode():
            shown = senses.begin(np.zeros(1, int), blank)
        # the slots inside repeat actions and know when an episode is cut
        spec = replace(envs.env_spec, frame_skip=1)
        super().__init__(spec, envs.num_envs, observed(shown[0]))

    def render(self) -> tuple[np.ndarray, ...]:
        """The picture of every slot, as the environment draws it: uint8 (H, W, 3) each."""
        return self.envs.render()

    def close_extras(self, **kwargs: object) -> None:
        """Close the environment."""
        self.envs.close()

    @torch.inference_mode()
    def _begin(self, slots: np.ndarray, seeds: list[int]) -> RawObservations:
        mask = np.isin(np.arange(self.num_envs), slots)
        frames, _ = self.envs.reset(seed=seeds, options={"reset_mask": mask})
        return self.senses.begin(slots, frames).cpu().numpy()

    @torch.inference_mode()
    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        self.envs.stop(~np.isin(np.arange(self.num_envs), slots))
        given = np.resize(actions, (self.num_envs, *actions.shape[1:]))
        given[slots] = actions
        frames, rewards, terminated, truncated, _ = self.envs.step(given)
        seen = self.senses.go_on(slots, given, frames).cpu().numpy()
        return seen, rewards[slots], terminated[slots], truncated[slots]


def open_real(run: str | Path, num_envs: int, device: str = "cpu", threads: int = 1) -> RealEnv:
    """The environment of a run that dreams, behind V and M or as its model of frames sees it.

    `run` is as for `open_dream`; `threads` step it where its engine has threads. What an agent
    observes has the shape and the meaning that it has in the dream.
    """
    past = dreaming_run(run)
    if past.stage in OF_TOKENS:
        envs = make_vector_env(past.env, Backend.auto, num_envs, threads)
        return RealEnv(envs, Pictures(View(None, False)))
    if past.stage == "pixel":
        predictor = load_pixel_predictor(past.best, device)
        envs = make_vector_env(predictor.env, Backend.auto, num_envs, threads)
        return RealEnv(envs, Pictures(predictor.view))
    model = load_world_model(past.input("vae"), past.best, past.env, device=device)
    envs = make_vector_env(model.env, Backend.auto, num_envs, threads)
    return RealEnv(envs, Features(model, num_envs))
