"""Updates per minute, and the most memory, where a process keeps the memory that it frees (as one
that trains does, see world_models/runs/heap.py) beside one that gives it back.

    python -m benchmarks.kept_heap
    python -m benchmarks.kept_heap --cases V --rounds 5

Each measurement is a process of its own, the variants take turns. The models have the sizes of
their stages, the tokenizer and the world of tokens those of experiment=rem_atari, whose batches are
128 frames and 64 segments: here they are smaller, to fit in 8 GB.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.table import Rates, show
from world_models.models.convvae import ConvVAE
from world_models.models.pixel_unet import PixelUNet
from world_models.models.token_world import TokenWorldModel
from world_models.models.tokenizers.vq import VQTokenizer
from world_models.runs.heap import CHOICES, keep_freed
from world_models.runs.numbers import num_cores
from world_models.runs.training import adamw

KEPT, GIVEN_BACK = "kept", "given back"
UPDATES = 4


def v() -> Callable[[], Tensor]:
    """The loss of V on 64 frames."""
    model, frames = ConvVAE(3, 32), torch.rand(64, 3, 64, 64)
    return updating(model, lambda: (model(frames)[0] - frames).square().mean())


def next_frame() -> Callable[[], Tensor]:
    """The loss of the next-frame model on 64 frames of CoinRun's size."""
    model = PixelUNet(3, 15)
    frames, actions = torch.rand(64, 4, 3, 64, 64), torch.eye(15)[torch.zeros(64, 4).long()]
    truth = torch.rand(64, 3, 64, 64)
    return updating(model, lambda: (model(frames, actions).frame - truth).square().mean())


def tokenizer() -> Callable[[], Tensor]:
    """The loss of a tokenizer on 64 frames."""
    model = VQTokenizer(3, 64, vocabulary=512, code_size=256, base_channels=32)
    frames = torch.rand(64, 3, 64, 64)
    return updating(model, lambda: (model(frames).frames - frames).square().mean())


def world() -> Callable[[], Tensor]:
    """The loss of a world of tokens on 16 segments of 10 steps."""
    model = TokenWorldModel(512, 64, 4, columns=8)
    tokens = torch.randint(512, (16, 11, 64))
    actions = torch.eye(4)[torch.zeros(16, 10).long()]
    truth = tokens[:, 1:].flatten()
    return updating(
        model, lambda: cross_entropy(model(tokens, actions).tokens.flatten(0, 2), truth)
    )


CASES = {"V": v, "next-frame": next_frame, "tokenizer": tokenizer, "token world": world}


def updating(model: torch.nn.Module, loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """An update with this loss."""
    optimizer = adamw(model, 1e-4, 0.05)

    def update() -> Tensor:
        found = loss()
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        return found

    return update


def measure(case: str, variant: str) -> None:
    """Print updates per second, and the most memory in MB."""
    if variant == KEPT:
        assert keep_freed()
    torch.set_num_threads(num_cores())
    torch.manual_seed(0)
    update = CASES[case]()
    update()
    began = time.perf_counter()
    for _ in range(UPDATES):
        update()
    rate = UPDATES / (time.perf_counter() - began)
    print(rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Print a table for each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(*options.one)
        return
    program = [sys.executable, "-m", "benchmarks.kept_heap", "--one"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(CHOICES)}
    for case in options.cases:
        rates: Rates = {KEPT: [], GIVEN_BACK: []}
        most = dict.fromkeys(rates, 0.0)
        for _ in range(options.rounds):
            for variant, found in rates.items():
                said = subprocess.run(
                    [*program, case, variant],
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    env=env,
                ).stdout
                rate, megabytes = (float(word) for word in said.split())
                found.append(60 * rate)
                most[variant] = max(most[variant], megabytes)
        show(f"updates per minute: {case}", rates)
        print(*(f"{variant}: {most[variant]:,.0f} MB at most" for variant in most), sep=", ")
        print()


if __name__ == "__main__":
    main()
