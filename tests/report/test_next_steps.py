"""What a page says can be typed next."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from world_models.chains import catalogue
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.config.stage import Setting, Stage
from world_models.report.next_steps import FEEDS, PLAYING, PURPOSES, next_steps
from world_models.runs.device import Device
from world_models.runs.files import read_json
from world_models.runs.past import PastRun


def steps_of(folder: Path, status: str = "finished") -> dict[str, str]:
    manifest = read_json(folder / "manifest.json")
    return dict(next_steps(folder, manifest["stage"], status, manifest))


@pytest.mark.parametrize("name", FEEDS)
def test_each_stage_names_stages_that_need_it(name: str) -> None:
    row = catalogue.row(name)
    parts = list(row.stages) if not isinstance(row, Stage) else [row]
    made = {found for part in parts for found in (part.name, part.stands_for)}
    for following in FEEDS[name]:
        assert made & set(catalogue.stage(following).needs), following
        assert following in PURPOSES


def test_every_stage_that_others_need_says_what_comes_next() -> None:
    rows = [catalogue.row(name) for name in catalogue.names()]
    needed = {name for row in rows if isinstance(row, Stage) for name in row.needs}
    assert needed <= set(FEEDS)


@pytest.mark.parametrize("stage", ["rollout", "vae", "mdrnn", "controller"])
def test_the_commands_can_be_typed(finished: Path, stage: str) -> None:
    register(catalogue.schemas())
    steps = steps_of(finished / stage)
    names = [PURPOSES[name] for name in FEEDS[stage]]
    assert list(steps)[: len(names)] == names
    for purpose in names:
        words = shlex.split(steps[purpose])
        assert words[:3] == ["python", "-m", "world_models.main"]
        assert compose_config(words[3:]).config.env.id == "WorldModels/Pellet-v0"


def test_v_is_named_only_where_frames_have_its_size(finished: Path) -> None:
    manifest = read_json(finished / "rollout/manifest.json")
    manifest["env"]["preprocessing"]["size"] = 40
    steps = dict(next_steps(finished / "rollout", "rollout", "finished", manifest))
    assert PURPOSES["vae"] not in steps and PURPOSES["tokenizer"] in steps


def test_who_plays_is_not_named_where_there_are_recordings_alone(finished: Path) -> None:
    manifest = read_json(finished / "mdrnn/manifest.json")
    manifest["env"]["id"] = "Data/mine"
    steps = dict(next_steps(finished / "mdrnn", "mdrnn", "finished", manifest))
    assert PURPOSES["controller"] not in steps and PURPOSES["export"] in steps


@pytest.mark.parametrize("name", PLAYING)
def test_those_that_play_refuse_recordings(name: str, finished: Path) -> None:
    row = catalogue.stage(name)
    env = replace(PastRun(finished / "mdrnn").env, id="Data/mine")
    with pytest.raises(ValueError, match="recordings"):
        row.resolve(row.config(), Setting(env, Device.cpu))


def test_scripts_that_are_there_are_named(finished: Path) -> None:
    steps = steps_of(finished)
    assert shlex.split(steps["Play it"])[0].endswith("play.sh")
    assert shlex.split(steps["Score it again"])[0].endswith("eval.sh")
    assert "stage.runs=[" in steps["Compare it with another run"]


def test_a_run_that_was_cut_off_is_gone_on_with(finished: Path) -> None:
    steps = steps_of(finished / "vae", "interrupted")
    assert list(steps) == ["Go on"] and steps["Go on"].endswith("vae/resume.sh")


def test_the_page_says_it(finished: Path) -> None:
    assert "Train M on this V" in (finished / "vae/report.html").read_text()
