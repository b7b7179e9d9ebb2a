"""The alignment of frames and actions, from an environment to the score:
a frame shows nothing but the action before it.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import newest

from world_models.data.store import EpisodeStore, StoreWriter
from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv

ID = "WorldModelsTests/Echo-v0"
ENV = ["env=gymnasium", f"env.id={ID}", "env.size=16", "threads=1"]


class Echo(gymnasium.Env[np.ndarray, int]):
    """A bright bar in the quarter of the picture that the last action names; the first frame is
    dark.

    Action 2 is rewarded; action 0 ends the episode where the bar is in the first quarter already.
    """

    action_space = gymnasium.spaces.Discrete(4)
    observation_space = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.picture = render_mode, np.zeros((16, 16, 3), np.uint8)

    def reset(self, **given: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.picture = np.full((16, 16, 3), 40, np.uint8)
        return self.picture, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        ended = action == 0 and bool(self.picture[0, 0, 0] == 220)
        self.picture = np.full((16, 16, 3), 40, np.uint8)
        self.picture[:, 4 * action : 4 * action + 4] = 220
        return self.picture, float(action == 2), ended, False, {}

    def render(self) -> np.ndarray:  # type: ignore[override]
        return self.picture


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Episodes of Echo, played at random."""
    gymnasium.register(ID, Echo, max_episode_steps=30)
    outputs = tmp_path_factory.mktemp("echo")
    keys = ["stage.episodes=80", "stage.policy=random", "stage.workers=0", "stage.val_fraction=0.2"]
    assert (
        main(
            [
                "stage=rollout",
                *ENV,
                *keys,
                f"outputs={outputs}",
            ]
        )
        == 0
    )
    yield newest(outputs)
    del gymnasium.registry[ID]


def error(
    rollout: Path, outputs: Path, head: str = "direct", steps: int = 400
) -> tuple[float, float]:
    """MSE one frame ahead, of a small model that was trained on one frame at a time,
    and of copying.
    """
    model = [
        f"stage.head={head}",
        "stage.widths=[8,12]",
        "stage.condition=16",
        "stage.unroll=[1]",
        "stage.n_past_actions=1",
    ]
    training = [
        f"stage.max_steps={steps}",
        "stage.data.batch_size=32",
        "stage.learning_rate=0.01",
        "stage.loss=mse",
    ]
    training += ["stage.unroll_shares=[1]", "stage.context_noise=0", "stage.ema_decay=0.9"]
    training += [
        "stage.rewards=true",
        "stage.ends=true",
        "stage.reward_weight=0.1",
        "stage.end_weight=0.1",
    ]
    command = ["stage=pixel", *ENV, *model, *training]
    assert (
        main([*command, "stage.val_rollout_horizon=4", f"upstream={rollout}", f"outputs={outputs}"])
        == 0
    )
    row = read_csv(newest(outputs) / "val_metrics.csv")[-1]
    return float(row["val_mse"]), float(row["copy_mse"])


@pytest.mark.slow
def test_a_model_that_is_told_the_action_knows_the_frame(rollout: Path, tmp_path: Path) -> None:
    found, copy = error(rollout, tmp_path)
    assert found < 1e-3 < copy / 10
    rows = {row["name"]: row for row in read_csv(newest(tmp_path) / "val_head_scores.csv")}
    value, baseline = (
        {name: float(row[key]) for name, row in rows.items()} for key in ("value", "baseline")
    )
    assert value["reward_mse"] < 0.05 * baseline["reward_mse"] and value["reward_r2"] > 0.95
    assert value["done_brier"] < 0.3 * baseline["done_brier"] and value["done_auroc"] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("head", ["residual", "advect"])
def test_so_does_a_model_that_begins_as_a_copy(rollout: Path, tmp_path: Path, head: str) -> None:
    found, copy = error(rollout, tmp_path, head, 2000)
    assert found < 1e-3 < copy / 10


@pytest.mark.parametrize("shift", [1, -1])
@pytest.mark.slow
def test_with_actions_shifted_by_one_it_does_not(rollout: Path, tmp_path: Path, shift: int) -> None:
    """One too late, the action says what the last frame shows; one too early,
    what the frame after the next will.
    """
    shifted, store = tmp_path / "shifted", EpisodeStore.open(rollout / "episodes")
    shutil.copytree(rollout, shifted, ignore=shutil.ignore_patterns("episodes"))
    manifest = read_json(rollout / "episodes" / "manifest.json")
    kept = ("env", "backend", "policy", "seed", "has_final_frame", "versions")
    writer = StoreWriter(shifted / "episodes", {name: manifest[name] for name in kept})
    for shard in store.shards():
        rows = [row for row in store.rows if row.shard == shard]
        episodes = [store.episode(row) for row in rows]
        episodes = [
            replace(episode, actions=np.append(np.roll(episode.actions[:-1], shift), 0))
            for episode in episodes
        ]
        writer.write_shard(shard, episodes, [row.split for row in rows])
    writer.finish()
    found, copy = error(shifted, tmp_path / "outputs")
    assert found > copy / 4
