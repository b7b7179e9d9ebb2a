"""Where a search can begin: at the controller that does most nearly what was recorded."""

import logging

import numpy as np

from world_models.envs.actions import ActionSpace

log = logging.getLogger(__name__)

RIDGE = 1.0
"""Added to the sum of squares of every feature.

Small beside tens of thousands of steps, and enough for a feature that never varies.
"""


def imitate(features: np.ndarray, actions: np.ndarray, space: ActionSpace) -> np.ndarray:
    """Parameters of the linear C that acts most nearly so: weight (A, F) row-major, bias (A,).

    features (n, F) are what C saw, actions (n, ...) what was done then. Ridge regression of the
    raw actions, before squashing (for discrete actions: least squares on one-hot rows). Where an
    agent explored, its noise is averaged out.
    """
    raw = space.to_raw(actions).astype(np.float64)
    mean = features.mean(0)
    middle = raw.mean(0)
    centred = features - mean
    weight = np.linalg.solve(
        centred.T @ centred + RIDGE * np.eye(centred.shape[1]), centred.T @ (raw - middle)
    ).T
    return np.concatenate([weight.ravel(), middle - weight @ mean])


def explained(
    parameters: np.ndarray, features: np.ndarray, actions: np.ndarray, space: ActionSpace
) -> np.ndarray:
    """(A,) the share of each raw action's variance that the linear C explains (R^2)."""
    raw = space.to_raw(actions).astype(np.float64)
    weight, bias = np.split(parameters, [-raw.shape[1]])
    left = raw - features @ weight.reshape(raw.shape[1], -1).T - bias
    return 1 - left.var(0) / np.maximum(raw.var(0), np.finfo(np.float64).tiny)


def imitating_start(features: np.ndarray, actions: np.ndarray, space: ActionSpace) -> np.ndarray:
    """As `imitate`; logs how much of the actions it explains."""
    start = imitate(features, actions, space)
    shares = explained(start, features, actions, space)
    log.info(
        "the search begins at the controller that imitates M's episodes: "
        "it explains %s of their actions",
        ", ".join(f"{100 * share:.0f} %" for share in shares),
    )
    return start
