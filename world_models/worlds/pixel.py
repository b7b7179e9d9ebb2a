"""A trained pixel model as its checkpoint holds it: weights, what it sees of which environment, and its baselines."""

from dataclasses import dataclass
from pathlib import Path

import torch

from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.envs.spec import EnvSpec
from world_models.models.pixel import PixelModel
from world_models.models.pixel_unet import PixelUNet
from world_models.models.pixel_world_model import PixelWorldModel
from world_models.runs.checkpoint import load_checkpoint

ARCHITECTURES: dict[str, type[PixelModel]] = {
    "pixel_unet": PixelUNet,
    "pixel_world_model": PixelWorldModel,
}


@dataclass(frozen=True)
class PixelWorld:
    """A pixel model that is ready to predict."""

    model: PixelModel
    env: EnvSpec
    view: View
    mean: torch.Tensor  # (C, H, W): the training frames' mean
    fade: torch.Tensor  # (T,): see measures/pixel_baselines.py
    val_ratio: float | None  # how the episodes were split; None: as their store says
    step: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def has_heads(self) -> bool:
        """Whether it predicts reward or end, too."""
        return bool(self.model.config.get("rewards") or self.model.config.get("ends"))

    def split(self, store: EpisodeStore) -> EpisodeStore:
        """The episodes, split as they were for the training."""
        return store if self.val_ratio is None else store.split_again(self.val_ratio)


def load_pixel_world(path: Path, device: str = "cpu") -> PixelWorld:
    """Read a `best.pt` of stage=pixel; another file is a ValueError."""
    state = load_checkpoint(path, "pixel", device)
    model = ARCHITECTURES[state["architecture"]](**state["config"])
    model.load_state_dict(state["model"])
    model = model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    baselines = {name: state["baselines"][name].cpu() for name in ("mean", "fade")}
    place = {"val_ratio": state["val_ratio"], "step": state["step"]}
    return PixelWorld(
        model, EnvSpec.from_dict(state["env"]), View(**state["view"]), **baselines, **place
    )
