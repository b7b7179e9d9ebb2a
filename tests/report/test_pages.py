"""Pages of real small runs: each shows all that its report module can show, and it shows no
more."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import newest, small
from report.fabricated import Page

from world_models.main import main
from world_models.measures.rows import QUANTITIES, CalibrationBin
from world_models.report import (
    actor_critic,
    autoencoder,
    controller,
    evaluate,
    mdrnn,
    pixel,
    rare,
    rem,
    rollout,
    token_world,
    tokenizer,
    vae,
)
from world_models.report import convert as convert_report
from world_models.report.ends import ENDS
from world_models.report.headline import headline
from world_models.report.page import Section
from world_models.report.sections import make_section
from world_models.runs.metrics import read_rows
from world_models.runs.past import PastRun

OF_THE_PIPELINE = {
    "rollout": rollout.CAPTIONS,
    "vae": vae.CAPTIONS,
    "mdrnn": mdrnn.CAPTIONS,
    "controller": controller.CAPTIONS,
    "evaluate": evaluate.CAPTIONS,
}


def run_stage(outputs: Path, *arguments: str) -> Path:
    assert main([*arguments, f"outputs={outputs}"]) == 0
    return newest(outputs)


@pytest.fixture(scope="module")
def pixels(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished next-frame model with heads."""
    upstream = f"upstream={finished / 'rollout'}"
    heads = ("stage.rewards=true", "stage.ends=true")
    return run_stage(tmp_path_factory.mktemp("pixel"), *small("pixel", upstream, *heads))


@pytest.fixture(scope="module")
def evaluated_pixels(pixels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("evaluate")
    return run_stage(outputs, *small("evaluate", f"upstream={pixels}"))


@pytest.fixture(scope="module")
def autoencoded(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("autoencoder")
    return run_stage(outputs, *small("autoencoder", f"upstream={finished / 'rollout'}"))


@pytest.fixture(scope="module")
def tokenized(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("tokenizer")
    return run_stage(outputs, *small("tokenizer", f"upstream={finished / 'rollout'}"))


@pytest.fixture(scope="module")
def converted(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes that were written as HDF5 and read again."""
    outputs = tmp_path_factory.mktemp("convert")
    command = ["stage=convert", "env=pellet", "threads=1"]
    source = f"stage.source={finished / 'rollout'}"
    written = run_stage(outputs / "there", *command, source, "stage.to=hdf5")
    (file,) = written.rglob("*.hdf5")
    return run_stage(outputs / "back", *command, f"stage.source={file}", "stage.alignment=pre")


def shown_in(section: Section) -> set[str]:
    """All captions, films of episodes without their returns; the section says that nothing is
    missing."""
    assert not [note for note in section.notes if "cannot be read" in note or "column" in note]
    parts = (section.plots, section.listings, section.pictures, section.videos)
    return {item.caption.partition(" ·")[0] for part in parts for item in part}


OF_SOME_RUNS = {
    rare.RARE: "rare.csv",
    vae.BLOB_PICTURE: "images/blobs.png",
    controller.DREAM_AND_REAL: "dreamt.csv",
    token_world.HORIZONS: "open_loop.csv",
}
"""What is shown where there is such a file."""


def expected(folder: Path, captions: tuple[str, ...]) -> set[str]:
    """All captions, but for those of files that only some runs have, and for what is said of ends
    where no held-out episode ended by its rules."""
    bins = read_rows(folder / "calibration.csv", CalibrationBin)
    ended = any(row.observed for row in bins if row.quantity == "done")
    missing = {name for name, file in OF_SOME_RUNS.items() if not (folder / file).is_file()}
    return set(captions) - missing - ({QUANTITIES["done"], ENDS} if bins and not ended else set())


def check_page(folder: Path, captions: tuple[str, ...]) -> None:
    past = PastRun(folder)
    section = make_section(folder, past.stage, past.manifest, past.status)
    assert section.headline is not None and section.facts
    assert shown_in(section) == expected(folder, captions)
    text = " ".join(Page(folder / "report.html").text.split())
    assert not [caption for caption in expected(folder, captions) if caption not in text]


@pytest.mark.parametrize("stage", OF_THE_PIPELINE)
def test_a_page_of_the_pipeline_shows_all_it_can(finished: Path, stage: str) -> None:
    check_page(finished / stage, OF_THE_PIPELINE[stage])


def test_the_page_of_a_next_frame_model_shows_all_it_can(pixels: Path) -> None:
    check_page(pixels, pixel.CAPTIONS)


def test_the_page_of_its_evaluation_shows_all_it_can(evaluated_pixels: Path) -> None:
    check_page(evaluated_pixels, evaluate.CAPTIONS_OF_PIXELS)
    assert evaluate.LEAD_OF_PIXELS in (evaluated_pixels / "report.html").read_text()


def test_the_page_of_the_autoencoder_shows_all_it_can(autoencoded: Path) -> None:
    check_page(autoencoded, autoencoder.CAPTIONS)


def test_the_page_of_a_tokenizer_shows_all_it_can(tokenized: Path) -> None:
    check_page(tokenized, tokenizer.CAPTIONS)


def test_the_page_of_a_token_world_shows_all_it_can(token_world_run: Path) -> None:
    check_page(token_world_run, token_world.CAPTIONS)


@pytest.mark.parametrize(("stage", "module"), [("actor_critic", actor_critic), ("rem", rem)])
def test_the_page_of_behaviour_shows_all_it_can(
    token_world_run: Path, tmp_path: Path, stage: str, module: Any
) -> None:
    fed = [f"upstream={token_world_run}"] if stage == "actor_critic" else []
    check_page(run_stage(tmp_path, *small(stage, *fed)), module.CAPTIONS)


def test_the_page_of_converted_episodes_shows_all_it_can(converted: Path) -> None:
    check_page(converted, convert_report.CAPTIONS)
    assert convert_report.LEAD in (converted / "report.html").read_text()


def test_converted_episodes_have_a_score(
    converted: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collected = headline(finished / "rollout")
    assert collected is not None and headline(converted) == collected
    capsys.readouterr()
    assert main(["stage=runs", f"outputs={converted.parents[2]}"]) == 0
    assert f"{collected.value:.1f} ± {collected.spread:.1f}" in capsys.readouterr().out


def test_the_page_of_a_chain_has_all_its_parts(finished: Path) -> None:
    page = Page(finished / "report.html")
    sections = [values["id"] for values in page.all("section")]
    assert sections == [*OF_THE_PIPELINE, "next", "origin"]
    assert len(page.all("a")) == len(OF_THE_PIPELINE)
    text = " ".join(page.text.split())
    for stage, captions in OF_THE_PIPELINE.items():
        wanted = expected(finished / stage, captions)
        assert not [caption for caption in wanted if caption not in text]
    assert headline(finished) == headline(finished / "evaluate") is not None
    assert "mean return ± standard deviation over 5 unseen episodes" in text


def test_a_stage_may_occur_twice_in_a_chain(pipeline: Path) -> None:
    from world_models.report.report import write_report

    manifest = json.loads((pipeline / "manifest.json").read_text())
    (pipeline / "evaluate").rename(pipeline / "evaluate_last")
    names = ["rollout", "vae", "mdrnn", "controller", "evaluate", "evaluate_last"]
    (pipeline / "evaluate").symlink_to(pipeline / "evaluate_last")
    manifest["parts"] = [{"folder": name, "stage": name.partition("_")[0]} for name in names]
    (pipeline / "manifest.json").write_text(json.dumps(manifest))
    page = Page(write_report(pipeline))
    assert [values["id"] for values in page.all("section")] == [*names, "next", "origin"]
    ids = [values["id"] for _, values in page.tags if "id" in values]
    assert len(ids) == len(set(ids))
    assert headline(pipeline) == headline(pipeline / "evaluate_last") is not None


def test_a_headline_loads_no_plots_and_no_torch(
    finished: Path, pixels: Path, converted: Path
) -> None:
    folders = [finished, *(finished / stage for stage in OF_THE_PIPELINE), pixels, converted]
    code = f"""
import sys
from pathlib import Path
from world_models.report.ends import ENDS
from world_models.report.headline import headline
assert all(headline(Path(folder)) for folder in {[str(folder) for folder in folders]})
heavy = {{"matplotlib", "torch", "torchmetrics", "av", "jinja2"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
