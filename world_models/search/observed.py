"""What C would have seen in recorded episodes, and what was done there."""

from dataclasses import dataclass

import numpy as np
import torch

from world_models.data.encoded import ENCODE_BATCH_SIZE
from world_models.data.episode import Episode
from world_models.data.store import EpisodeStore
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import tracked
from world_models.worlds.latent import WorldModel
from world_models.worlds.memory import LatentState

OBSERVED_EPISODES = 48
"""Training episodes, evenly spread, that are looked at."""

PLAYED_SIDE_BY_SIDE = 16
"""Episodes that M plays side by side."""


@dataclass(frozen=True)
class Observed:
    """What C would have seen by V's mean latents, and what was done then."""

    # (n, F) float64
    features: np.ndarray
    # (n, ...)
    actions: np.ndarray


@torch.inference_mode()
def observe(world: WorldModel, store: EpisodeStore) -> Observed:
    """Every step of up to OBSERVED_EPISODES training episodes."""
    training = store.episodes("train")
    rows = [training[index] for index in np.unique(evenly_spaced(len(training), OBSERVED_EPISODES))]
    seen: list[torch.Tensor] = []
    done: list[np.ndarray] = []
    starts = range(0, len(rows), PLAYED_SIDE_BY_SIDE)
    for first in tracked("look at M's episodes", starts, len(starts), "batches"):
        episodes = [store.episode(row) for row in rows[first : first + PLAYED_SIDE_BY_SIDE]]
        episodes.sort(key=lambda episode: -len(episode.actions))
        seen += _played(world, episodes)
        done += _done(episodes)
    return Observed(torch.cat(seen).double().cpu().numpy(), np.stack(done))


def _done(episodes: list[Episode]) -> list[np.ndarray]:
    """The actions of each time step of episodes, the longest first, in the order of `_played`."""
    done: list[np.ndarray] = []
    for step in range(len(episodes[0].actions) - 1):
        running = [episode for episode in episodes if step < len(episode.actions) - 1]
        done += [episode.actions[step] for episode in running]
    return done


def _played(world: WorldModel, episodes: list[Episode]) -> list[torch.Tensor]:
    """Features (n, F) of each time step of episodes, the longest first, played side by side.

    Those that are over drop out.
    """
    actions = [
        torch.from_numpy(np.array(world.env.action_space.to_model(episode.actions[:-1])))
        for episode in episodes
    ]
    latents = [_encoded(world, episode.frames[:-1]) for episode in episodes]
    lengths = np.array([len(steps) for steps in actions])
    padded = [torch.nn.utils.rnn.pad_sequence(values) for values in (latents, actions)]
    hidden = world.cell.get_init_hidden(len(episodes))
    seen = []
    for step in range(lengths.max()):
        running = slice(int((lengths > step).sum()))
        latent, action = (values[step, running].to(world.device) for values in padded)
        state = LatentState(latent, *(part[running] for part in hidden))
        seen.append(world.features(*state))
        hidden = world.memory.read(state, action)
    return seen


def _encoded(world: WorldModel, frames: np.ndarray) -> torch.Tensor:
    """Latents (n, L) of frames (n, H, W, C), a batch at a time."""
    return torch.cat(
        [
            world.encode(frames[start : start + ENCODE_BATCH_SIZE])
            for start in range(0, len(frames), ENCODE_BATCH_SIZE)
        ]
    )
