"""The principal components of what C sees: axes for a search in fewer parameters."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Components:
    """An orthonormal frame of k axes through the mean of the features that C sees.

    A search vector has the weights (outputs, k) on the components, row-major, then everything that
    C's own vector has after its first layer's weights. Components are not scaled: a change of a
    weight counts by how much its component varies, as with the features themselves. But along
    these axes a variance that is adapted means something.
    """

    # (F,)
    mean: np.ndarray
    # (F, k)
    axes: np.ndarray
    # of C's first layer
    outputs: int

    def size(self, parameters: int) -> int:
        """Length of a search vector where C's own has so many."""
        features, kept = self.axes.shape
        return parameters - self.outputs * (features - kept)

    def expand(self, vectors: np.ndarray) -> np.ndarray:
        """Search vectors (P, size) -> the same controllers as C's own parameters (P, N)."""
        kept = self.axes.shape[1]
        outputs = self.outputs
        weight = vectors[:, : outputs * kept].reshape(-1, outputs, kept) @ self.axes.T
        bias, rest = np.split(vectors[:, outputs * kept :], [outputs], axis=1)
        return np.concatenate(
            [weight.reshape(len(vectors), -1), bias - weight @ self.mean, rest], axis=1
        )

    def project(self, features: np.ndarray) -> np.ndarray:
        """Features (n, F) -> their components (n, k)."""
        return (features - self.mean) @ self.axes

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
        raise ValueError(
            f"stage.components is {kept}, and C sees {features} features: take no more than that"
        )


def principal_components(features: np.ndarray, kept: int, outputs: int) -> Components:
    """The `kept` axes along which features (n, F) vary most."""
    assert kept <= features.shape[1], (kept, features.shape)
    mean = features.mean(0)
    _, axes = np.linalg.eigh(np.cov(features.T))
    axes = axes[:, ::-1][:, :kept]
    largest = axes[np.abs(axes).argmax(0), np.arange(kept)]
    return Components(mean, np.ascontiguousarray(axes * np.sign(largest)), outputs)


def search_components(features: np.ndarray, kept: int, outputs: int) -> Components:
    """Components for a search among features (n, F); logs how much of the variance they hold."""
    components = principal_components(features, kept, outputs)
    seen = components.project(features)
    log.info(
        "the search is in %d components of the %d features that C sees; "
        "they hold %.1f %% of the variance",
        kept,
        features.shape[1],
        100 * seen.var(0).sum() / features.var(0).sum(),
    )
    return components
