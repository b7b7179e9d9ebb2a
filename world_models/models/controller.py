"""C: the controller, what it sees, and its parameters as one flat vector."""

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


class Features(Enum):
    """What C sees: the latent z, and M's output h and cell state c.

    See Ha & Schmidhuber 2018, section 3.2, and its code.
    """

    z = "z"  # the latent
    zh = "zh"  # and M's output
    zch = "zch"  # and M's cell state


class Latent(Enum):
    """Which latent V gives to C and M: its posterior's mean, or a sample, as in the original."""

    mean = "mean"  # of its posterior
    sample = "sample"  # of it, as in the original


@dataclass(frozen=True)
class ControllerInputs:
    """How C is built upon V and M.

    `hidden_units` tanh units stand in between; 0 gives the linear controller.
    """

    features: Features = Features.zh
    hidden_units: int = 0
    latent: Latent = Latent.mean

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "features": self.features.value,
            "hidden_units": self.hidden_units,
            "latent": self.latent.value,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ControllerInputs":
        """The inverse of `to_dict`."""
        return cls(Features(values["features"]), values["hidden_units"], Latent(values["latent"]))


class Controller(nn.Module):
    """One linear layer from [z, h] to an action (Ha & Schmidhuber 2018, eq. 1).

    It may read other features, and have tanh units in between.
    """

    def __init__(
        self,
        latent_size: int,
        hidden_size: int,
        action_size: int,
        *,
        features: str = "zh",
        hidden_units: int = 0,
    ) -> None:
        """`features` is a value of Features; `hidden_units` 0 means no layer in between."""
        super().__init__()
        self.latent_size = latent_size
        self.hidden_size = hidden_size
        self.action_size = action_size
        self.config = {
            "latent_size": latent_size,
            "hidden_size": hidden_size,
            "action_size": action_size,
            "features": features,
            "hidden_units": hidden_units,
        }
        *between, last = layer_sizes(latent_size, hidden_size, action_size, features, hidden_units)
        self.hidden = nn.Sequential(
            *(nn.Sequential(nn.Linear(*sizes), nn.Tanh()) for sizes in between)
        )
        self.linear = nn.Linear(*last)

    def forward(self, features: Tensor) -> Tensor:
        """features (B, F) -> raw action (B, A).

        For Box actions it is not yet squashed to the bounds; for Discrete ones these are logits.
        """
        return self.linear(self.hidden(features))


def controller_features(latent: Tensor, *state: Tensor) -> Tensor:
    """latent z (B, L) and what C sees of M's state, (B, H) each -> features (B, F).

    z comes first, then h, or c and h.
    """
    return torch.cat([latent, *state], dim=-1)


def num_features(latent_size: int, hidden_size: int, features: str = "zh") -> int:
    """How many numbers C sees."""
    return latent_size + {"z": 0, "zh": 1, "zch": 2}[features] * hidden_size


def layer_sizes(
    latent_size: int,
    hidden_size: int,
    action_size: int,
    features: str = "zh",
    hidden_units: int = 0,
) -> list[tuple[int, int]]:
    """Inputs and outputs of each of the controller's layers."""
    widths = [
        num_features(latent_size, hidden_size, features),
        *([hidden_units] if hidden_units else []),
        action_size,
    ]
    return list(pairwise(widths))


def num_parameters(
    latent_size: int,
    hidden_size: int,
    action_size: int,
    features: str = "zh",
    hidden_units: int = 0,
) -> int:
    """Length of a controller's parameter vector.

    It is 867 for CarRacing's 32, 256 and 3, and 1443 with z alone and 40 units.
    """
    sizes = layer_sizes(latent_size, hidden_size, action_size, features, hidden_units)
    return sum((inputs + 1) * outputs for inputs, outputs in sizes)


def flatten_parameters(module: nn.Module) -> npt.NDArray[np.float64]:
    """All parameters of `module` as one vector, in the order of `parameters()`, row-major.

    Of a Controller these are its weight (A, F), then its bias (A,).
    """
    return np.concatenate(
        [value.detach().cpu().numpy().astype(np.float64).ravel() for value in module.parameters()]
    )


def load_parameters(module: nn.Module, vector: npt.ArrayLike) -> None:
    """Copy a vector in the order of `flatten_parameters` into `module`.

    A vector of another length is a ValueError.
    """
    flat = torch.as_tensor(np.asarray(vector, dtype=np.float64))
    expected = sum(value.numel() for value in module.parameters())
    if flat.shape != (expected,):
        raise ValueError(
            f"{type(module).__name__} has {expected} parameters, "
            f"the vector's shape is {tuple(flat.shape)}"
        )
    start = 0
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(flat[start : start + value.numel()].view_as(value))
            start += value.numel()


def act_many(vectors: Tensor, features: Tensor, hidden_units: int = 0) -> Tensor:
    """Apply to each row its own controller.

    vectors (P, N), features (P, F) -> raw actions (P, A). A vector is laid out as by
    `flatten_parameters`: per layer, weight (outputs, inputs) row-major, then bias.
    """
    if hidden_units:
        first = (features.shape[1] + 1) * hidden_units
        features = torch.tanh(_linear_many(vectors[:, :first], features))
        vectors = vectors[:, first:]
    return _linear_many(vectors, features)


def _linear_many(vectors: Tensor, x: Tensor) -> Tensor:
    """vectors (P, (F+1)*A), x (P, F) -> (P, A).

    Products are summed row by row and not by `torch.baddbmm`, whose rounding differs when P is 1.
    It also takes twice as long for 16 rows of 867 parameters.
    """
    rows, inputs = x.shape
    outputs = vectors.shape[1] // (inputs + 1)
    assert vectors.shape == (rows, outputs * (inputs + 1)), (vectors.shape, x.shape)
    weight = vectors[:, : outputs * inputs].view(rows, outputs, inputs)
    return (weight * x[:, None]).sum(-1) + vectors[:, outputs * inputs :]
