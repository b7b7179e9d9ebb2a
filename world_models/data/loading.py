"""How batches come to a model.

Here are the keys of torch's DataLoader, and the endless order of shuffled batches.
"""

import errno
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from world_models.data.datasets import Batch, batches, identity
from world_models.data.store import EpisodeStore, check_new_split, open_manifest
from world_models.envs.spec import EnvSpec
from world_models.runs import ranks
from world_models.runs.device import Device
from world_models.runs.numbers import require_positive
from world_models.runs.run import RUNTIME, Run

log = logging.getLogger(__name__)


@dataclass
class DataConfig:
    """Who gathers the batches: this process, or `num_workers` others.

    Each of those keeps `prefetch_factor` batches ready.
    """

    batch_size: int = 64  # frames of a training step
    # share of the episodes held out, the last ones; null: the store's own split
    val_ratio: float | None = None
    # processes that gather batches; 0: this one
    num_workers: int = field(default=0, metadata=RUNTIME)
    # batches that each of them keeps ready; null without workers
    prefetch_factor: int | None = field(default=None, metadata=RUNTIME)
    # keep them from one epoch to the next
    persistent_workers: bool = field(default=False, metadata=RUNTIME)
    # gather in memory from which a GPU copies faster
    pin_memory: bool = field(default=False, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive("stage.data", self, "batch_size")
        if self.val_ratio is not None and not 0 <= self.val_ratio < 1:
            raise ValueError(
                f"stage.data.val_ratio is {self.val_ratio}; "
                "it must be at least 0 and below 1, or null"
            )
        if self.num_workers < 0:
            raise ValueError(
                f"stage.data.num_workers is {self.num_workers}; it must be 0 (this process) or more"
            )
        if self.num_workers == 0 and (self.prefetch_factor is not None or self.persistent_workers):
            raise ValueError(
                "stage.data.prefetch_factor and persistent_workers are for worker processes, "
                "and num_workers is 0: "
                "set prefetch_factor=null and persistent_workers=false, or num_workers=1 or more"
            )
        if self.num_workers > 0 and (self.prefetch_factor is None or self.prefetch_factor < 1):
            raise ValueError(
                f"stage.data.prefetch_factor is {self.prefetch_factor}; "
                f"with num_workers={self.num_workers} it must be 1 or more"
            )

    def check(self, env: EnvSpec, device: Device) -> None:
        """What only a GPU has is a ValueError without one, and so is a split that mixes levels."""
        if self.val_ratio is not None:
            check_new_split(env, f"episodes of {env.id} with these env keys")
        if self.pin_memory and device is not Device.cuda:
            raise ValueError("stage.data.pin_memory=true is for device=cuda")


def upstream_episodes(run: Run, val_ratio: float | None = None) -> EpisodeStore:
    """The upstream's episodes, every byte checked, by the first process where there are several.

    They are split again where a `val_ratio` is given, and noted as an input of the run.
    """
    path = run.feeder.path / "episodes" / "manifest.json"
    # says what is to be done where there is none
    open_manifest(path)
    store = EpisodeStore.at(run.pin_input("episodes", path))
    if ranks.is_first():
        store.verify()
    store.require_layouts()
    return store if val_ratio is None else store.split_again(val_ratio)


def watched_split(store: EpisodeStore, what: str) -> str:
    """ "validation", or with a warning "train" where there are no such episodes.

    `what` says in the plural what is watched: frames, windows.
    """
    if store.episodes("validation"):
        return "validation"
    log.warning("the episodes have no validation split: the training %s are watched instead", what)
    return "train"


def endless_batches(
    num_items: int, batch_size: int, *, seed: int, start: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Batches of item indices from batch `start` on, shuffled anew in every pass.

    A pass's remainder is left out. A data set smaller than a batch gives one batch of all its items
    in each pass.
    """
    per_pass = max(1, num_items // batch_size)
    for number in count(start // per_pass):
        done = start % per_pass if number == start // per_pass else 0
        order = batches(num_items, batch_size, seed=seed, epoch=number, start=done)
        for _, chosen in zip(range(per_pass - done), order, strict=False):
            yield chosen


def loader(
    cfg: DataConfig, data: Dataset[Any], order: Iterable[npt.NDArray[np.int64]]
) -> Iterator[Any]:
    """The batches of `order`, each gathered whole, by torch's DataLoader.

    Worker processes that have no memory to hand over what they gathered are a ValueError.
    """
    batches_of_data: DataLoader[Any] = DataLoader(
        data,
        batch_sampler=order,  # type: ignore[arg-type]
        collate_fn=shared if cfg.num_workers else identity,
        num_workers=cfg.num_workers,
        prefetch_factor=cfg.prefetch_factor,
        persistent_workers=cfg.persistent_workers,
        pin_memory=cfg.pin_memory,
    )
    try:
        workers = iter(batches_of_data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise SharedMemoryFull from None
    yield from workers


class SharedMemoryFull(ValueError):
    """Workers cannot hand over their batches. It says the same wherever it is raised again."""

    def __init__(self, _: str = "") -> None:
        super().__init__(
            "/dev/shm, through which the workers of stage.data.num_workers hand over batches, is "
            "full: make it larger (docker run --shm-size=8g), or resume with fewer workers, a "
            "smaller stage.data.prefetch_factor, or without any: stage.data.num_workers=0 "
            "stage.data.prefetch_factor=null"
        )


def shared(batch: Batch) -> Batch:
    """The same batch in memory that all processes share.

    DataLoader would move it there itself, in a thread whose errors nobody hears of.
    """
    try:
        for value in [batch] if isinstance(batch, Tensor) else vars(batch).values():
            value.share_memory_()
    except RuntimeError:
        raise SharedMemoryFull from None
    return batch
