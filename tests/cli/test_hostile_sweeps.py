"""A sweep or a run from a stranger runs no code, whatever its files ask for."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import newest, small
from strangers import Stranger

from world_models.chains.catalogue import schemas
from world_models.cli.multirun import expand
from world_models.config.own_keys import require_own_keys
from world_models.config.schema import register
from world_models.envs.trust import trusted
from world_models.main import main
from world_models.runs.files import read_json

JOB = small("rollout", "stage.episodes=2")


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that a command line ends with."""
    capsys.readouterr()
    assert main(arguments) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


def sweep(folder: Path, *jobs: Any, **more: Any) -> Path:
    """A sweep that somebody wrote by hand."""
    folder.mkdir(exist_ok=True)
    fields = {"command": [], "directory": ".", "launcher": [], "swept": [], "jobs": list(jobs)}
    note = {"schema": 1, "began": "2026-11-20T14:03:22", **fields, **more}
    (folder / "sweep.json").write_text(json.dumps(note))
    return folder


def hostile(tmp_path: Path) -> list[str]:
    """Overrides that would call something, or read what no run reads."""
    call = "hydra.callbacks.x"
    target = tmp_path / "target.yaml"
    target.write_text("# @package _global_\nhydra: {callbacks: {x: {_target_: os.getcwd}}}\n")
    return [
        f"+{call}._target_=shutil.copyfile",
        f"++{call}={{_target_:shutil.copyfile,src:a,dst:b}}",
        "hydra.launcher._target_=os.system",
        "hydra/launcher=basic",
        "hydra.job.env_set.LD_PRELOAD=/tmp/x.so",
        "hydra.searchpath=[/tmp]",
        "hydra.sweeper._target_=os.system",
        "~hydra.job_logging",
        "env@hydra.launcher=pellet",
        "+experiment@hydra.callbacks=demo",
        f"env=../../../../../../../../..{target.with_suffix('')}",
        f"+experiment={target.with_suffix('')}",
        "stage={_target_:os.system}",
        "+env.kwargs._target_=os.system",
        "+env.kwargs.x={_target_:os.system}",
        "wandb.project=${oc.env:HOME}",
        "wandb.project='${oc.decode:1}'",
        "upstream=${hydra:runtime.cwd}",
        "+env.kwargs.a=${env.kwargs.b}${env.kwargs.b}",
        "+_target_=os.system",
        "schema/env=procgen",
        "env.kwargs.a=" + "[" * 20_000,
        "stage.episodes",
        "",
    ]


def test_a_stored_job_sets_our_own_keys_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for override in hostile(tmp_path):
        folder = sweep(tmp_path / "sweep", JOB, [*JOB, override])
        error = refused([f"resume={folder}"], capsys)
        known = "sweep.json holds" in error and "no file may ask for that" in error
        assert known or "at most 10000 characters" in error, override[:100]
        assert [path.name for path in folder.iterdir()] == ["sweep.json"], override


def test_a_path_may_hold_any_words(tmp_path: Path) -> None:
    kept = [f"outputs='{tmp_path}/my_target_runs'", "upstream=/data/_target_"]
    assert require_own_keys(kept, tmp_path / "sweep.json") == kept


@pytest.mark.parametrize(
    "launcher",
    [
        "hydra/launcher=submitit_local",
        "hydra.launcher._target_=os.system",
        "hydra.launcher.pre_dispatch=__import__('os').getcwd()",
        "hydra.launcher.n_jobs=1+1",
        "hydra.callbacks.x._target_=os.system",
    ],
)
def test_of_a_launcher_a_file_says_which_and_how_many(
    tmp_path: Path, launcher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(tmp_path / "sweep", JOB, launcher=["hydra/launcher=joblib", launcher])
    error = refused([f"resume={folder}"], capsys)
    assert launcher in error and "type it again" in error
    assert [path.name for path in folder.iterdir()] == ["sweep.json"]


@pytest.mark.parametrize("written", ["{}:Stranger-v0", r"{}\:Stranger-v0", "'{}:Stranger-v0'"])
def test_a_stored_job_imports_a_module_with_the_users_word_alone(
    tmp_path: Path, stranger: Stranger, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hydra writes a backslash before the colon of an id that is swept."""
    job = [item for item in JOB if item != "env=pellet"]
    named = [*job, "env=gymnasium", f"outputs={tmp_path}"]
    named.append(f"env.id={written.format(stranger.module)}")
    folder = sweep(tmp_path / "sweep", named)
    assert "type env.trust=stranger " in refused([f"resume={folder}"], capsys)
    assert not stranger.ran and not (folder / "0").exists()
    assert main([f"resume={folder}", "env.trust=stranger"]) == 0 and stranger.ran


def test_a_job_is_not_composed_in_a_folder_that_the_sweep_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts there would import what lies there, in place of Python's own."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (there / "multiprocessing.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    monkeypatch.chdir(here)
    job = [item for item in JOB if not item.startswith("stage.workers")]
    folder = sweep(tmp_path / "sweep", [*job, "stage.workers=1"], directory=str(there))
    assert main([f"resume={folder}"]) == 0
    assert not (tmp_path / "harm").exists()


@pytest.mark.slow
def test_a_typed_module_is_trusted_by_the_run_its_workers_and_its_scripts(
    tmp_path: Path, stranger: Stranger, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [item for item in small("rollout") if not item.startswith("env=")]
    typed = ["env=gymnasium", f"env.id={stranger.env_id}", "stage.workers=1", "stage.episodes=3"]
    assert main([*arguments, *typed, f"outputs={tmp_path / 'outputs'}"]) == 0 and stranger.ran
    run = newest(tmp_path / "outputs")
    assert "env.trust=stranger" in (run / "resume.sh").read_text()


def test_a_resumed_run_and_a_named_upstream_ask_for_the_word(
    tmp_path: Path, finished: Path, stranger: Stranger, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished / "rollout", run)
    manifest = read_json(run / "manifest.json")
    manifest["env"]["id"] = stranger.env_id
    manifest["choices"] |= {"env": "gymnasium", "env_keys": [f"env.id={stranger.env_id}"]}
    manifest["status"] = "interrupted"
    (run / "manifest.json").write_text(json.dumps(manifest))
    before = (run / "manifest.json").read_bytes()
    assert "type env.trust=stranger" in refused([f"resume={run}"], capsys)
    assert (run / "manifest.json").read_bytes() == before
    vae = [item for item in small("vae", f"upstream={run}") if not item.startswith("env=")]
    outputs = f"outputs={tmp_path / 'outputs'}"
    assert "type env.trust=stranger" in refused([*vae, outputs], capsys)
    assert not stranger.ran and not (tmp_path / "outputs").exists()
    assert "is not finished" in refused([*vae, outputs, "env.trust=stranger"], capsys)


def test_a_named_upstream_sets_our_own_keys_alone(
    tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished / "rollout", run)
    manifest = read_json(run / "manifest.json")
    for override in hostile(tmp_path):
        manifest["choices"]["env_keys"] = [override]
        (run / "manifest.json").write_text(json.dumps(manifest))
        arguments = [item for item in small("vae") if not item.startswith("env=")]
        error = refused([*arguments, f"upstream={run}", f"outputs={tmp_path}"], capsys)
        known = "manifest.json holds" in error
        assert known or "at most 10000 characters" in error, override[:100]


def test_what_is_typed_for_a_sweep_is_trusted(stranger: Stranger) -> None:
    register(schemas())
    typed = ["stage=rollout", "env=gymnasium", f"env.id={stranger.env_id},Acrobot-v1"]
    assert len(expand(typed).jobs) == 2
    assert trusted() == [stranger.module]
