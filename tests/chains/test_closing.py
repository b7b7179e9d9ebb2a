"""What a run says at its end: where its page is, what to type next, and which run would fit."""

import logging
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from commands import ENV, newest, small

from world_models.chains import catalogue
from world_models.chains.catalogue import row
from world_models.chains.closing import fed_by, say_what_follows
from world_models.chains.upstream import find_upstream
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.main import main
from world_models.runs.device import Device
from world_models.runs.files import read_json
from world_models.runs.folder import display_path, outputs_typed
from world_models.runs.past import PastRun
from world_models.runs.run import Run


def run_of(folder: Path) -> Run:
    past = PastRun(folder)
    return Run(folder, 0, Device.cpu, None, past.env, manifest=past.manifest)


@pytest.mark.parametrize(
    ("stage", "following"),
    [
        ("rollout", ["vae", "pixel", "autoencoder", "tokenizer", "play"]),
        ("vae", ["mdrnn"]),
        ("mdrnn", ["controller", "play", "export"]),
        ("controller", ["evaluate", "play", "export"]),
        ("evaluate", []),
    ],
)
def test_a_stage_names_what_it_can_feed(
    finished: Path, stage: str, following: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    run = run_of(finished / stage)
    assert fed_by(row(stage), run) == following
    with caplog.at_level(logging.INFO):
        say_what_follows(row(stage), run)
    assert f"look at {run.name}/report.html" in caplog.text
    assert ("next: " in caplog.text) == bool(following)


def test_what_it_names_can_be_typed(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        say_what_follows(row("vae"), run_of(finished / "vae"))
    typed = shlex.split(caplog.text.partition("next: ")[2])
    assert typed[:3] == ["python", "-m", "world_models.main"]
    outputs = f"outputs={display_path(finished.parents[2])}"
    assert typed[-1] == outputs
    more = [item for item in small("mdrnn") if item not in typed]
    assert main([*typed[3:-1], *more, f"outputs={tmp_path}"]) == 0
    assert newest(tmp_path).joinpath("report.html").is_file()


@pytest.mark.parametrize("below", ["Env", "sweeps"])
def test_the_usual_outputs_are_not_typed(
    below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "outputs" / below / "2026-11-20" / "14-03-22" / "vae"
    assert outputs_typed(folder) == [f"outputs={tmp_path / 'outputs'}"]
    monkeypatch.chdir(tmp_path)
    assert outputs_typed(folder) == [] and outputs_typed(tmp_path / "elsewhere") == []


def test_a_run_that_gave_nothing_feeds_nothing(finished: Path, tmp_path: Path) -> None:
    run = run_of(finished / "vae")
    run.path = tmp_path
    assert fed_by(row("vae"), run) == []


def test_v_is_named_only_where_frames_have_its_size(finished: Path) -> None:
    run = run_of(finished / "rollout")
    small = replace(run.env.preprocessing, size=40)
    run.env = replace(run.env, preprocessing=small)
    assert fed_by(row("rollout"), run) == ["pixel", "autoencoder", "tokenizer", "play"]


def test_who_plays_is_not_named_where_there_are_recordings_alone(finished: Path) -> None:
    run = run_of(finished / "mdrnn")
    run.env = replace(run.env, id="Data/mine")
    assert fed_by(row("mdrnn"), run) == ["play", "export"]


def test_a_chain_names_its_script_and_a_job_of_a_sweep_nothing(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_of(finished)
    with caplog.at_level(logging.INFO):
        say_what_follows(row("pipeline"), run)
    assert f"to evaluate it again: {run.name}/eval.sh" in caplog.text
    assert f"to play it: {run.name}/play.sh" in caplog.text
    caplog.clear()
    (tmp_path / "sweep.json").write_text("{}")
    run.path = tmp_path / "0"
    say_what_follows(row("pipeline"), run)
    assert not caplog.text


def test_a_run_of_another_experiment_is_named(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = pipeline.parents[2]
    for path in outputs.rglob("manifest.json"):
        content = path.read_text()
        path.write_text(content.replace('"experiment": null', '"experiment": "demo"'))
    assert read_json(pipeline / "manifest.json")["experiment"] == "demo"
    assert main(["stage=evaluate", *ENV, f"outputs={outputs}"]) == 1
    said = capsys.readouterr().err
    name = PastRun(pipeline / "controller").name
    assert f"{name} is one of experiment=demo: type upstream={name}, or run " in said
    assert f"{name}/eval.sh" in said
    assert main(["stage=mdrnn", *ENV, f"outputs={outputs}"]) == 1
    assert "/vae is one of experiment=demo: type upstream=" in capsys.readouterr().err
    assert main(["stage=mdrnn", *ENV, "env.size=32", f"outputs={outputs}"]) == 1
    assert "run stage=vae first" in capsys.readouterr().err


def test_where_several_stages_will_do_the_first_that_has_a_run_is_taken(pipeline: Path) -> None:
    register(catalogue.schemas())
    config = compose_config(["stage=export", *ENV, f"outputs={pipeline.parents[2]}"]).config
    found = [PastRun(pipeline / name) for name in ("controller", "mdrnn")]
    for run in found:
        taken = find_upstream(config, row("export"), run.env, None, "9999-01-01T00:00:00")
        assert taken is not None and (taken.stage, taken.run.path) == (run.stage, run.path)
        shutil.rmtree(run.path)
    with pytest.raises(ValueError, match="needs a finished controller or mdrnn run"):
        find_upstream(config, row("export"), found[0].env, None, "9999-01-01T00:00:00")
