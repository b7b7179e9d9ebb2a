"""What a controller's last.pt holds of its search, checked before the search is replayed."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AllowInfNan, Field

from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.parsing import Count, Input, Stored, Text, damaged

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


class _Finalist(Stored):
    score: Return
    tracks: AtLeastOne
    vector: torch.Tensor
    overall: Loose


class SearchFile(Stored):
    """last.pt of stage=controller."""

    search: _Options
    segments: list[_Segment] = Field(min_length=1)
    samples: list[AtLeastOne]
    reliability: list[Loose]
    env_steps: Count
    rate: Annotated[float, Field(gt=0)] | None
    finalists: list[_Finalist]
    tested: Generation
    decided: Generation
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
    state = load_checkpoint(path, "controller", fields=SearchFile)
    _require_history(state, path)
    _require_vectors(state, path)
    # without what an earlier version had besides
    options = {name: state["search"][name] for name in _Options.model_fields}
    return {**state, "search": options}


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
    for finalist in state["finalists"]:
        if abs(finalist["overall"]) > MOST_RETURN:
            raise damaged(path, f"the overall score of a finalist is {finalist['overall']}")
    for name in ("tested", "decided"):
        if state[name] > told:
            raise damaged(path, f"{name} is {state[name]} after {told} generations")
    if state["tested"] >= 0 and not state["finalists"]:
        raise damaged(path, f"finalists is empty, and a test was made at {state['tested']}")


def _require_vectors(state: dict[str, Any], path: Path) -> None:
    """All vectors have the length of the start."""
    size = len(_flat(state["start"], "start", path))
    if len(_flat(state["mean"], "mean", path)) != size:
        raise damaged(path, f"mean has not the {size} numbers of start")
    for number, finalist in enumerate(state["finalists"]):
        vector = _flat(finalist["vector"], f"finalists[{number}].vector", path)
        if len(vector) != size:
            raise damaged(path, f"finalists[{number}].vector has not {size} numbers")


def _flat(vector: torch.Tensor, name: str, path: Path) -> torch.Tensor:
    if vector.dtype != torch.float64 or vector.ndim != 1:
        raise damaged(path, f"{name} is {vector.dtype} {tuple(vector.shape)}")
    return vector


def require_replayed(mean: np.ndarray, state: dict[str, Any], path: Path) -> None:
    """A search that was told its history again stands where it stood, or it is a ValueError."""
    stored = state["mean"].numpy()
    if np.linalg.norm(mean - stored) > REPLAY_TOLERANCE * max(1.0, float(np.linalg.norm(stored))):
        raise damaged(path, "its history does not lead to its mean")
