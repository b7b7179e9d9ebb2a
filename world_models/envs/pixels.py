"""PixelVectorEnv: slots that show pictures, preprocessed to frames."""

import gymnasium
import numpy as np

from world_models.envs.slots import RawObservations, SlotVectorEnv
from world_models.envs.spec import EnvSpec


class PixelVectorEnv(SlotVectorEnv):
    """Observations are frames, uint8 (N, size, size, channels).

    A backend gives `_begin` and `_advance`, whose raw observations are pictures, uint8 (H, W, 3)
    each, and, if it can, `_render` and `close_extras`.
    """

    def __init__(self, env_spec: EnvSpec, num_envs: int) -> None:
        pre = env_spec.preprocessing
        shape = (pre.size, pre.size, pre.channels)
        super().__init__(env_spec, num_envs, gymnasium.spaces.Box(0, 255, shape, np.uint8))
        self._pictures = [np.zeros((pre.size, pre.size, 3), np.uint8)] * num_envs

    def render(self) -> tuple[np.ndarray, ...]:
        """The picture of every slot, before preprocessing: uint8 (H, W, 3) each.

        It is black where nothing ever began.
        """
        return tuple(
            self._render(slot) if begun else self._pictures[slot]
            for slot, begun in enumerate(self._begun)
        )

    def _keep(self, slots: np.ndarray, shown: RawObservations) -> None:
        self._observations[slots] = self.env_spec.preprocessing.apply(shown)
        for slot, picture in zip(slots.tolist(), shown, strict=True):
            self._pictures[slot] = picture

    def _render(self, slot: int) -> np.ndarray:
        """The picture of a slot that has begun an episode."""
        return self._pictures[slot]
