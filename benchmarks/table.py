"""Rates measured in turns, and their tables: beside each what the first row is worth in it."""

import time
from collections.abc import Callable

import numpy as np
import torch

Rates = dict[str, list[float]]


def in_turns(
    makers: dict[str, Callable[[], object]], rounds: int, items: int, calls: int = 1
) -> Rates:
    """Items per second of each, `calls` calls at a time; a round before them warms up."""
    rates: Rates = {name: [] for name in makers}
    for number in range(rounds + 1):
        for name, make in makers.items():
            began = time.perf_counter()
            for _ in range(calls):
                make()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                rates[name].append(calls * items / (time.perf_counter() - began))
    return rates


def show(title: str, rates: Rates) -> None:
    """Print medians of the rates, what the first row is of each, and all measurements."""
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    first = next(iter(medians.values()))
    print(f"{title}\n")
    for name, median in medians.items():
        runs = " ".join(f"{value:,.0f}" for value in rates[name])
        print(f"{name:70} {median:10,.0f}   ours / this {first / median:7.2f}   [{runs}]")
    print(flush=True)
