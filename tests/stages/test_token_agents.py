"""Agents that read tokens in the stages that play agents."""

from pathlib import Path

import numpy as np
import pytest
from agents.token_agents import pellet, token_agent
from commands import ENV, newest, small

from world_models.agents.rollout import play
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.runs.files import read_json


@pytest.fixture
def path(tmp_path: Path) -> Path:
    token_agent().save(tmp_path / "agent.pt")
    return tmp_path / "agent.pt"


def test_it_is_evaluated_and_filmed(path: Path, tmp_path: Path) -> None:
    assert main(small("evaluate", f"agent={path}", f"outputs={tmp_path / 'outputs'}")) == 0
    run = newest(tmp_path / "outputs")
    scores = read_json(run / "scores.json")
    again = play(pellet(2), token_agent().policy(), scores["seeds"])
    assert scores["returns"] == [score.total_return for score in again]
    assert (run / "videos" / "best.mp4").is_file()


def test_it_plays_in_a_recording(path: Path, tmp_path: Path) -> None:
    recorded = [f"stage.record={tmp_path / 'clip'}", "stage.steps=15", "stage.first_seed=4"]
    shown = ["stage.height=96", "stage.panels=true"]
    assert main(["stage=play", *ENV, f"agent={path}", *recorded, *shown]) == 0
    steps = np.load(tmp_path / "clip.npz")
    (score,) = play(pellet(1), token_agent().policy(), [4])
    length = min(score.length, 15)
    ended = np.flatnonzero(steps["done"])
    assert not len(ended) or ended[0] + 1 == score.length
    assert steps["rewards"][:length].sum() == (score.total_return if length < 15 else 0)


def test_it_collects(path: Path, tmp_path: Path) -> None:
    keys = ["stage.policy=agent", f"stage.agent={path}", "stage.noise=0.2"]
    assert main(small("rollout", *keys, f"outputs={tmp_path / 'outputs'}")) == 0
    store = EpisodeStore.open(newest(tmp_path / "outputs") / "episodes")
    assert store.manifest["policy"] == "agent" and store.rows


@pytest.mark.parametrize(
    ("stage", "more", "sentence"),
    [
        ("evaluate", ["stage.plan.method=icem"], "this agent cannot plan"),
        ("export", [], "stage=export is for V, M and C"),
    ],
)
def test_what_it_cannot_do_is_said(
    path: Path, stage: str, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"stage={stage}", *ENV, f"agent={path}", *more]) == 1
    assert sentence in capsys.readouterr().err
