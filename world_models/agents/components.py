"""The principal components of what C sees: axes for a search that has more parameters than it can learn about."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from world_models.agents.agent import WorldModel
from world_models.data.episode import Episode
from world_models.data.latents import BATCH_SIZE
from world_models.data.store import EpisodeStore

EPISODES = 48
"""Training episodes, evenly spread, whose features are decomposed."""

ABREAST = 16
"""Episodes that M plays side by side."""


@dataclass(frozen=True)
class Components:
    """An orthonormal frame of k axes (F, k) through the mean feature (F,), for a controller whose first layer has `outputs`.

    A search vector has the weights (outputs, k) on the components, row-major, then everything that C's own vector has
    after its first layer's weights. Components are not scaled: a change of a weight counts by how much its component
    varies, as with the features themselves, but the axes are those along which an adapted variance means something.
    """

    mean: np.ndarray
    axes: np.ndarray
    outputs: int

    def size(self, parameters: int) -> int:
        """Length of a search vector where C's own has so many."""
        features, kept = self.axes.shape
        return parameters - self.outputs * (features - kept)

    def expand(self, vectors: np.ndarray) -> np.ndarray:
        """Search vectors (P, k-many) -> the same controllers as vectors of C's own parameters (P, N)."""
        kept, outputs = self.axes.shape[1], self.outputs
        weight = vectors[:, : outputs * kept].reshape(-1, outputs, kept) @ self.axes.T
        bias, rest = np.split(vectors[:, outputs * kept :], [outputs], axis=1)
        return np.concatenate([weight.reshape(len(vectors), -1), bias - weight @ self.mean, rest], axis=1)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: taken anew, axes would differ in their last digits."""
        return {
            "mean": torch.from_numpy(self.mean),
            "axes": torch.from_numpy(self.axes),
            "outputs": self.outputs,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Components":
        """The inverse of `state`."""
        return cls(state["mean"].numpy(), state["axes"].numpy(), state["outputs"])


def check_components(kept: int | None, features: int) -> None:
    """More components than there are features is a ValueError."""
    if kept is not None and kept > features:
        raise ValueError(f"stage.components is {kept}, and C sees {features} features: take no more than that")


def principal_components(features: np.ndarray, kept: int, outputs: int) -> Components:
    """The `kept` axes along which features (n, F) vary most."""
    assert kept <= features.shape[1], (kept, features.shape)
    mean = features.mean(0)
    _, axes = np.linalg.eigh(np.cov(features.T))
    axes = axes[:, ::-1][:, :kept]
    largest = axes[np.abs(axes).argmax(0), np.arange(kept)]
    return Components(mean, np.ascontiguousarray(axes * np.sign(largest)), outputs)


@torch.inference_mode()
def observed_features(world: WorldModel, store: EpisodeStore) -> np.ndarray:
    """What C would have seen (n, F) float64, by V's mean latents, before each step of up to EPISODES training episodes."""
    rows = store.episodes("train")
    rows = [rows[index] for index in np.unique(np.linspace(0, len(rows) - 1, EPISODES).round().astype(int))]
    seen = []
    for first in range(0, len(rows), ABREAST):
        seen += _played(world, [store.episode(row) for row in rows[first : first + ABREAST]])
    return torch.cat(seen).double().cpu().numpy()


def _played(world: WorldModel, episodes: list[Episode]) -> list[torch.Tensor]:
    """Features (n, F) of each time step of episodes played abreast; those that are over drop out."""
    actions = [
        torch.from_numpy(np.array(world.env.action_space.to_model(episode.actions[:-1]))) for episode in episodes
    ]
    latents = [_encoded(world, episode.frames[:-1]) for episode in episodes]
    lengths = np.array([len(steps) for steps in actions])
    order = np.argsort(-lengths, kind="stable")
    padded = [torch.nn.utils.rnn.pad_sequence([values[index] for index in order]) for values in (latents, actions)]
    h, c = world.cell.get_init_hidden(len(episodes))
    seen = []
    for step in range(lengths.max()):
        count = int((lengths > step).sum())
        h, c = h[:count], c[:count]
        latent, action = (values[step, :count].to(world.device) for values in padded)
        seen.append(world.features(latent, h, c))
        h, c = world.cell.advance(action, latent, (h, c))
    return seen


def _encoded(world: WorldModel, frames: np.ndarray) -> torch.Tensor:
    """Latents (n, L) of frames (n, H, W, C), a batch at a time."""
    return torch.cat([world.encode(frames[start : start + BATCH_SIZE]) for start in range(0, len(frames), BATCH_SIZE)])
