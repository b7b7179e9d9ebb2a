"""Whether a pixel model's rewards and ends can be believed.

Predictions stand beside what followed, one step ahead.
"""

from dataclasses import dataclass

import numpy as np
import torch

from world_models.data.datasets import SequenceDataset
from world_models.data.episode import TERMINATED
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import model_actions
from world_models.envs.actions import ActionSpace
from world_models.measures.bootstrap import Doubles
from world_models.measures.calibration import (
    done_rows,
    done_scores,
    reward_rows,
    reward_scores,
)
from world_models.measures.rows import CalibrationBin, HeadScore
from world_models.models.pixel import PixelModel
from world_models.runs.progress import tracked

MOST_HELD_OUT_STEPS = 8192
"""Most held-out steps that are looked at, evenly spread over the episodes."""
STEPS_AT_ONCE = 64
"""Steps predicted side by side."""


@dataclass(frozen=True)
class HeldOutSteps:
    """Steps of a split whose k frames and actions are all inside the episode, with what followed.

    Unlike a frame, the reward and the end of an episode's last step are known wherever it was
    stored.
    """

    data: SequenceDataset
    # (n,)
    items: np.ndarray
    space: ActionSpace
    view: View
    # of the training episodes: mean, and share of steps that end an episode
    mean_reward: float
    end_rate: float

    @classmethod
    def of(
        cls, store: EpisodeStore, split: str, context: int, space: ActionSpace, view: View
    ) -> "HeldOutSteps":
        """Up to MOST_HELD_OUT_STEPS of a split.

        The baselines are of the training episodes, or of the split itself where a store has none.
        """
        data = SequenceDataset(store, split, context)
        train = store.episodes("train") or store.episodes(split)
        long_enough = np.array([row.length for row in data.rows]) >= context
        items = np.flatnonzero(np.repeat(long_enough, data.windows_per_episode))
        chosen = np.linspace(0, len(items) - 1, min(MOST_HELD_OUT_STEPS, len(items)))
        items = items[chosen.round().astype(np.int64)]
        steps = sum(row.length for row in train)
        closing = [
            store.arrays(row.shard).done[row.start + row.length - 1] == TERMINATED for row in train
        ]
        mean = sum(row.total_return for row in train) / steps
        return cls(data, items, space, view, mean, sum(map(int, closing)) / steps)


@torch.inference_mode()
def judge_heads(
    model: PixelModel, steps: HeldOutSteps, device: str
) -> tuple[list[CalibrationBin], list[HeadScore]]:
    """The rows of calibration and calibration_scores.

    There are none of a head that the model does not have.
    """
    predicted, followed = _heads_one_step_ahead(model, steps, device)
    bins: list[CalibrationBin] = []
    scores: list[HeadScore] = []
    if "end" in predicted:
        ended = followed["end"].astype(bool)
        bins += done_rows(predicted["end"], ended)
        scores += done_scores(predicted["end"], ended, steps.end_rate)
    if "reward" in predicted:
        bins += reward_rows(predicted["reward"], followed["reward"])
        scores += reward_scores(predicted["reward"], followed["reward"], steps.mean_reward)
    return bins, scores


def _heads_one_step_ahead(
    model: PixelModel, steps: HeldOutSteps, device: str
) -> tuple[dict[str, Doubles], dict[str, Doubles]]:
    """Rewards and ends (N,) by "reward" and "end": as the heads say, and as it was."""
    model.eval()
    found: dict[str, list[torch.Tensor]] = {"reward": [], "end": []}
    followed: dict[str, list[torch.Tensor]] = {"reward": [], "end": []}
    starts = range(0, len(steps.items), STEPS_AT_ONCE)
    for first in tracked("judge rewards and ends", starts, len(starts), "batches"):
        batch = steps.data.__getitems__(steps.items[first : first + STEPS_AT_ONCE])
        said = model(
            steps.view(batch.frames[:, :-1], device),
            model_actions(steps.space, batch.actions, device),
        )
        followed["reward"].append(batch.rewards[:, -1])
        followed["end"].append(batch.done[:, -1] == TERMINATED)
        if said.reward is not None:
            found["reward"].append(said.reward.float().cpu())
        if said.done is not None:
            found["end"].append(said.done.float().sigmoid().cpu())
    return _joined(found), _joined(followed)


def _joined(columns: dict[str, list[torch.Tensor]]) -> dict[str, Doubles]:
    """The columns of which there are any parts."""
    return {name: torch.cat(parts).double().numpy() for name, parts in columns.items() if parts}
