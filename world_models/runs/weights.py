"""Models from what checkpoints hold: made only where sizes, weights and their types agree."""

import inspect
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from pydantic import ConfigDict, create_model
from torch import nn

from world_models.runs.parsing import Stored, require

M = TypeVar("M", bound=nn.Module)

MOST_LAYERS = 64
"""Entries of a list among the arguments of a model: each makes layers."""
CANNOT_BE_BUILT = (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError)
"""What a constructor raises on sizes that do not fit each other."""


class _Arguments(Stored):
    model_config = ConfigDict(extra="forbid")


def model_of(kind: type[M], state: dict[str, Any], place: str | Path, half: bool = False) -> M:
    """A model of `kind` from its config and weights in a checkpoint at `place`.

    It is laid out first without memory, and made only if the weights fit. What does not is a
    ValueError; `half`: weights may be in half precision.
    """
    config = state["config"]
    require(_arguments(kind), config, f"{place}, config")
    for key, value in config.items():
        if _length(value) > MOST_LAYERS:
            raise ValueError(f"{place} is damaged: config.{key} has too many entries")
    try:
        with torch.device("meta"):
            outline = kind(**config)
    except CANNOT_BE_BUILT as error:
        raise ValueError(f"{place} is damaged: no {kind.__name__} of its config: {error}") from None
    require_weights(outline, state["model"], place, half)
    model = kind(**config)
    model.load_state_dict(state["model"])
    return model


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], place: str | Path) -> None:
    """Copy weights from a checkpoint at `place` into a model; others than its own: ValueError."""
    require_weights(model, weights, place)
    model.load_state_dict(weights)


def require_weights(
    model: nn.Module, weights: dict[str, torch.Tensor], place: str | Path, half: bool = False
) -> None:
    """Names, shapes and types of the weights are those of the model, or it is a ValueError."""
    wanted = model.state_dict()
    if wanted.keys() != weights.keys():
        odd = min(wanted.keys() ^ weights.keys())
        what = f"has {odd}" if odd in weights else f"lacks {odd}"
        raise ValueError(f"{place} holds weights of another {type(model).__name__}: it {what}")
    for name, value in wanted.items():
        allowed = (value.dtype, torch.float16) if half else (value.dtype,)
        given = weights[name]
        if given.shape != value.shape or given.dtype not in allowed:
            raise ValueError(
                f"{place}: {name} is {given.dtype} {tuple(given.shape)}, where its "
                f"{type(model).__name__} has {value.dtype} {tuple(value.shape)}"
            )


def _arguments(kind: type[nn.Module]) -> type[Stored]:
    """The schema of a constructor's arguments."""
    hints = get_type_hints(kind.__init__)
    parameters = list(inspect.signature(kind).parameters.values())
    fields: dict[str, Any] = {
        each.name: (hints[each.name], ... if each.default is each.empty else each.default)
        for each in parameters
    }
    return create_model(kind.__name__, __base__=_Arguments, **fields)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list | tuple | str) else 0
