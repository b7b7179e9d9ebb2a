"""V and M as a world: what C sees of it, and M going on by itself."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from world_models.data.datasets import to_float
from world_models.envs.make import EnvSpec
from world_models.models.controller import Features, Sight, controller_features, num_features
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN, MDRNNCell, sample_latent
from world_models.runs import seeding
from world_models.runs.checkpoint import load_checkpoint

WIDTH = 4
"""Inference batches are padded to a multiple of this: smaller ones run through other float kernels."""
CUDA_WIDTH = 64
"""On a GPU, whose kernels change with the width, every batch is cut and padded to exactly this."""


@dataclass
class WorldModel:
    """V and M, ready to act, and how C sees them: what every controller of a run shares."""

    vae: ConvVAE
    mdrnn: MDRNN
    env: EnvSpec
    sight: Sight = field(default_factory=Sight)

    def __post_init__(self) -> None:
        self.vae.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.cell = MDRNNCell.from_mdrnn(self.mdrnn.eval()).eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.vae.parameters()).device

    @property
    def controller_config(self) -> dict[str, Any]:
        """Constructor arguments of the controllers that fit this model."""
        sizes, sight = self.mdrnn.config, self.sight.to_dict()
        return {
            **{
                "latent_size": sizes["latents"],
                "hidden_size": sizes["hiddens"],
                "action_size": sizes["actions"],
            },
            **{"features": sight["features"], "hidden_units": sight["hidden_units"]},
        }

    @property
    def num_features(self) -> int:
        """How many numbers C sees."""
        sizes = self.mdrnn.config
        return num_features(sizes["latents"], sizes["hiddens"], self.sight.features.value)

    def encode(self, frames: np.ndarray) -> torch.Tensor:
        """Mean latents (n, L) of frames (n, H, W, C) uint8."""
        return self.posterior(frames)[0]

    @torch.inference_mode()
    def posterior(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log standard deviation (n, L) of the latents of frames (n, H, W, C) uint8."""
        mu, logsigma = self.vae.encoder(
            to_float(torch.from_numpy(np.require(frames, requirements="W")), self.device)
        )
        return mu, logsigma

    def features(self, latents: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """What C sees (n, F) of latents (n, L) and M's state h and c (n, H)."""
        state = {Features.z: (), Features.zh: (h,), Features.zch: (c, h)}[self.sight.features]
        return controller_features(latents, *state)

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames (n, H, W, C) uint8 of latents (n, L)."""
        pixels = self.vae.decoder(latents).permute(0, 2, 3, 1)
        return (pixels * 255).round().to(torch.uint8).cpu().numpy()

    @torch.inference_mode()
    def dream(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        horizon: int,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """Go on from real frames in M alone: open loop, with the recorded actions.

        frames (n, H, W, C) uint8 and actions (n + horizon, ...): M first sees the n frames, then its own samples.
        Returns the `horizon` decoded frames (horizon, H, W, C) uint8 that follow the last real one.
        """
        executed = torch.from_numpy(self.env.action_space.to_model(np.array(actions))).to(
            self.device
        )
        latents, hidden = self.encode(frames), self.cell.get_init_hidden(1)
        draw = seeding.torch_generator(seed, "dream", device=self.device)
        dreamt, latent = [], latents[:1]
        for step in range(len(frames) + horizon - 1):
            latent = latents[step : step + 1] if step < len(frames) else latent
            mus, sigmas, logpi, _, _, hidden = self.cell(executed[step : step + 1], latent, hidden)
            latent = sample_latent(mus, sigmas, logpi, draw, temperature)
            dreamt.append(latent)
        return self.decode(torch.cat(dreamt[-horizon:]))


def load_world_model(
    vae: Path, mdrnn: Path, env: EnvSpec, sight: Sight | None = None, device: str = "cpu"
) -> WorldModel:
    """V and M from the checkpoints of their stages."""
    parts = load_checkpoint(vae, "vae", device), load_checkpoint(mdrnn, "mdrnn", device)
    return world_of(*parts, env, sight or Sight(), device)


def load_vae(path: Path, device: str = "cpu") -> ConvVAE:
    """V from the checkpoint of its stage, as it is used: not trained further."""
    return vae_of(load_checkpoint(path, "vae", device), device)


def vae_of(state: dict[str, Any], device: str) -> ConvVAE:
    vae = ConvVAE(**state["config"])
    vae.load_state_dict(state["model"])
    return vae.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def world_of(
    vae: dict[str, Any], mdrnn: dict[str, Any], env: EnvSpec, sight: Sight, device: str
) -> WorldModel:
    m = MDRNN(**mdrnn["config"])
    m.load_state_dict(mdrnn["model"])
    return WorldModel(vae_of(vae, device), m.to(device), env, sight)
