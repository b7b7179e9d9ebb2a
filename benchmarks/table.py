"""The tables that benchmarks print: each row a rate, beside what the first row is worth in it."""

import numpy as np

Rates = dict[str, list[float]]


def show(title: str, rates: Rates) -> None:
    """Medians of the rates, the first row's as a multiple of each,
    and all measurements in brackets.
    """
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    first = next(iter(medians.values()))
    print(f"{title}\n")
    for name, median in medians.items():
        runs = " ".join(f"{value:,.0f}" for value in rates[name])
        print(f"{name:70} {median:10,.0f}   ours / this {first / median:7.2f}   [{runs}]")
    print(flush=True)
