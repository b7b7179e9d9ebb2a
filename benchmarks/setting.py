"""What the training benchmark measures on: episodes, the same as .npz files, and a V."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.memory import write_rollout
from benchmarks.npz_loop import write_npz
from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.data.store import EpisodeStore
from world_models.envs.make import Backend, EnvSpec, make_spec
from world_models.main import main as command_line
from world_models.models.convvae import ConvVAE
from world_models.runs.device import Device, resolve_device
from world_models.runs.run import Run
from world_models.stages.vae.best import best_model
from world_models.stages.vae.config import VAEConfig
from world_models.stages.vae.learning import build


@dataclass
class Setting:
    """`folder` holds npz/ and npz_compressed/; V is untrained: speed does not depend on weights."""

    folder: Path
    run: Run  # where V's checkpoint lies and its latents will
    store: EpisodeStore
    model: ConvVAE
    rounds: int

    @property
    def device(self) -> str:
        """As torch names it."""
        return self.run.device.value

    def wait(self) -> None:
        """Until the device is done."""
        if self.run.device is Device.cuda:
            torch.cuda.synchronize()


def prepare(folder: Path, options: argparse.Namespace) -> Setting:
    """Everything that the tables need, in an empty folder."""
    register(schemas())
    env = make_spec(compose_config(["stage=rollout", "env=car_racing"]).config.env)
    store = collect(folder, env, options.episodes, options.synthetic)
    run = Run(folder / "run", 0, resolve_device(Device(options.device)), Backend.gymnasium, env)
    (run.path / "checkpoints").mkdir(parents=True)
    run.manifest = {"stage": "vae", "inputs": []}
    build(VAEConfig(), run).save_best(run, {})
    write_npz(store, folder / "npz", np.savez)
    write_npz(store, folder / "npz_compressed", np.savez_compressed)
    return Setting(folder, run, store, best_model(run), options.rounds)


def collect(folder: Path, env: EnvSpec, episodes: int, synthetic: bool) -> EpisodeStore:
    """Episodes of CarRacing as stage=rollout collects them, or noise."""
    if synthetic:
        return EpisodeStore.open(
            write_rollout(folder / "rollout", env, episodes * 1000) / "episodes"
        )
    settings = [f"stage.episodes={episodes}", f"outputs={folder}/outputs", "verbosity=quiet"]
    if command_line(["stage=rollout", "env=car_racing", *settings]):
        raise SystemExit(1)
    return EpisodeStore.open(next(folder.glob("outputs/*/*/*/episodes")))
