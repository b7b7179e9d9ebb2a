"""A trained pixel model, as its checkpoint holds it and as a world that goes on by itself."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import ConfigDict, Field

from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import PixelWindows
from world_models.envs.preprocess import MIN_FRAME_SIZE, Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.draws import Draws
from world_models.models.pixel import PixelModel
from world_models.models.pixel_unet import PixelUNet
from world_models.models.pixel_world_model import PixelWorldModel
from world_models.runs.checkpoint import Trained, load_checkpoint
from world_models.runs.parsing import Stored, damaged
from world_models.runs.stored_env import LARGEST_FRAME_SIZE, spec_of
from world_models.runs.weights import model_of
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


class _View(Stored):
    model_config = ConfigDict(extra="forbid")

    size: Annotated[int, Field(ge=MIN_FRAME_SIZE, le=LARGEST_FRAME_SIZE)] | None
    grayscale: bool


class _Baselines(Stored):
    mean: torch.Tensor
    fade: torch.Tensor


class TrainedPixel(Trained):
    """best.pt of stage=pixel."""

    architecture: Literal["pixel_unet", "pixel_world_model"]
    env: dict[str, Any]
    view: _View
    baselines: _Baselines
    val_ratio: Annotated[float, Field(ge=0, lt=1)] | None


def load_pixel_predictor(path: Path, device: str = "cpu") -> PixelPredictor:
    """Read a `best.pt` of stage=pixel; another file is a ValueError."""
    state = load_checkpoint(path, "pixel", device, TrainedPixel)
    env = spec_of(state["env"], path)
    model = model_of(ARCHITECTURES[state["architecture"]], state, path)
    _require_fit(state, env, path)
    model = model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PixelPredictor(
        model,
        env,
        View(**state["view"]),
        mean=state["baselines"]["mean"].cpu(),
        fade=state["baselines"]["fade"].cpu(),
        val_ratio=state["val_ratio"],
        step=state["step"],
    )


def _require_fit(state: dict[str, Any], env: EnvSpec, path: Path) -> None:
    """Model, view and mean frame are of one environment's frames, or it is a ValueError."""
    view, config = View(**state["view"]), state["config"]
    channels = view.channels(env.preprocessing.channels)
    size = view.size or env.preprocessing.size
    if (config["img_channels"], config["action_size"]) != (channels, env.action_space.size):
        raise damaged(path, "config is not of the frames and actions of its env and view")
    if state["baselines"]["mean"].shape != (channels, size, size):
        raise damaged(path, f"baselines.mean is not a frame of {channels}x{size}x{size}")
    if state["baselines"]["fade"].ndim != 1:
        raise damaged(path, "baselines.fade is no list of weights")


class PixelState(NamedTuple):
    """What the model has before it in B episodes."""

    # (B, k, C, H, W) in [0, 1], the newest last
    frames: torch.Tensor
    # (B, k-1, A) done at all of them but the newest
    actions: torch.Tensor


class PixelWorld:
    """A pixel model going on by itself: it reads what it predicts, and draws no noise."""

    def __init__(self, predictor: PixelPredictor, starts: PixelWindows | None) -> None:
        """`starts` are windows of as many frames as the model reads; None: see `after_frames`."""
        self.model = predictor.model
        self.view = predictor.view
        self.starts = starts
        self._device, self._env = predictor.device, predictor.shown_env

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._device

    @property
    def env(self) -> EnvSpec:
        """The environment that the model stands for."""
        return self._env

    @property
    def num_starts(self) -> int:
        """How many stored windows there are to begin at."""
        return 0 if self.starts is None else len(self.starts)

    def begin(self, starts: np.ndarray, draws: Draws | None = None) -> PixelState:
        """The windows of these numbers (B,), at whose last frames the episodes begin."""
        assert self.starts is not None, starts
        window = self.starts.load(starts, str(self._device))
        return PixelState(window.context, window.actions[:, : self.model.context - 1])

    @property
    def context(self) -> int:
        """Frames that it reads before it begins."""
        return self.model.context

    def after_frames(self, frames: np.ndarray, actions: np.ndarray) -> PixelState:
        """The state (1, ...) of an episode whose newest frames are these.

        frames (k, H, W, C) uint8 as the environment gives them, and the actions (k-1, ...) done at
        all of them but the last.
        """
        assert len(frames) == len(actions) + 1 == self.model.context, (len(frames), len(actions))
        given = torch.from_numpy(self.env.action_space.to_model(actions)).to(self.device)
        given = given.view(1, len(actions), self.env.action_space.size)
        return PixelState(self.view(torch.from_numpy(frames)[None], self.device), given)

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
