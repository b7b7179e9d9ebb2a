"""A trained pixel model, as its checkpoint holds it and as a world that goes on by itself."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import PixelWindows
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.draws import Draws
from world_models.models.pixel import PixelModel
from world_models.models.pixel_unet import PixelUNet
from world_models.models.pixel_world_model import PixelWorldModel
from world_models.runs.checkpoint import load_checkpoint
from world_models.worlds.world import Advance

ARCHITECTURES: dict[str, type[PixelModel]] = {
    "pixel_unet": PixelUNet,
    "pixel_world_model": PixelWorldModel,
}


@dataclass(frozen=True)
class PixelPredictor:
    """A pixel model that is ready to predict, what it sees of which environment, and baselines."""

    model: PixelModel
    env: EnvSpec
    view: View
    # (C, H, W): the training frames' mean
    mean: torch.Tensor
    # (T,): see measures/pixel_baselines.py
    fade: torch.Tensor
    # how the episodes were split; None: as their store says
    val_ratio: float | None
    step: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def has_heads(self) -> bool:
        """Whether it predicts reward or end, too."""
        return bool(self.model.config.get("rewards") or self.model.config.get("ends"))

    @property
    def shown_env(self) -> EnvSpec:
        """The environment as the model sees it: its frames uncropped, one for each action."""
        pre = self.env.preprocessing
        size = self.view.size or pre.size
        grayscale = self.view.grayscale or pre.grayscale
        frames = Preprocessing((0, 0, 0, 0), size, grayscale)
        return replace(self.env, preprocessing=frames, frame_skip=1)

    def split(self, store: EpisodeStore) -> EpisodeStore:
        """The episodes, split as they were for the training."""
        return store if self.val_ratio is None else store.split_again(self.val_ratio)


def load_pixel_predictor(path: Path, device: str = "cpu") -> PixelPredictor:
    """Read a `best.pt` of stage=pixel; another file is a ValueError."""
    state = load_checkpoint(path, "pixel", device)
    model = ARCHITECTURES[state["architecture"]](**state["config"])
    model.load_state_dict(state["model"])
    model = model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PixelPredictor(
        model,
        EnvSpec.from_dict(state["env"]),
        View(**state["view"]),
        mean=state["baselines"]["mean"].cpu(),
        fade=state["baselines"]["fade"].cpu(),
        val_ratio=state["val_ratio"],
        step=state["step"],
    )


class PixelState(NamedTuple):
    """What the model has before it in B episodes."""

    # (B, k, C, H, W) in [0, 1], the newest last
    frames: torch.Tensor
    # (B, k-1, A) done at all of them but the newest
    actions: torch.Tensor


class PixelWorld:
    """A pixel model going on by itself: it reads what it predicts, and draws no noise."""

    def __init__(self, predictor: PixelPredictor, starts: PixelWindows) -> None:
        """`starts` are windows of as many frames as the model reads."""
        self.model = predictor.model
        self.starts = starts
        self._device, self._env = predictor.device, predictor.shown_env

    @property
    def env(self) -> EnvSpec:
        """The environment that the model stands for."""
        return self._env

    @property
    def num_starts(self) -> int:
        """How many stored windows there are to begin at."""
        return len(self.starts)

    def begin(self, starts: np.ndarray) -> PixelState:
        """The windows of these numbers (B,), at whose last frames the episodes begin."""
        window = self.starts.load(starts, str(self._device))
        return PixelState(window.context, window.actions[:, : self.model.context - 1])

    def advance(
        self, state: PixelState, actions: torch.Tensor, draws: Draws | None = None
    ) -> Advance[PixelState]:
        """One step of all rows: the actions (B, A), done at the newest frames, lead to the next."""
        given = torch.cat([state.actions, actions[:, None]], dim=1)
        found = self.model(state.frames, given)
        frames = torch.cat([state.frames[:, 1:], found.frame[:, None].float()], dim=1)
        return Advance(PixelState(frames, given[:, 1:]), found.reward, found.done)

    def observe(self, state: PixelState) -> torch.Tensor:
        """The newest frames (B, H, W, C) uint8."""
        newest = state.frames[:, -1].clamp(0, 1)
        return (newest * 255).round().byte().permute(0, 2, 3, 1)

    def picture(self, state: PixelState) -> torch.Tensor:
        """The newest frames (B, H, W, 3) uint8."""
        frames = self.observe(state)
        return frames.expand(*frames.shape[:3], 3)
