"""Agents that are played by name or by file, and how small they can be."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import newest, small
from equality import assert_equal_runs, fails_at

import world_models
from world_models.agents import trained
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.runs.files import read_json, sha256
from world_models.stages import rollout


@pytest.fixture
def catcher(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent that comes with the package under the name `catcher`, in half precision."""
    monkeypatch.setattr(trained, "PACKAGED_AGENTS", tmp_path)
    world_models.load(finished / "controller/agent.pt").save(tmp_path / "catcher.pt", half=True)
    return tmp_path / "catcher.pt"


def test_an_agent_is_played_by_name_and_by_file(
    finished: Path, catcher: Path, tmp_path: Path
) -> None:
    original, scores = tmp_path / "copy.pt", []
    shutil.copy(finished / "controller/agent.pt", original)
    for agent, file in (("catcher", catcher), (str(original), original)):
        assert main(small("evaluate", f"agent={agent}", f"outputs={tmp_path / 'outputs'}")) == 0
        run = newest(tmp_path / "outputs")
        assert [
            (item["kind"], item["sha256"]) for item in read_json(run / "manifest.json")["inputs"]
        ] == [("agent", sha256(file))]
        scores.append(read_json(run / "scores.json")["returns"])
    assert scores[1] == read_json(finished / "evaluate/scores.json")["returns"]


def test_half_precision_is_half_as_large_and_plays_alike(finished: Path, catcher: Path) -> None:
    whole = finished / "controller/agent.pt"
    assert catcher.stat().st_size < 0.55 * whole.stat().st_size
    ours, theirs = (world_models.load(path).agent for path in (catcher, whole))
    assert ours.inputs == theirs.inputs and ours.world.device.type == "cpu"
    frames = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)
    latents = [agent.world.encode(frames) for agent in (ours, theirs)]
    np.testing.assert_allclose(*latents, rtol=0.02, atol=0.02)
    assert latents[0].dtype == latents[1].dtype


@pytest.mark.usefixtures("catcher")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["stage=evaluate", "env=pellet", "agent=catchr"],
            "agent=catchr does not exist: give one of catcher, or an agent.pt",
        ),
        (
            ["stage=evaluate", "env=car_racing", "agent=catcher"],
            "was trained on WorldModels/Pellet-v0, not on CarRacing-v3",
        ),
        (
            ["stage=evaluate", "env=pellet", "env.size=32", "agent=catcher"],
            "with other settings than env has here",
        ),
        (["stage=vae", "env=pellet", "agent=catcher"], "stage=vae plays no trained agent"),
        (
            ["stage=evaluate", "env=pellet", "agent=catcher", "upstream=x"],
            "both name what to play: give one",
        ),
    ],
)
def test_mistakes_end_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, f"outputs={tmp_path / 'outputs'}"]) == 1
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not (tmp_path / "outputs").exists()


def played(run: Path) -> list[tuple[int, str, float]]:
    rows = EpisodeStore.open(run / "episodes").rows
    return [(row.seed, row.split, row.total_return) for row in rows]


def test_a_collection_goes_on_with_what_another_collected(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [
        "policy=agent",
        f"agent={finished}",
        f"extends={finished}",
        "episodes=8",
        "shard_size=2",
    ]
    arguments = small("rollout", *(f"stage.{key}" for key in keys))
    assert main([*arguments, f"outputs={tmp_path / 'whole'}"]) == 0
    whole = newest(tmp_path / "whole")
    before, after = played(finished / "rollout"), played(whole)
    assert after[: len(before)] == before and len(after) == len(before) + 8
    assert not {seed for seed, *_ in before} & {seed for seed, *_ in after[len(before) :]}
    assert [split for _, split, _ in after[-2:]] == ["train", "validation"]
    inputs = {item["kind"] for item in read_json(whole / "manifest.json")["inputs"]}
    assert inputs == {"agent", "extends"}
    with monkeypatch.context() as patch:
        patch.setattr(rollout, "write_shard", fails_at(3, rollout.write_shard))
        assert main([*arguments, f"outputs={tmp_path / 'cut'}"]) == 130
    assert main([f"resume={newest(tmp_path / 'cut')}"]) == 0
    assert_equal_runs(whole, newest(tmp_path / "cut"))


def test_episodes_of_another_environment_are_not_gone_on_with(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [f"stage.extends={finished}", "env.size=32", f"outputs={tmp_path / 'o'}"]
    assert main(small("rollout", *keys)) == 1
    assert "was made with another env: preprocessing is" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
