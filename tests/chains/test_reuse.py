"""`reuse=true`: a stage finished elsewhere is taken if and
only if it is what would be made here.
"""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import STAGES, newest, recorded_bars, small, small_pipeline
from equality import assert_equal_runs, fails_at

from world_models.chains import chain as pipelines
from world_models.chains import reuse
from world_models.chains.chain import part_run
from world_models.chains.pipeline import CHAIN
from world_models.config.schema import Config
from world_models.config.stage import Stage
from world_models.config.stored import stored_config
from world_models.envs.make import Backend
from world_models.main import main
from world_models.runs.device import Device
from world_models.runs.files import read_json, sha256
from world_models.runs.past import PastRun
from world_models.runs.run import Run
from world_models.search.evolution import Evolution
from world_models.stages.runs import describe

SIGMA = "stage.controller.sigma0=0.5"


def links(run: Path) -> list[str]:
    """The stages that a pipeline took."""
    taken = [name for name in STAGES if (run / name).is_symlink()]
    assert taken == list(read_json(run / "manifest.json").get("reused", {}))
    return taken


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**read_json(path), **values}))


@pytest.fixture(scope="module")
def both(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outputs folder: the finished pipeline,
    and one with another sigma0 that took all it could from it.
    """
    outputs = tmp_path_factory.mktemp("both")
    shutil.copytree(finished, outputs / "source/day/time")
    bars: list[str] = []
    with recorded_bars(bars):
        assert main(small_pipeline("reuse=true", SIGMA, f"outputs={outputs}")) == 0
    assert {f"look for a finished {name}" for name in STAGES} <= set(bars), "no search is silent"
    newest(outputs).rename(outputs / "source/day/taker")
    return outputs


@pytest.fixture
def pipeline(both: Path, tmp_path: Path) -> Path:
    """The pipeline from which stages are taken, in a copy of the folder that a test may damage."""
    shutil.copytree(both, tmp_path / "outputs", symlinks=True)
    return tmp_path / "outputs/source/day/time"


@pytest.fixture
def taker(pipeline: Path) -> Path:
    """The pipeline that took them."""
    return pipeline.parent / "taker"


def test_what_is_taken_gives_what_would_be_made(
    pipeline: Path, taker: Path, tmp_path: Path
) -> None:
    assert links(taker) == ["rollout", "vae", "mdrnn"]
    for name, entry in read_json(taker / "manifest.json")["reused"].items():
        assert (taker / entry["path"]).resolve() == pipeline / name == (taker / name).resolve()
        assert entry["sha256"] == sha256(pipeline / name / "manifest.json")
    outputs = f"outputs={tmp_path / 'made'}"
    assert (
        main(small("controller", "stage.sigma0=0.5", f"upstream={pipeline / 'mdrnn'}", outputs))
        == 0
    )
    made = newest(tmp_path / "made")
    assert_equal_runs(made, taker / "controller")
    assert main(small("evaluate", f"upstream={made}", outputs)) == 0
    scores = read_json(newest(tmp_path / "made") / "scores.json")
    assert scores == read_json(taker / "evaluate/scores.json")


@pytest.mark.slow
def test_everything_looks_through_what_was_taken(
    pipeline: Path, taker: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (taker / "report.html").read_text()
    assert text.count("(reuse=true).") == 3 and "PSNR of held-out frames" in text
    assert "vae: taken from" in (taker / "log.txt").read_text()
    inputs = {
        item["kind"]: item for item in read_json(taker / "controller/manifest.json")["inputs"]
    }
    assert inputs["vae"]["sha256"] == sha256(pipeline / "vae/checkpoints/best.pt")
    built_on = describe(PastRun(taker), pipeline.parents[2])[-1]
    assert str((pipeline / "vae").relative_to(pipeline.parents[2])) in built_on
    outputs = f"outputs={tmp_path / 'o'}"
    assert main(small("controller", "stage.generations=1", f"upstream={taker}", outputs)) == 0
    assert main([f"resume={taker}"]) == 0
    assert "vae: finished already" in caplog.text
    again = pipeline.parents[2]
    assert main(small_pipeline("reuse=true", "stage.evaluate.episodes=3", f"outputs={again}")) == 0
    third = newest(again)
    assert links(third) == ["rollout", "vae", "mdrnn", "controller"]
    assert main(small("evaluate", f"upstream={third / 'controller'}", outputs)) == 0, (
        "as its eval.sh says"
    )
    assert (
        read_json(newest(tmp_path / "o") / "scores.json")["returns"]
        == read_json(pipeline / "evaluate/scores.json")["returns"]
    )


@pytest.mark.slow
def test_a_pipeline_that_took_stages_is_resumed(
    pipeline: Path, taker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = pipeline.parents[2]
    shutil.move(taker, outputs.parent / "kept")
    with monkeypatch.context() as patch:
        patch.setattr(Evolution, "tell", fails_at(2, Evolution.tell))
        assert main(small_pipeline("reuse=true", SIGMA, f"outputs={outputs}")) == 130
    run = newest(outputs)
    (run / "vae").unlink()
    assert main([f"resume={run}"]) == 0
    assert links(run) == ["rollout", "vae", "mdrnn"]
    assert_equal_runs(outputs.parent / "kept/controller", run / "controller")


@pytest.mark.slow
def test_a_source_that_is_gone_or_changed_is_told(
    pipeline: Path, taker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = (pipeline / "vae/manifest.json").read_text()
    edit(pipeline / "vae/manifest.json", resumed=[{"at": "later"}])
    assert main([f"resume={taker}"]) == 1
    assert (
        "which" in (error := capsys.readouterr().err)
        and "has changed since: start a new pipeline" in error
    )
    (pipeline / "vae/manifest.json").write_text(manifest)
    shutil.rmtree(pipeline / "vae")
    assert main([f"resume={taker}", f"outputs={taker.parents[2]}"]) == 1
    assert "took as its vae (reuse=true), is gone: bring it back" in capsys.readouterr().err
    assert "which is gone" in (taker / "report.html").read_text()
    assert main(small("mdrnn", f"upstream={taker}", f"outputs={taker.parent / 'o'}")) == 1
    assert "took its vae from" in (error := capsys.readouterr().err) and "which is gone" in error


@pytest.fixture
def first_made(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[str], str]]:
    """Starts a pipeline: which stages it took, and which it then made first."""
    made: list[str] = []

    def interrupted(stage: Stage, *_: Any) -> None:
        made.append(stage.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipelines, "run_stage", interrupted)

    def begin(*more: str) -> tuple[list[str], str]:
        assert main(small_pipeline(*more, f"outputs={pipeline.parents[2]}")) == 130
        return links(newest(pipeline.parents[2])), made[-1]

    return begin


@pytest.mark.slow
def test_stages_from_a_change_on_are_made(first_made: Callable[..., tuple[list[str], str]]) -> None:
    assert first_made() == ([], "rollout"), "without reuse=true"
    assert first_made("reuse=true", "seed=5") == ([], "rollout")
    assert first_made("reuse=true", "stage.vae.latent_size=3") == (["rollout"], "vae")
    assert first_made("reuse=true", "stage.mdrnn.hidden_size=6") == (["rollout", "vae"], "mdrnn")
    assert first_made("reuse=true", "stage.evaluate.episodes=6") == (STAGES[:4], "evaluate")


@pytest.mark.slow
def test_a_sweep_makes_each_stage_once_per_seed(tmp_path: Path) -> None:
    """Standalone runs, parts of pipelines and parts of other
    jobs of the same sweep are all taken.
    """
    keys = [
        "stage.vae.num_epochs=1",
        "stage.mdrnn.num_epochs=1",
        "stage.controller.generations=1",
        "threads=1",
    ]
    sweep = [
        "-m",
        *small_pipeline(*keys, "reuse=true", f"outputs={tmp_path}"),
        "seed=1",
        "stage.controller.sigma0=0.5,1",
    ]
    assert main(small("rollout", "seed=1", f"outputs={tmp_path}")) == 0
    assert main(sweep) == 0
    jobs = sorted(path.parent for path in tmp_path.glob("sweeps/*/*/*/evaluate"))
    assert [links(job) for job in jobs] == [["rollout"], ["rollout", "vae", "mdrnn"]]
    assert len([path for path in tmp_path.rglob("best.pt") if "vae" in path.parts]) == 1


@pytest.fixture
def wanted(pipeline: Path) -> Callable[..., Path | None]:
    """Looks for M of the finished pipeline, from a pipeline that has its episodes and its V."""
    past = PastRun(pipeline)
    stored = stored_config(past, CHAIN.config)
    stored = replace(stored, outputs=str(pipeline.parents[2]))
    path = pipeline.parent / "new"
    run = Run(path, 0, stored.device, stored.env.backend, past.env, manifest=past.manifest)
    parts = CHAIN.parts(stored.stage)
    finished = {pipeline / part.folder: part.stage for part in parts[:2]}

    def look(change: Callable[[Config, Run], tuple[Config, Run]] | None = None) -> Path | None:
        one = part_run(parts, 2, stored, run)
        config, part = change(one.config, one.run) if change else (one.config, one.run)
        given = reuse.products(finished)
        return reuse.Wanted(one.part.stage, config, part, given).find()

    return look


def test_run_time_keys_do_not_matter(wanted: Callable[..., Path | None], pipeline: Path) -> None:
    assert wanted() == pipeline / "mdrnn"

    def faster(cfg: Config, run: Run) -> tuple[Config, Run]:
        return replace(cfg, threads=7, stage=replace(cfg.stage, checkpoint_interval=9)), run

    assert wanted(faster) == pipeline / "mdrnn"


CHANGES: dict[str, Callable[[Config, Run], tuple[Config, Run]]] = {
    "a key": lambda config, run: (
        replace(config, stage=replace(config.stage, learning_rate=0.5)),
        run,
    ),
    "a budget": lambda config, run: (
        replace(config, stage=replace(config.stage, num_epochs=3)),
        run,
    ),
    "the seed": lambda config, run: (config, replace(run, seed=1)),
    "the device": lambda config, run: (config, replace(run, device=Device.cuda)),
    "the backend": lambda config, run: (config, replace(run, backend=Backend.envpool)),
    "the env": lambda config, run: (config, replace(run, env=replace(run.env, frame_skip=2))),
    "the folder": lambda config, run: (replace(config, outputs="nowhere"), run),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_run_is_not_taken(name: str, wanted: Callable[..., Path | None]) -> None:
    assert wanted(CHANGES[name]) is None


def test_other_inputs_and_unfinished_runs_are_not_taken(
    wanted: Callable[..., Path | None], pipeline: Path
) -> None:
    path = pipeline / "mdrnn/manifest.json"
    kept = read_json(path)
    for entry in kept["inputs"]:
        others = [
            item if item != entry else {**item, "sha256": "0" * 64} for item in kept["inputs"]
        ]
        edit(path, inputs=others)
        assert wanted() is None, entry["kind"]
    for values in ({"status": "interrupted"}, {"resumed": [{"device": "cuda", "overrides": []}]}):
        edit(path, **{**kept, **values})
        assert wanted() is None
    edit(path, **kept)
    assert wanted() is not None
    vae = pipeline / "vae/checkpoints/best.pt"
    torch.save({**torch.load(vae), "epoch": 99}, vae)
    assert wanted() is None, "V is another now"
    (pipeline / "mdrnn/checkpoints/best.pt").unlink()
    assert wanted() is None


def test_equal_content_elsewhere_counts_but_not_without_its_own_inputs(
    wanted: Callable[..., Path | None], pipeline: Path
) -> None:
    """The candidate lies in a copied pipeline whose V is gone, then back:
    what is built on it could not be traced.
    """
    other = pipeline.parents[2] / "other/day/time"
    shutil.copytree(pipeline, other)
    shutil.rmtree(pipeline / "mdrnn")
    assert wanted() == other / "mdrnn"
    shutil.move(other / "vae", other / "away")
    assert wanted() is None


def test_of_several_the_one_made_most_alike_is_taken(
    wanted: Callable[..., Path | None],
    pipeline: Path,
    taker: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    newer = pipeline.parents[2] / "newer/day/time"
    shutil.copytree(pipeline, newer)
    edit(newer / "mdrnn/manifest.json", created="2099-01-01T00:00:00")
    assert wanted() == newer / "mdrnn"
    edit(
        newer / "mdrnn/manifest.json",
        git={"commit": "another", "dirty": False},
        versions={"torch": "0.1"},
    )
    assert wanted() == pipeline / "mdrnn"
    assert "was made with" not in caplog.text
    shutil.rmtree(pipeline / "mdrnn")
    part = replace_path(taker, "again")
    reuse.take(part, replace(part, path=part.path / "mdrnn"), newer / "mdrnn")
    assert "git: not what" in caplog.text and "versions: not what" in caplog.text


def replace_path(like: Path, name: str) -> Run:
    past = PastRun(like)
    (like.parent / name).mkdir()
    manifest = dict(past.manifest)
    return Run(like.parent / name, 0, Device.cpu, Backend.gymnasium, past.env, manifest=manifest)


def test_pipelines_that_want_the_same_stage_take_turns(
    wanted: Callable[..., Path | None], pipeline: Path
) -> None:
    past = PastRun(pipeline)
    stored = replace(stored_config(past, CHAIN.config), outputs=str(pipeline.parents[2]))
    run = Run(pipeline, 0, Device.cpu, Backend.gymnasium, past.env)
    one = part_run(CHAIN.parts(stored.stage), 1, stored, run)
    vae = reuse.Wanted(one.part.stage, one.config, one.run, {})
    order: list[str] = []

    def second() -> None:
        with vae.turn():
            order.append("second")

    with vae.turn():
        thread = threading.Thread(target=second)
        thread.start()
        with replace(vae, run=replace(vae.run, seed=1)).turn():
            order.append("another seed")
        thread.join(timeout=0.2)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["another seed", "first", "second"]
