"""V, M and C learn on Atari, on pictures that are cropped."""

import importlib.util
from pathlib import Path

import pytest
from commands import newest, small_pipeline

from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.runs.files import read_json

GAME = ["env=atari", "env.game=SpaceInvaders", "env.crop.top=20", "env.crop.bottom=15"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ale_py") is None, reason='needs the extra "atari"')
def test_all_of_v_m_and_c(tmp_path: Path) -> None:
    command = small_pipeline("stage.rollout.max_steps=60", f"outputs={tmp_path}")
    assert main([*(key for key in command if key != "env=pellet"), *GAME]) == 0
    run = newest(tmp_path)
    store = EpisodeStore.open(run / "rollout/episodes")
    assert store.manifest["env"]["preprocessing"]["crop"] == [20, 15, 0, 0]
    returns = read_json(run / "evaluate/scores.json")["returns"]
    assert len(returns) == 5 and min(returns) >= 0
