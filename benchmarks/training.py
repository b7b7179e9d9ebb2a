"""What reading costs: V and M training, the latents pass, and random windows, each beside what it
could be at best.

    python -m benchmarks.training

On CarRacing episodes that are collected first (or --synthetic noise), all with the same number of
torch threads, the variants in turns: medians of the rounds. A training step is the stage's own
(loss_terms, Training.update); what differs is where the batch comes from: our store; memory, one
batch again and again (the ceiling); a loop over .npz files as the public systems have it (see
npz_loop.py), compressed and not.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks import reading
from benchmarks.npz_loop import LoadedLatents, NpzFrames, NpzWindows, latent_batch
from benchmarks.setting import Setting, prepare
from benchmarks.table import Rates, show
from world_models.data.batch import LatentBatch
from world_models.data.chunks import Chunks, read_chunks
from world_models.data.datasets import LatentSequenceDataset, ObservationDataset, batches, to_float
from world_models.data.latents import LatentStore
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN
from world_models.runs import seeding
from world_models.runs.device import Device, Precision, resolve_precision
from world_models.runs.files import sha256
from world_models.runs.numbers import num_cores
from world_models.runs.training import Training
from world_models.stages.mdrnn import learning as mdrnn_learning
from world_models.stages.mdrnn.config import MDRNNConfig
from world_models.stages.mdrnn.reading import data_sets, training_order
from world_models.stages.vae import learning as vae_learning
from world_models.stages.vae.best import encode_episodes
from world_models.stages.vae.config import VAEConfig


@dataclass
class Variant:
    """A source of batches without end, and how many of them are measured at a time."""

    source: Iterator[Any]
    steps: int


def rates_in_turns(
    setting: Setting, variants: dict[str, Variant], step: Callable[[Any], None], size: int
) -> Rates:
    """Items per second of each variant, a batch counting `size` of them."""
    rates: Rates = {name: [] for name in variants}
    for number in range(setting.rounds + 1):
        for name, variant in variants.items():
            steps = variant.steps if number else 1  # the first round warms up
            began = time.perf_counter()
            for _ in range(steps):
                step(next(variant.source))
            setting.wait()
            if number:
                rates[name].append(steps * size / (time.perf_counter() - began))
    return rates


def train_vae(setting: Setting) -> Rates:
    """Frames per second of V's training."""
    run, precision = setting.run, resolve_precision(Precision.auto, setting.run.device)
    cfg = VAEConfig(train_batch_size=64, precision=precision)
    training = vae_learning.build(cfg, run)
    metrics = run.metrics(None)

    def step(x: torch.Tensor) -> None:
        draw = seeding.torch_generator(
            run.seed, "vae", "noise", training.step, device=setting.device
        )
        loss, terms, _ = vae_learning.loss_terms(
            cfg, run.device, training.model, x.to(setting.device), draw
        )
        training.update(loss, {"loss": loss, **terms}, metrics)

    data, size = ObservationDataset(setting.store, "train"), cfg.train_batch_size
    frames = data.__getitems__(range(size))
    variants = {
        "ours: from the store": Variant(_observations(setting, data, size), 15),
        "ceiling: one batch in memory": Variant(
            _repeat(lambda: to_float(frames, setting.device)), 15
        ),
        "public loop, one .npz per episode, not compressed": Variant(
            _npz_frames(setting, "npz", size), 2
        ),
        "public loop, one .npz per episode, compressed": Variant(
            _npz_frames(setting, "npz_compressed", size), 1
        ),
    }
    return rates_in_turns(setting, variants, step, size)


def _repeat(make: Callable[[], Any]) -> Iterator[Any]:
    while True:
        yield make()


def _observations(setting: Setting, data: ObservationDataset, size: int) -> Iterator[torch.Tensor]:
    """As stage=vae reads them."""
    epoch = 0
    while True:
        for indices in batches(len(data), size, seed=setting.run.seed, epoch=epoch):
            if len(indices) == size:
                yield to_float(data.__getitems__(indices), setting.device)
        epoch += 1


def _npz_frames(setting: Setting, name: str, size: int) -> Iterator[torch.Tensor]:
    lengths = [row.length + 1 for row in setting.store.rows]
    while True:
        yield from DataLoader(
            NpzFrames(setting.folder / name, lengths), size, shuffle=True, drop_last=True
        )


def train_mdrnn(setting: Setting) -> Rates:
    """Steps of sequences per second of M's training: batch x seq_len in a step of the optimizer."""
    run, cfg = setting.run, MDRNNConfig()
    latents = LatentStore.open(run.path / "latents", sha256(run.best), setting.store)
    data, _ = data_sets(cfg, run, setting.store, latents)
    training = mdrnn_learning.build(cfg, run, latents.latent_size)
    metrics = run.metrics(None)

    def step(given: tuple[Chunks, LatentBatch]) -> None:
        chunks, batch = given[0], given[1].to(setting.device)
        draw = seeding.torch_generator(
            run.seed, "mdrnn", "noise", training.step, device=setting.device
        )
        loss, terms, training.carried = mdrnn_learning.loss_terms(
            cfg, training.model, batch, chunks, training.carried, draw
        )
        training.update(loss, {"loss": loss, **terms}, metrics, cfg.grad_clip)

    ours = _windows(setting, cfg, training, data)
    one = next(ours)
    loaded = DataLoader(
        LoadedLatents(setting.store, latents, cfg.seq_len),
        cfg.batch_size,
        shuffle=True,
        drop_last=True,
    )
    lengths = [row.length for row in setting.store.rows]
    files = NpzWindows(setting.folder / "npz", lengths, cfg.seq_len)
    frames = DataLoader(files, cfg.batch_size, shuffle=True, drop_last=True)
    variants = {
        "ours: from the store": Variant(ours, 50),
        "ceiling: one batch in memory": Variant(_repeat(lambda: one), 50),
        "public loop, all latents loaded beforehand": Variant(_loaded(one[0], loaded), 50),
        "public loop, frames from .npz (not compressed), V in every step": Variant(
            _encoded(one[0], frames, setting.model), 4
        ),
    }
    return rates_in_turns(setting, variants, step, cfg.batch_size * cfg.seq_len)


def _windows(
    setting: Setting,
    cfg: MDRNNConfig,
    training: Training[MDRNN],
    data: LatentSequenceDataset,
) -> Iterator[tuple[Chunks, LatentBatch]]:
    """As stage=mdrnn reads them."""
    while True:
        training.batch = 0
        for chunks, batch in read_chunks(data, training_order(cfg, setting.run, training, data)):
            if len(chunks.items) == cfg.batch_size:
                yield chunks, batch
        training.epoch += 1


def _loaded(chunks: Chunks, loader: DataLoader[Any]) -> Iterator[tuple[Chunks, LatentBatch]]:
    while True:
        for columns in loader:
            yield chunks, latent_batch(columns)


def _encoded(
    chunks: Chunks, loader: DataLoader[Any], encoder: ConvVAE
) -> Iterator[tuple[Chunks, LatentBatch]]:
    device = next(encoder.parameters()).device
    while True:
        for frames, *steps in loader:
            with torch.no_grad():
                latents = encoder.encoder(frames.flatten(0, 1).to(device))
            mu, logsigma = (part.unflatten(0, frames.shape[:2]) for part in latents)
            yield chunks, latent_batch([mu, logsigma, *(column.to(device) for column in steps)])


def encode(setting: Setting) -> Rates:
    """Frames per second of the latents pass, and of the encoder on batches ready in memory."""
    count, folder = sum(row.length + 1 for row in setting.store.rows), setting.run.path / "latents"
    frames = torch.from_numpy(np.array(setting.store.arrays(0).frames[: 8 * 256]))
    ready = to_float(frames, setting.device)

    def ours() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        encode_episodes(setting.run, setting.model, setting.store)

    @torch.inference_mode()
    def bare(size: int) -> None:
        parts = ready.split(size)
        for number in range(-(-count // size)):
            setting.model.encoder(parts[number % len(parts)])

    passes: dict[str, Callable[[], None]] = {"ours: encode_store, from the store to the disk": ours}
    for size in (64, 256):
        passes[f"bare encoder, batches of {size} in memory"] = partial(bare, size)
    rates: Rates = {name: [] for name in passes}
    for _ in range(setting.rounds):
        for name, encode_all in passes.items():
            began = time.perf_counter()
            encode_all()
            setting.wait()
            rates[name].append(count / (time.perf_counter() - began))
    return rates


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=24)
    parser.add_argument("--synthetic", action="store_true", help="noise instead of CarRacing")
    parser.add_argument("--rounds", type=int, default=7, help="the median of so many is given")
    parser.add_argument("--threads", type=int, default=num_cores(), help="of torch")
    parser.add_argument("--device", choices=[device.value for device in Device], default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        setting = prepare(Path(folder), options)
        machine = f"{setting.device}, {options.threads} threads"
        where = f"{machine}, median of {setting.rounds} (each in brackets)"
        show(f"V, frames/s, batch 64; {where}", train_vae(setting))
        show(f"Latents, frames/s; {where}", encode(setting))
        show(f"M, sequence steps/s, batch 16 x 32; {where}", train_mdrnn(setting))
        for per_call in (32, 1):
            found = reading.measure(
                setting.store, setting.folder / f"by{per_call}", per_call, setting.rounds
            )
            show(f"Random windows of 16 frames per second, {per_call} per call", found)


if __name__ == "__main__":
    main()
