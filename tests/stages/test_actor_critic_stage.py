"""Stage actor_critic: what it is fed with, exact resumption, what it leaves."""

from pathlib import Path

import pytest
from commands import misfits, newest, small
from equality import assert_equal_runs, fails_at

import world_models
from world_models.agents.token_agent import TokenAgent
from world_models.learning.behaviour import BehaviourLearner
from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv


@pytest.fixture(scope="module")
def whole(token_world_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("actor_critic")
    assert main(small("actor_critic", f"upstream={token_world_run}", f"outputs={outputs}")) == 0
    return newest(outputs)


def test_ctrl_c_then_resume_equals_uninterrupted(
    whole: Path, token_world_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(BehaviourLearner, "_update", fails_at(6, BehaviourLearner._update))
        command = small("actor_critic", f"upstream={token_world_run}", f"outputs={tmp_path}")
        assert main(command) == 130
    run = newest(tmp_path)
    assert main([f"resume={run}"]) == 0
    assert_equal_runs(whole, run)


def test_it_leaves_an_agent_and_says_what_it_rests_on(whole: Path) -> None:
    assert misfits(whole) == []
    agent = world_models.load(whole).agent
    assert isinstance(agent, TokenAgent)
    kinds = {item["kind"] for item in read_json(whole / "manifest.json")["inputs"]}
    assert kinds == {"token_world", "tokenizer", "episodes"}
    assert agent.inputs == read_json(whole / "manifest.json")["inputs"]
    played = read_csv(whole / "played.csv")
    assert [int(row["step"]) for row in played] == [0, 3, 6, 7]
    assert {row["player"] for row in played[1:]} == {"agent"} and played[0]["player"] == "random"
