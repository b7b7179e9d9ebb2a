"""Where a search takes place: its first mean vector, and what its vectors are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from world_models.search.components import Components


@dataclass(frozen=True)
class SearchSpace:
    """A search begins at `start`, a vector of C's own parameters or of weights on components."""

    start: np.ndarray
    # None: C's own parameters
    components: Components | None = None

    @property
    def size(self) -> int:
        """Length of a vector."""
        return len(self.start)

    def controllers(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (P, size) -> C's own parameters (P, N)."""
        return vectors if self.components is None else self.components.expand(vectors)

    def seen(self, features: np.ndarray) -> np.ndarray:
        """Features (n, F) that C sees -> what the weights of a vector apply to (n, k)."""
        return features if self.components is None else self.components.project(features)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: made anew, it would differ in its last digits."""
        components = None if self.components is None else self.components.state()
        return {"start": torch.from_numpy(self.start), "components": components}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "SearchSpace":
        """The inverse of `state`."""
        axes = state["components"]
        components = None if axes is None else Components.from_state(axes)
        return cls(state["start"].numpy(), components)
