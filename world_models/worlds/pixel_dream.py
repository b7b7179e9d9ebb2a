"""A trained pixel model as an environment: episodes begin at stored frames and go on in the model alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from world_models.data.datasets import SequenceDataset
from world_models.data.store import EpisodeStore
from world_models.data.windows import PixelWindows
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import Preprocessing
from world_models.envs.slots import Transitions
from world_models.envs.spec import EnvSpec
from world_models.runs import seeding
from world_models.runs.lineage import input_of
from world_models.worlds.inference import INFERENCE_MULTIPLE
from world_models.worlds.pixel import PixelWorld, load_pixel_world

STARTS = 4096
"""Most stored windows at which an episode may begin, evenly spread over the held-out episodes."""


class PixelDream(PixelVectorEnv):
    """What the model predicts is what is seen; its heads give reward and end, without them there is neither.

    An episode's seed chooses the stored window at whose last frame it begins. It ends where the model thinks an end more
    likely than not, and is truncated after `max_steps`. Every slot is a row of a batch that is always equally wide, so an
    episode depends on its seed and actions alone.
    """

    def __init__(
        self, world: PixelWorld, store: EpisodeStore, num_envs: int, max_steps: int = 200
    ) -> None:
        """`store` holds the episodes that the model was trained from: those that it has not seen are begun at."""
        super().__init__(dreamt(world, max_steps), num_envs)
        self.world, self.max_steps = world, max_steps
        store, context = world.split(store), world.model.context
        split = "validation" if store.episodes("validation") else "train"
        data = SequenceDataset(store, split, context)
        self.starts = PixelWindows(data, context, STARTS, world.env.action_space, world.view)
        width = -(-num_envs // INFERENCE_MULTIPLE) * INFERENCE_MULTIPLE
        frames = self.env_spec.preprocessing
        shape = (frames.channels, frames.size, frames.size)
        self._seen = torch.zeros(width, context, *shape, device=world.device)
        self._done_before = torch.zeros(
            width, context - 1, world.env.action_space.size, device=world.device
        )
        self._steps = np.zeros(num_envs, int)

    def _begin(self, slots: np.ndarray, seeds: list[int]) -> Sequence[np.ndarray]:
        chosen = np.array(
            [seeding.generator(seed, "dream").integers(len(self.starts)) for seed in seeds]
        )
        window = self.starts.load(chosen, str(self.world.device))
        self._seen[slots], self._done_before[slots] = window.context, window.actions[:, :-1]
        self._steps[slots] = 0
        return pictures(window.context[:, -1])

    @torch.inference_mode()
    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        newest = torch.zeros(
            len(self._seen), 1, self._done_before.shape[2], device=self.world.device
        )
        newest[slots, 0] = torch.from_numpy(self.env_spec.action_space.to_model(actions)).to(newest)
        given = torch.cat([self._done_before, newest], dim=1)
        found = self.world.model(self._seen, given)
        self._seen[slots] = torch.cat(
            [self._seen[slots, 1:], found.frame[slots, None].float()], dim=1
        )
        self._done_before[slots] = given[slots, 1:]
        self._steps[slots] += 1
        rewards = (
            np.zeros(len(slots), np.float32)
            if found.reward is None
            else found.reward[slots].float().cpu().numpy()
        )
        ended = (
            np.zeros(len(slots), bool)
            if found.done is None
            else (found.done[slots] > 0).cpu().numpy()
        )
        return (
            pictures(self._seen[slots, -1]),
            rewards,
            ended,
            ~ended & (self._steps[slots] >= self.max_steps),
        )


def dreamt(world: PixelWorld, max_steps: int) -> EnvSpec:
    """The environment that the model stands for: it shows frames as the model sees them, one for each action."""
    pre = world.env.preprocessing
    frames = Preprocessing(
        (0, 0, 0, 0), world.view.size or pre.size, world.view.grayscale or pre.grayscale
    )
    return replace(world.env, preprocessing=frames, frame_skip=1, max_episode_steps=max_steps)


def pictures(frames: torch.Tensor) -> list[np.ndarray]:
    """Frames (n, C, H, W) in [0, 1] -> n pictures (H, W, 3) uint8."""
    shown = (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return list(np.broadcast_to(shown, (*shown.shape[:3], 3)))


def open_dream(
    run: str | Path, num_envs: int, max_steps: int = 200, device: str = "cpu"
) -> PixelDream:
    """The dream of a finished stage=pixel run, or of the one in a chain of stages: its best model, and the episodes from
    which it was trained."""
    run = Path(run)
    run = run / "pixel" if (run / "pixel" / "manifest.json").is_file() else run
    world = load_pixel_world(run / "checkpoints" / "best.pt", device)
    return PixelDream(
        world, EpisodeStore.open(input_of(run, "episodes").parent), num_envs, max_steps
    )
