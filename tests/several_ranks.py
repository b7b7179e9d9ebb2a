"""Commands run by several processes, as torchrun starts them, without its start."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import distributed

from world_models.main import main

needs_fork = pytest.mark.skipif(
    torch.cuda.is_available(), reason="with a GPU torch has threads that do not outlive a fork"
)


def nothing() -> None:
    """For `before`: all as it is."""


def in_ranks(
    count: int, arguments: list[str], folder: Path, before: Callable[[], None] = nothing
) -> list[tuple[int, str]]:
    """The exit status of each process, and what it said on stderr; `before` is called in each."""
    folder.mkdir(parents=True, exist_ok=True)
    # torchrun keeps such a one for its processes
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            _be(rank, count, store.port, arguments, folder, before)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    said = [(folder / f"{rank}.txt").read_text() for rank in range(count)]
    return list(zip(statuses, said, strict=True))


def _be(
    rank: int, count: int, port: int, arguments: list[str], folder: Path, before: Callable[[], None]
) -> None:
    """Be one process of them, and never return."""
    status = 99
    given = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    given |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    given |= {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    try:
        os.environ.update({name: str(value) for name, value in given.items()})
        with (folder / f"{rank}.txt").open("w") as sys.stderr:
            try:
                before()
                status = main(arguments)
            except BaseException:
                traceback.print_exc()
    finally:
        os._exit(status)


def widest_difference(left: Path, right: Path) -> float:
    """Of the weights in two checkpoints of equal steps, and of what is carried on."""
    one, other = torch.load(left), torch.load(right)
    assert one["step"] == other["step"] and one["model"].keys() == other["model"].keys()
    pairs = [(one["model"][name], other["model"][name]) for name in one["model"]]
    pairs += zip(one["carried"], other["carried"], strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def in_double() -> None:
    """Compute in float64, where rounding does not grow to what can be seen in a few steps."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
