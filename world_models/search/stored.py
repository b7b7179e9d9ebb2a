"""What a controller's last.pt holds of its search, checked before the search is replayed."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AllowInfNan, Field

from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.parsing import Count, Input, Stored, Text, damaged, require

AtLeastOne = Annotated[int, Field(ge=1, lt=1 << 62)]
Generation = Annotated[int, Field(ge=-1, lt=1 << 62)]
MOST_RETURN = 1e15
Return = Annotated[float, Field(ge=-MOST_RETURN, le=MOST_RETURN)]
Loose = Annotated[float, AllowInfNan(True)]
"""NaN where a number could not be told."""
REPLAY_TOLERANCE = 1e-3
"""By how much of its length a replayed mean may differ: another machine rounds otherwise."""


class _Options(Stored):
    pop_size: AtLeastOne
    sigma0: float
    diagonal: bool
    imitate: bool
    features: Literal["z", "zh", "zch"]
    hidden_units: Count
    latent: Literal["mean", "sample"]


class _Segment(Stored):
    seed: Count
    weight_decay: float = Field(ge=0)
    history: list[list[Return]]


class _Tested(Stored):
    score: Return
    vector: torch.Tensor


class SearchFile(Stored):
    """last.pt of stage=controller."""

    search: _Options
    segments: list[_Segment] = Field(min_length=1)
    samples: list[AtLeastOne]
    reliability: list[Loose]
    env_steps: Count
    rate: Annotated[float, Field(gt=0)] | None
    best: _Tested | None
    tested: Generation
    start: torch.Tensor
    mean: torch.Tensor
    inputs: list[Input]
    csv_offsets: dict[Text, Count]


def load_search(path: Path) -> dict[str, Any]:
    """The content of a controller's `last.pt`.

    One of an earlier kind, and one whose parts do not go together, are ValueErrors.
    """
    state = load_checkpoint(path, "controller")
    if "start" not in state or state.get("components") is not None:
        raise ValueError(
            f"{path} was written by an earlier version, which kept its search otherwise: "
            "start it anew"
        )
    if "finalists" in state:
        # an earlier version kept a list of the best, the best one first
        state["best"] = _first(state["finalists"])
    require(SearchFile, state, path)
    _require_history(state, path)
    _require_vectors(state, path)
    # without what an earlier version had besides
    options = {name: state["search"][name] for name in _Options.model_fields}
    return {**state, "search": options}


def _first(kept: Any) -> Any:
    """The first of a list; None where there is none."""
    return kept[0] if isinstance(kept, list) and kept else None


def _require_history(state: dict[str, Any], path: Path) -> None:
    """As many numbers for each generation and candidate as there were."""
    pop_size = state["search"]["pop_size"]
    for number, segment in enumerate(state["segments"]):
        if any(len(fitness) != pop_size for fitness in segment["history"]):
            raise damaged(path, f"segments[{number}].history has not {pop_size} numbers each time")
    told = len(state["segments"][-1]["history"])
    for name in ("samples", "reliability"):
        if len(state[name]) != told:
            raise damaged(path, f"{name} has {len(state[name])} entries for {told} generations")
    if any(abs(value) > 1 for value in state["reliability"]):
        raise damaged(path, "reliability is not between -1 and 1")
    if state["tested"] > told:
        raise damaged(path, f"tested is {state['tested']} after {told} generations")
    if state["tested"] >= 0 and state["best"] is None:
        raise damaged(path, f"best is missing, and a test was made at {state['tested']}")


def _require_vectors(state: dict[str, Any], path: Path) -> None:
    """All vectors have the length of the start."""
    size = len(_flat(state["start"], "start", path))
    if len(_flat(state["mean"], "mean", path)) != size:
        raise damaged(path, f"mean has not the {size} numbers of start")
    best = state["best"]
    if best is not None and len(_flat(best["vector"], "best.vector", path)) != size:
        raise damaged(path, f"best.vector has not {size} numbers")


def _flat(vector: torch.Tensor, name: str, path: Path) -> torch.Tensor:
    if vector.dtype != torch.float64 or vector.ndim != 1:
        raise damaged(path, f"{name} is {vector.dtype} {tuple(vector.shape)}")
    return vector


def require_replayed(mean: np.ndarray, state: dict[str, Any], path: Path) -> None:
    """A search that was told its history again stands where it stood, or it is a ValueError."""
    stored = state["mean"].numpy()
    if np.linalg.norm(mean - stored) > REPLAY_TOLERANCE * max(1.0, float(np.linalg.norm(stored))):
        raise damaged(path, "its history does not lead to its mean")
