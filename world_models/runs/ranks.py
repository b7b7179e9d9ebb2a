"""Training by several processes that torchrun starts: who writes, who computes which rows.

The first process does what one alone would do, and it alone writes. The others are told which stage
is executed in which folder, and go through the same loop: each computes its own rows of a batch,
and the gradients of all are averaged. One process alone never calls torch.distributed.
"""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.distributed import Store

T = TypeVar("T")

GIVEN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process by its environment."""
PATIENCE = timedelta(days=7)
"""How long the others wait while the first one judges; that one is gone is noticed at once."""
HEARD_WITHIN = 60.0
"""Seconds that a process which fails waits until the first one has read why."""
TASK, WORDS, HEARD = "task", "words", "heard"
SILENT = (
    "another process of this training has ended without a word, as one does that is killed: "
    "look for why, and go on with resume="
)


class Lost(RuntimeError):
    """Another process of the training has ended; the text is what it said."""


class _Meeting:
    """Where the processes of a training meet."""

    # what is told by name; None: not there yet
    store: "Store | None" = None
    # the first process has said what is to be done
    told = False


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in GIVEN) else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def on_this_machine() -> int:
    """How many of them share this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if world_size() > 1 else 1


@dataclass(frozen=True)
class Part:
    """The rows of a batch of `total` that a process computes: never none."""

    rows: slice
    total: int
    # of the batch; 0 where the rows are another's, because there were too few
    share: float

    def counts(self, *masks: "Tensor") -> "list[Tensor | None]":
        """What sums over these rows of masks are divided by, each in place of its own ones.

        Means over parts that are made so, weighed by the shares, are the mean over the batch. None
        where one process has it all.
        """
        import torch

        if world_size() == 1:
            return [None] * len(masks)
        ones = torch.stack([mask.sum() for mask in masks])
        return list(summed(ones * (self.share > 0)).clamp(min=1) * (self.share or 1.0))


def whole(total: int) -> Part:
    """All rows."""
    return Part(slice(0, total), total, 1.0)


def between(first: int, last: int, total: int) -> Part:
    """Rows `first` up to, but without, `last`."""
    rows = slice(first, last) if last > first else slice(0, 1)
    return Part(rows, total, (last - first) / total)


def bounds(total: int) -> tuple[int, int]:
    """Of `total` rows in order, the first of this process and the first of the next one."""
    return rank() * total // world_size(), (rank() + 1) * total // world_size()


def part(total: int) -> Part:
    """The rows of a batch of `total` that this process computes."""
    return between(*bounds(total), total)


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process; the others wait for it, and call nothing."""
    if world_size() == 1:
        return make()
    import torch
    from torch import distributed

    given: list[Any] = [make() if is_first() else None]
    with _together():
        distributed.broadcast_object_list(given, src=0, device=torch.device("cpu"))
    found: T = given[0]
    return found


def summed(values: "Tensor") -> "Tensor":
    """The sum of these values over all processes."""
    if world_size() == 1:
        return values
    from torch import distributed

    total = values.detach().clone()
    with _together():
        distributed.all_reduce(total)
    return total


def averaged(model: "nn.Module", values: "dict[str, Tensor]", share: float) -> "dict[str, Tensor]":
    """Mean gradients of a model and mean values over all processes, weighed by their shares.

    The gradients are replaced, the values returned. All goes in one message.
    """
    if world_size() == 1:
        return values
    import torch

    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    given = [*gradients, *(value.detach().float() for value in values.values())]
    means = summed(share * torch.cat([one.flatten() for one in given]))
    parts = means.split([one.numel() for one in given])
    for gradient, mean in zip(gradients, parts, strict=False):
        gradient.copy_(mean.view(gradient.shape))
    return dict(zip(values, (mean[0] for mean in parts[len(gradients) :]), strict=True))


def joined(state: "Tensor") -> "Tensor":
    """state (N, ...) of which each process knows its own rows (`bounds`) -> all of it, in all."""
    if world_size() == 1:
        return state
    first, last = bounds(len(state))
    own = state.new_zeros(state.shape)
    own[first:last] = state[first:last]
    return summed(own)


def use_own_gpu() -> None:
    """Compute on the GPU of this process's number on its machine; one that is not there:
    ValueError.
    """
    import torch

    if world_size() == 1:
        return
    if on_this_machine() > torch.cuda.device_count():
        raise ValueError(
            f"torchrun started {on_this_machine()} processes on a machine of "
            f"{torch.cuda.device_count()} GPUs: start as many as there are, or use device=cpu"
        )
    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


@contextmanager
def leading() -> Iterator[None]:
    """Inside, the first process decides what is to be done; behind it the others may go."""
    if world_size() == 1:
        yield
        return
    yield
    if not _Meeting.told:
        _say(None)
    _leave()


def tell(task: object, device: str) -> None:
    """Tell the others what to do, and work together from now on."""
    if world_size() > 1:
        _Meeting.told = True
        _say(task)
        join(device)


def hear() -> Any:
    """What the first process tells; None: nothing is to be done."""
    # it comes from the first process of the same command
    return pickle.loads(bytes.fromhex(_store().get(TASK).decode()))


def _say(task: object) -> None:
    _store().set(TASK, pickle.dumps(task).hex())


def say_why(error: Exception) -> None:
    """Tell the first process why this one fails, and leave once it has read it."""
    # where the machine of the store is gone there is nobody to tell
    with suppress(RuntimeError):
        _store().set(WORDS, f"process {rank()} of {world_size()}: {error}")
        _leave()
        began = time.monotonic()
        while not _store().check([HEARD]) and time.monotonic() - began < HEARD_WITHIN:
            time.sleep(0.1)


@contextmanager
def _together() -> Iterator[None]:
    """Inside is done by all; that one is gone is a Lost with its words."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(_words()) from error


def _words() -> str:
    store = _store()
    try:
        said = store.get(WORDS).decode() if store.check([WORDS]) else SILENT
        store.set(HEARD, "yes")
    except RuntimeError:
        # the machine of the store is gone, too
        return SILENT
    return said


def _store() -> "Store":
    """What torchrun keeps for all processes of this start."""
    if _Meeting.store is None:
        from torch.distributed.rendezvous import rendezvous

        _Meeting.store, _, _ = next(iter(rendezvous("env://", timeout=PATIENCE)))
    return _Meeting.store


def join(device: str) -> None:
    """Work together from now on."""
    from torch import distributed

    # gloo carries what is on the CPU, also beside a GPU
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    with _together():
        distributed.init_process_group(
            backend, timeout=PATIENCE, world_size=world_size(), rank=rank(), store=_store()
        )


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
