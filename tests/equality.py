"""Whether two runs are the same, and how one is cut off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from world_models.runs.files import read_json


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(
            same(left[key], right[key]) for key in left if key not in ("inputs", "timing", "rate")
        )
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right or (left != left and right != right))  # the last of NaN


def assert_equal_runs(left: Path, right: Path) -> None:
    """Checkpoints tensor by tensor; CSVs, episodes, latents and scores byte by byte."""
    kept = {".pt", ".csv", ".npy"}
    names = [
        {path.relative_to(run) for path in run.rglob("*") if path.suffix in kept}
        for run in (left, right)
    ]
    assert names[0] == names[1]
    for path in sorted(left.rglob("*")):
        other = right / path.relative_to(left)
        if path.suffix == ".pt":
            assert same(torch.load(path), torch.load(other)), path
        elif path.suffix in (".csv", ".npy") and path.stem != "timing":
            assert path.read_bytes() == other.read_bytes(), path
        elif path.name in ("scores.json", "quality.json"):
            assert read_json(path) == read_json(other)


def fails_at(call: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but its n-th call is a Ctrl-C."""
    calls = iter(range(1, 10_000))

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return interrupted
