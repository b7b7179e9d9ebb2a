"""M over time: the one place where it is rolled forward."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from world_models.models.mdrnn import Hidden, Masks, MDRNNCell, Prediction


class LatentState(NamedTuple):
    """What V and M know of B episodes."""

    # (B, L) the newest latent, which M has not read yet
    z: Tensor
    # (B, H) M's output
    h: Tensor
    # (B, H) M's cell state
    c: Tensor

    @property
    def masks(self) -> None:
        """Nothing is dropped."""


class DroppedState(NamedTuple):
    """As LatentState, of episodes in which M reads only part of z and h, the same all through."""

    # (B, L)
    z: Tensor
    # (B, H)
    h: Tensor
    # (B, H)
    c: Tensor
    # (B, L) and (B, H): see Masks
    keep_z: Tensor
    keep_h: Tensor

    @property
    def masks(self) -> Masks:
        """What M reads."""
        return Masks(self.keep_z, self.keep_h)


class Memory:
    """M, which reads a latent and the action that was done there, and foresees what follows."""

    def __init__(self, cell: MDRNNCell) -> None:
        self.cell = cell

    def begin(self, latents: Tensor) -> LatentState:
        """Episodes at their first latents (B, L): M has read nothing."""
        return LatentState(latents, *self.cell.get_init_hidden(len(latents)))

    def read(self, state: LatentState | DroppedState, actions: Tensor) -> Hidden:
        """M's (h, c), each (B, H), after it has read state.z and the actions (B, A) done there."""
        return self.cell.advance(actions, state.z, (state.h, state.c), state.masks)

    def foresee(self, h: Tensor) -> Prediction:
        """What follows a step after which M's output is h (B, H).

        The mixture mus, sigmas (B, K, L) and logpi (B, K) or (B, K, L) of the next latent, reward
        (B,), done (B,) as logits.
        """
        return self.cell.foresee(h)

    def follow(self, latents: Tensor, actions: Tensor) -> Iterator[tuple[LatentState, Hidden]]:
        """True latents (T, B, L) and actions (T, B, A), from a zero state.

        Each step gives the state before it, and M's (h, c) after it.
        """
        hidden = self.cell.get_init_hidden(latents.shape[1])
        for latent, action in zip(latents, actions, strict=True):
            state = LatentState(latent, *hidden)
            hidden = self.read(state, action)
            yield state, hidden
