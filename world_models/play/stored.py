"""A stored episode, and what V and M make of it at each of its steps."""

from dataclasses import dataclass

import numpy as np
import torch

from world_models.data.episode import Episode
from world_models.models.mdrnn import mixture_mean
from world_models.worlds.latent import WorldModel
from world_models.worlds.memory import LatentState

FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class Understood:
    """Of the F frames of an episode: latents, M's memory before each, and what it expected."""

    # (F, L)
    latents: torch.Tensor
    # (F, H) each: before it read the frame
    h: torch.Tensor
    c: torch.Tensor
    # (F - 1, L): of the frames from the second on
    expected: torch.Tensor
    # (F - 1,): probabilities of the end with the steps that lead to them
    chances: torch.Tensor

    def state(self, step: int) -> LatentState:
        """Where a dream that begins at a frame begins."""
        rows = slice(step, step + 1)
        return LatentState(self.latents[rows], self.h[rows], self.c[rows])


@torch.inference_mode()
def understood(model: WorldModel, episode: Episode, frames: int) -> Understood:
    """V and M on the first `frames` frames of an episode, from an empty memory."""
    starts = range(0, frames, FRAMES_AT_ONCE)
    parts = [episode.frames[start : min(frames, start + FRAMES_AT_ONCE)] for start in starts]
    latents = torch.cat([model.encode(np.array(part)) for part in parts])
    given = model.env.action_space.to_model(np.array(episode.actions[: frames - 1]))
    actions = torch.from_numpy(given).to(latents.device)
    state = model.memory.begin(latents[:1])
    memories = [(state.h, state.c)]
    for _, hidden in model.memory.follow(latents[:-1, None], actions[:, None]):
        memories.append(hidden)
    h, c = (torch.cat(parts) for parts in zip(*memories, strict=True))
    mus, _, logpi, _, done = model.memory.foresee(h[1:])
    return Understood(latents, h, c, mixture_mean(mus, logpi), torch.sigmoid(done))
