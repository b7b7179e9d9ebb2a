"""Which latents and windows M reads, and in which order."""

from collections.abc import Iterator

import torch

from world_models.data.chunks import Chunks, episode_chunks, own_chunks, window_chunks
from world_models.data.datasets import LatentSequenceDataset, to_float
from world_models.data.latents import LatentSource, LatentStore, OnlineLatents
from world_models.data.loading import watched_split
from world_models.data.store import EpisodeStore
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN
from world_models.runs import ranks
from world_models.runs.run import Run
from world_models.runs.training import Training
from world_models.stages.mdrnn.config import Latents, MDRNNConfig, Sequences

VALIDATION_ROWS = 64
"""Sequences that are validated side by side."""


def open_latents(cfg: MDRNNConfig, run: Run, vae: ConvVAE) -> tuple[EpisodeStore, LatentSource]:
    """The episodes that V was trained on, and their latents; every byte that is read is checked."""
    vae_hash = run.add_input("vae", run.feeder.best)
    store = EpisodeStore.at(run.pin_input("episodes", run.feeder.input("episodes")))
    if cfg.latents is Latents.online:
        if ranks.is_first():
            store.verify()
        return store, online_latents(store, vae, run.device.value)
    latents = LatentStore.open(run.feeder.path / "latents", vae_hash, store)
    if ranks.is_first():
        store.verify()
        latents.verify()
    return store, latents


def online_latents(store: EpisodeStore, vae: ConvVAE, device: str) -> OnlineLatents:
    """Latents as V gives them for the frames that are asked for."""

    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return vae.encoder(to_float(frames, device))

    return OnlineLatents(store, encode, vae.config["latent_size"])


def data_sets(
    cfg: MDRNNConfig, run: Run, store: EpisodeStore, latents: LatentSource
) -> tuple[LatentSequenceDataset, LatentSequenceDataset]:
    """What is trained on, and what is watched."""
    to_model = run.env.action_space.to_model
    stride = 1 if cfg.sequences is Sequences.windows else cfg.seq_len

    def of(split: str, stride: int, fraction: float) -> LatentSequenceDataset:
        return LatentSequenceDataset(
            store, latents, split, cfg.seq_len, stride, to_model=to_model, fraction=fraction
        )

    split = watched_split(store, "windows")
    fraction = 1.0 if split == "validation" else cfg.dataset_fraction
    return of("train", stride, cfg.dataset_fraction), of(split, cfg.seq_len, fraction)


def training_order(
    cfg: MDRNNConfig, run: Run, training: Training[MDRNN], data: LatentSequenceDataset
) -> Iterator[Chunks]:
    """What is left to read in the current epoch, and for this process."""
    seed, epoch, start = run.seed, training.epoch, training.batch
    if cfg.sequences is Sequences.episodes:
        order = episode_chunks(data, cfg.batch_size, seed=seed, epoch=epoch, start=start)
        return own_chunks(order, cfg.batch_size)
    ends, count = cfg.terminal_prob, data.tiles
    order = window_chunks(
        data, cfg.batch_size, seed=seed, epoch=epoch, start=start, count=count, terminal_prob=ends
    )
    return own_chunks(order, cfg.batch_size)


def validation_order(cfg: MDRNNConfig, data: LatentSequenceDataset) -> Iterator[Chunks]:
    """All windows of the data, in the same order every time."""
    if cfg.sequences is Sequences.episodes:
        return episode_chunks(data, VALIDATION_ROWS, seed=0, epoch=0, shuffle=False)
    return window_chunks(data, VALIDATION_ROWS, seed=0, epoch=0, shuffle=False)
