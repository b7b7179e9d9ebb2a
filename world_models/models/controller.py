"""C: the linear controller, its features, and its parameters as one flat vector."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


class Controller(nn.Module):
    """One linear layer from [z, h] to an action (Ha & Schmidhuber 2018, eq. 1)."""

    def __init__(self, latent_size: int, hidden_size: int, action_size: int) -> None:
        super().__init__()
        self.config = {"latent_size": latent_size, "hidden_size": hidden_size, "action_size": action_size}
        self.linear = nn.Linear(latent_size + hidden_size, action_size)

    def forward(self, features: Tensor) -> Tensor:
        """features (B, L+H) -> raw action (B, A): not yet squashed to the action space's bounds, or logits."""
        return self.linear(features)


def controller_features(latent: Tensor, hidden: Tensor) -> Tensor:
    """latent z (B, L), hidden h (B, H) -> what the controller sees: (B, L+H), z first."""
    return torch.cat([latent, hidden], dim=-1)


def num_parameters(latent_size: int, hidden_size: int, action_size: int) -> int:
    """Length of a controller's parameter vector: 867 for CarRacing's 32, 256 and 3."""
    return (latent_size + hidden_size + 1) * action_size


def flatten_parameters(module: nn.Module) -> npt.NDArray[np.float64]:
    """All parameters of `module` in the order of `parameters()`, row-major: for a Controller weight (A, F), then bias (A,)."""
    return np.concatenate([value.detach().cpu().numpy().astype(np.float64).ravel() for value in module.parameters()])


def load_parameters(module: nn.Module, vector: npt.ArrayLike) -> None:
    """Copy a vector in the order of `flatten_parameters` into `module`; another length is a ValueError."""
    flat = torch.as_tensor(np.asarray(vector, dtype=np.float64))
    expected = sum(value.numel() for value in module.parameters())
    if flat.shape != (expected,):
        raise ValueError(
            f"{type(module).__name__} has {expected} parameters, the vector's shape is {tuple(flat.shape)}"
        )
    start = 0
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(flat[start : start + value.numel()].view_as(value))
            start += value.numel()


def act_many(vectors: Tensor, features: Tensor) -> Tensor:
    """vectors (P, N), features (P, F) -> raw actions (P, A): row p's own controller applied to row p, N = (F+1)*A.

    A vector is laid out as by `flatten_parameters`: weight (A, F) row-major, then bias (A,).
    Products are summed row by row and not by a batched matrix kernel, whose rounding differs when P is 1.
    """
    rows, inputs = features.shape
    actions = vectors.shape[1] // (inputs + 1)
    assert vectors.shape == (rows, actions * (inputs + 1)), (vectors.shape, features.shape)
    weight = vectors[:, : actions * inputs].view(rows, actions, inputs)
    return (weight * features[:, None]).sum(-1) + vectors[:, actions * inputs :]
