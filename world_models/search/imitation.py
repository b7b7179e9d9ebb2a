"""Where a search can begin: at the controller that does most nearly what was done in the recorded episodes."""

import numpy as np

from world_models.envs.actions import ActionSpace

RIDGE = 1.0
"""Added to the sum of squares of every feature: small beside tens of thousands of steps, and enough for one that never varies."""


def imitate(features: np.ndarray, actions: np.ndarray, space: ActionSpace) -> np.ndarray:
    """features (n, F) that C saw and actions (n, ...) that were taken -> parameters of a linear C: weight (A, F) row-major, bias (A,).

    Ridge regression of the raw actions, before squashing (for discrete actions: least squares on one-hot rows). Where an
    agent explored, its noise is averaged out.
    """
    raw = space.to_raw(actions).astype(np.float64)
    mean, middle = features.mean(0), raw.mean(0)
    centred = features - mean
    weight = np.linalg.solve(
        centred.T @ centred + RIDGE * np.eye(centred.shape[1]), centred.T @ (raw - middle)
    ).T
    return np.concatenate([weight.ravel(), middle - weight @ mean])


def explained(
    parameters: np.ndarray, features: np.ndarray, actions: np.ndarray, space: ActionSpace
) -> np.ndarray:
    """(A,) the share of the variance of each raw action that the linear C with these parameters explains (R^2)."""
    raw = space.to_raw(actions).astype(np.float64)
    weight, bias = np.split(parameters, [-raw.shape[1]])
    left = raw - features @ weight.reshape(raw.shape[1], -1).T - bias
    return 1 - left.var(0) / np.maximum(raw.var(0), np.finfo(np.float64).tiny)
