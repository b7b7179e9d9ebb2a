"""Checks and choices about numbers that several stages make."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

_sharers = 1


def share_cores(processes: int) -> None:
    """From here on this process counts its share of the cores: `processes` like it run at once."""
    global _sharers
    _sharers = processes


def require_finite(prefix: str, config: Any, *names: str, whole: bool = False) -> None:
    """Refuse what is no finite number (`whole`: no whole one) in these fields; None passes."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    wanted = "a whole number" if whole else "a finite number"
    for name in names:
        value = getattr(config, name)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if value is not None and not (is_number and np.isfinite(value)):
            raise ValueError(f"{prefix}{name} is {value!r}; it must be {wanted}")


def require_positive(prefix: str, config: Any, *names: str) -> None:
    """Refuse a zero or negative value of these fields; None passes."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ValueError(f"{prefix}.{name} is {value}; it must be above 0")


def evenly_spaced(items: int, picks: int, *, rounded: bool = True) -> npt.NDArray[np.int64]:
    """Numbers (picks,) of items from the first to the last; with fewer items some come twice.

    Each is rounded to the nearest, or (`rounded=False`) down.
    """
    places = np.linspace(0, items - 1, picks)
    return (places.round() if rounded else places).astype(np.int64)


def require_not_negative(prefix: str, config: Any, *names: str) -> None:
    """Refuse a negative value, or NaN, of these fields."""
    for name in names:
        value = getattr(config, name)
        if not value >= 0:
            raise ValueError(f"{prefix}.{name} is {value}; it must be 0 or more")


def require_below_one(prefix: str, config: Any, *names: str) -> None:
    """Refuse a value of these fields that does not lie in [0, 1)."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ValueError(f"{prefix}.{name} is {value}; it must be at least 0 and below 1")


def num_workers(workers: int) -> int:
    """-1 becomes one per core; 0 (this process) and more stay."""
    if workers < -1:
        raise ValueError(
            f"stage.workers is {workers}; it must be -1 (one per core), 0 (this process) or more"
        )
    return num_cores() if workers == -1 else workers


def most_processes() -> int:
    """How many processes this machine can bear at once."""
    return max(64, 4 * all_cores())


def num_cores() -> int:
    """Cores that this process may use, its share of them where it shares."""
    return max(1, all_cores() // _sharers)


def all_cores() -> int:
    """Cores that this process may use, alone or not."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
