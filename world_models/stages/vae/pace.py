"""Minutes become frames of an epoch, at a rate that is measured once."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from world_models.data.datasets import ObservationDataset, to_float
from world_models.models.convvae import VAES
from world_models.runs import ranks, seeding
from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.device import place
from world_models.runs.run import Run
from world_models.runs.threads import one_thread
from world_models.stages.vae.config import VAEConfig
from world_models.stages.vae.learning import loss_terms

log = logging.getLogger(__name__)


TIMED = 8
"""Steps that are timed, after two that are not, to turn minutes into frames."""
WORTH_IT = 1.2
"""Times as fast that one thread must be, to be taken in place of several."""


@dataclass(frozen=True)
class Pace:
    """What `minutes` come to: frames of an epoch, and the threads that train."""

    frames: int
    threads: int


def pace_of(cfg: VAEConfig, run: Run, data: ObservationDataset, mean: torch.Tensor | None) -> Pace:
    """All frames, or as many as an epoch can read in its share of `cfg.minutes`.

    That is measured once, and a resumed run keeps to it, and so do all processes of a training.
    Where other work keeps a core busy, threads wait for each other, and one alone may be several
    times as fast: then one trains.
    """
    threads = ranks.from_first(torch.get_num_threads)
    if run.last.is_file():
        state = load_checkpoint(run.last, "vae")
        return Pace(int(state["frames_per_epoch"]), int(state.get("threads", threads)))
    assert cfg.minutes is not None
    threads, seconds = quickest(lambda: seconds_per_step(cfg, run, data, mean), threads)
    steps = max(1, round(60 * cfg.minutes / cfg.num_epochs / seconds))
    pace = Pace(min(len(data), steps * cfg.train_batch_size), threads)
    log.info(
        "%.0f frames/s with threads=%d: an epoch has %d frames",
        cfg.train_batch_size / seconds,
        pace.threads,
        pace.frames,
    )
    return ranks.from_first(lambda: pace)


def quickest(measure: Callable[[], float], threads: int) -> tuple[int, float]:
    """Whether `threads` or one alone should work, and the seconds that `measure` says of it."""
    seconds = measure()
    if threads == 1:
        return threads, seconds
    with one_thread():
        alone = measure()
    return (1, alone) if WORTH_IT * alone < seconds else (threads, seconds)


def seconds_per_step(
    cfg: VAEConfig, run: Run, data: ObservationDataset, mean: torch.Tensor | None
) -> float:
    """Of a V that is trained for TIMED batches, after two that are not timed, and thrown away."""
    with seeding.seeded_weights(run.seed, "vae", "trial"):
        trial = VAES[cfg.model](run.env.preprocessing.channels, cfg.latent_size)
    trial = place(trial, run.device, cfg.compile)
    optimizer = torch.optim.Adam(trial.parameters(), fused=True)
    draw = seeding.torch_generator(run.seed, "vae", "trial", device=run.device.value)
    clock = []
    for step in range(2 + TIMED):
        indices = np.arange(step, step + cfg.train_batch_size) % len(data)
        part = ranks.part(len(indices))
        x = to_float(data.__getitems__(indices[part.rows]), run.device.value)
        loss, _, _ = loss_terms(cfg, run.device, trial, x, draw, mean, part)
        optimizer.zero_grad()
        loss.backward()
        ranks.averaged(trial, {}, part.share)
        optimizer.step()
        # waits for a GPU
        loss.item()
        clock.append(time.monotonic())
    return (clock[-1] - clock[1]) / TIMED
