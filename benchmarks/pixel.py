"""What batches of windows cost the next-frame model: ours beside a per-sample loader of pre-cut
windows (see precut.py).

    python -m benchmarks.pixel

On CoinRun episodes that are collected first, batches of 64 windows of 12 frames, one process with
all its torch threads, the variants in turns: medians of the rounds. Training is the stage's own
(loss_terms, Training.update), in the last phase of its curriculum: 64 predicted frames in a step, 8
windows rolled on for 8 frames. Contents are compared first.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.precut import PrecutWindows, write_windows
from benchmarks.table import Rates, in_turns, show
from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.schema import register, resolve_precisions
from world_models.data.batch import SequenceBatch
from world_models.data.datasets import SequenceDataset
from world_models.data.loading import endless_batches, loader
from world_models.data.store import EpisodeStore
from world_models.envs.make import Backend, make_spec
from world_models.main import main as command_line
from world_models.measures.pixel_baselines import Baselines
from world_models.runs.device import Device
from world_models.runs.numbers import num_cores
from world_models.runs.run import Run
from world_models.stages.pixel.build import build
from world_models.stages.pixel.config import PixelConfig
from world_models.stages.pixel.learning import loss_terms, noise_draw

LENGTH, SIZE = 12, 64  # frames in a window, windows in a batch
BATCHES = 10  # that one measurement takes
ENV = ["env=coinrun", "env.num_levels=10000"]


def collect(folder: Path, episodes: int) -> EpisodeStore:
    """Episodes of CoinRun as stage=rollout collects them."""
    settings = [
        f"stage.episodes={episodes}",
        "stage.max_steps=128",
        f"outputs={folder}/outputs",
        "verbosity=quiet",
    ]
    if command_line(["stage=rollout", *ENV, "stage.policy=mixed", *settings]):
        raise SystemExit(1)
    return EpisodeStore.open(next(folder.glob("outputs/*/*/*/episodes")))


def compare_contents(store: EpisodeStore, folder: Path) -> None:
    """Both readers give the same pixels for the same windows."""
    ours, theirs = SequenceDataset(store, "train", LENGTH - 1), PrecutWindows(folder)
    whole = [max(0, row.length + 1 - LENGTH) for row in store.episodes("train")]
    first = ours.windows_per_episode.cumsum() - ours.windows_per_episode
    items = np.concatenate([at + np.arange(count) for at, count in zip(first, whole, strict=True)])
    assert len(theirs) == len(items), (len(theirs), len(items))
    chosen = np.linspace(0, len(items) - 1, 50).astype(int)
    frames = ours.__getitems__(items[chosen]).frames.permute(0, 1, 4, 2, 3).float() / 255
    assert all(
        torch.allclose(theirs[int(row)][0], frame)
        for row, frame in zip(chosen, frames, strict=True)
    )


def loading(store: EpisodeStore, folder: Path, cfg: PixelConfig, rounds: int) -> Rates:
    """Windows per second, as float32 batches."""
    data = SequenceDataset(store, "train", LENGTH - 1)
    order = endless_batches(len(data), SIZE, seed=0, start=0)
    ours = iter(loader(cfg.data, data, order))
    makers: dict[str, Callable[[], object]] = {
        "ours: gathered in batch": lambda: cfg.view(next(ours).frames, "cpu")
    }
    for workers in (0, 2):
        theirs = endless(
            DataLoader(
                PrecutWindows(folder), SIZE, shuffle=True, drop_last=True, num_workers=workers
            )
        )
        where = f"{workers} worker processes" if workers else "this process"
        name = f"pre-cut windows, sample by sample, {where}"
        makers[name] = lambda theirs=theirs: next(theirs)  # type: ignore[misc]
    return in_turns(makers, rounds, SIZE, BATCHES)


def endless(batches: DataLoader[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[object]:
    """Pass after pass."""
    while True:
        yield from batches


def training(
    store: EpisodeStore, folder: Path, cfg: PixelConfig, rounds: int, unroll: int
) -> Rates:
    """Windows per second in the stage's training where it rolls on for `unroll` frames: from the
    store, on one batch that is ready in memory, and read alone.
    """
    spec = make_spec(compose_config(["stage=rollout", *ENV]).config.env)
    run = Run(folder / "run", 0, Device.cpu, Backend.procgen, spec)
    run.path.mkdir(exist_ok=True)
    run.manifest = {"stage": "pixel", "inputs": []}
    mean = torch.zeros(3, 64, 64)
    state = build(cfg, run, store, Baselines(mean, torch.zeros(1)))
    metrics, size = run.metrics(None), cfg.data.batch_size // unroll
    data = SequenceDataset(store, "train", cfg.n_past_frames + unroll - 1)
    windows = iter(loader(cfg.data, data, endless_batches(len(data), size, seed=0, start=0)))
    ready = next(windows)

    def step(batch: SequenceBatch) -> None:
        loss, terms = loss_terms(
            cfg,
            run.device,
            spec.action_space,
            state.model.train(),
            batch,
            noise_draw(run, state.step),
        )
        state.update(loss, {"loss": loss, **terms}, metrics, cfg.grad_clip)

    makers: dict[str, Callable[[], object]] = {"ours: from the store": lambda: step(next(windows))}
    makers["ceiling: one batch in memory"] = lambda: step(ready)
    makers["reading alone"] = lambda: next(windows)
    return in_turns(makers, rounds, size, BATCHES)


def main() -> None:
    """Print the tables, the share of gathering in a training step, and what lies on disk."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    register(schemas())
    torch.set_num_threads(num_cores())
    cfg = resolve_precisions(PixelConfig(max_steps=10_000), Device.cpu)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = collect(folder, options.episodes)
        theirs = write_windows(store, folder / "windows", LENGTH)
        compare_contents(store, folder / "windows")
        rates = loading(store, folder / "windows", cfg, options.rounds)
        show(f"windows of {LENGTH} frames per second, {SIZE} to a batch", rates)
        for unroll in cfg.unroll:
            steps = training(store, folder, cfg, options.rounds, unroll)
            length = cfg.n_past_frames + unroll
            title = f"windows of {length} frames per second in training, rolled on for {unroll}"
            show(title, steps)
            whole, _, read = (float(np.median(values)) for values in steps.values())
            step = (cfg.data.batch_size // unroll) / whole
            print(f"reading is {whole / read:.1%} of a training step\n")
        gathered = SIZE / float(np.median(next(iter(rates.values()))))
        print(
            f"{SIZE} windows of {LENGTH} frames are gathered in {gathered * 1e3:.0f} ms; a step of "
            f"training, rolled on for {unroll}, takes {step * 1e3:.0f} ms on "
            f"{cfg.data.batch_size} predicted frames: {gathered / step:.1%} of it"
        )
        ours = store.num_frames("train") * 64 * 64 * 3
        print(
            f"training frames on disk: {ours / 1e6:.0f} MB, each once; pre-cut windows "
            f"{theirs / 1e6:.0f} MB"
        )


if __name__ == "__main__":
    main()
