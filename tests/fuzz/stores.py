"""Stores, latents and exports: how each is made, and what a reader sees of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz.folders import RUN, SPEC, VAE

from world_models.data.episode import TERMINATED, Episode
from world_models.data.interchange.hdf5 import Hdf5Source, export
from world_models.data.interchange.recording import Alignment
from world_models.data.latents import LatentStore, encode_store
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.data.tokens import TokenStore, write_tokens
from world_models.runs.files import sha256
from world_models.runs.past import PastRun


def store(folder: Path) -> EpisodeStore:
    writer = StoreWriter(
        folder / "episodes",
        {
            "env": SPEC.to_dict(),
            "backend": "gymnasium",
            "policy": "counting",
            "seed": 0,
            "versions": {"numpy": "1"},
            "has_final_frame": True,
        },
    )
    for shard, lengths in enumerate([(5, 3), (4, 6)]):
        episodes = [episode(10 * shard + number, length) for number, length in enumerate(lengths)]
        writer.write_shard(shard, episodes, ["train", "validation"])
    writer.finish()
    return EpisodeStore.open(folder / "episodes")


def episode(seed: int, length: int) -> Episode:
    steps = np.arange(length + 1)
    frames = np.full((length + 1, 16, 16, 3), seed, np.uint8) + steps[:, None, None, None]
    done = np.zeros(length + 1, np.uint8)
    done[-2] = TERMINATED
    rewards = np.where(steps == length, 0, steps).astype(np.float32)
    actions = np.where(steps == length, 0, steps % 3)
    return Episode(seed, frames.astype(np.uint8), actions, rewards, done)


def seen_of_store(path: Path) -> Any:
    found = EpisodeStore.open(path.parent)
    found.require_layouts()
    found.verify()
    return found.rows, found.env, found.shards(), found.has_final_frame


def store_of_a_run(folder: Path) -> Path:
    """A store on which a run was built, whose manifest has its hash."""
    path = store(folder).folder / "manifest.json"
    entry = {"kind": "episodes", "path": "../episodes/manifest.json", "sha256": sha256(path)}
    (folder / "vae").mkdir()
    (folder / "vae/manifest.json").write_text(json.dumps({**RUN, "inputs": [entry]}))
    return path


def seen_of_the_runs_store(path: Path) -> Any:
    found = EpisodeStore.at(PastRun(path.parents[1] / "vae").input("episodes"))
    found.verify()
    return found.rows, [found.episode(row).frames.tobytes() for row in found.rows]


def seen_of_a_shard(path: Path) -> Any:
    return seen_of_the_runs_store(path.parent / "manifest.json")


def shard(folder: Path) -> Path:
    return store_of_a_run(folder).parent / "shard_00001_rewards.npy"


def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = frames.float().flatten(1)[:, :2]
    return flat, flat * 0


def latents(folder: Path) -> Path:
    return encode_store(encode, store(folder), folder / "latents", VAE)


def seen_of_latents(path: Path) -> Any:
    episodes = EpisodeStore.open(path.parents[1] / "episodes")
    found = LatentStore.open(path.parent, VAE, episodes)
    found.verify()
    return [part.tobytes() for number in found.shards() for part in found.arrays(number)]


def tokens(folder: Path) -> Path:
    made = store(folder)
    return write_tokens(token_of, 128, made, folder / "tokens", VAE)


def token_of(frames: torch.Tensor) -> torch.Tensor:
    return frames[:, :2, :3, 0].long() % 128


def seen_of_tokens(path: Path) -> Any:
    episodes = EpisodeStore.open(path.parents[1] / "episodes")
    found = TokenStore.open(path.parent, VAE, episodes)
    found.verify()
    return [found.arrays(number).tobytes() for number in found.shards()]


def mark(folder: Path) -> Path:
    path = store(folder).folder
    (path / "manifest.json").unlink()
    return path / "shard_00000.json"


def seen_of_marks(path: Path) -> Any:
    manifest = {"has_final_frame": True, "env": SPEC.to_dict(), "backend": "g", "policy": "c"}
    writer = StoreWriter(path.parent, {**manifest, "seed": 0, "versions": {}})
    writer.finished_shards()
    return EpisodeStore.at(writer.finish()).rows


def hdf5(folder: Path) -> Path:
    list(export(store(folder), folder / "episodes.h5", Alignment.pre))
    shutil.rmtree(folder / "episodes")
    return folder / "episodes.h5"


def seen_of_hdf5(path: Path) -> Any:
    source = Hdf5Source(path, None, None)
    found = [vars(source.read(number)) for number in range(len(source))]
    rows = [
        [
            value.tobytes() if isinstance(value, np.ndarray) else value
            for name, value in row.items()
            if name != "place"
        ]
        for row in found
    ]
    return source.alignment, str(source.origin), source.has_final_frame, rows
