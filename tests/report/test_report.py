"""The report: self-contained, and calm about runs that are unfinished or damaged."""

import json
import shutil
from pathlib import Path

import pytest
from report.fabricated import (
    Page,
    dreamt_rows,
    generation_row,
    report,
    tiles,
    write_controller,
    write_rows,
    write_run,
)

from world_models.figures.media import save_png
from world_models.figures.wording import duration, number, plus_minus
from world_models.measures.search_rows import PublishedRow
from world_models.report.report import write_report
from world_models.runs.rows import TimingRow

HOSTILE = "<script>alert('x')</script>\"&<b>"
PARTS = ["rollout", "vae", "mdrnn", "controller", "evaluate"]


@pytest.fixture(scope="module")
def pipeline_page(finished: Path) -> Page:
    return Page(finished / "report.html")


def test_page_asks_nothing_of_the_network(pipeline_page: Page) -> None:
    links = [
        values[name]
        for _, values in pipeline_page.tags
        for name in ("src", "href", "xlink:href", "poster")
        if name in values
    ]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not pipeline_page.all("script")
    assert "@import" not in str(pipeline_page.tags) and "url(http" not in str(pipeline_page.tags)


def test_ids_are_unique_and_references_resolve(pipeline_page: Page) -> None:
    ids = [values["id"] for _, values in pipeline_page.tags if "id" in values]
    assert len(ids) == len(set(ids))
    references = [
        values["href"][1:]
        for _, values in pipeline_page.tags
        if values.get("href", "").startswith("#")
    ]
    assert references and set(references) <= set(ids)


def test_plots_take_their_colours_from_the_page(pipeline_page: Page) -> None:
    styles = " ".join(values.get("style", "") for _, values in pipeline_page.tags)
    assert "var(--blue)" in styles and "var(--orange)" in styles
    assert "#2a6499" not in styles


def test_a_search_is_drawn_beside_the_published_one(tmp_path: Path) -> None:
    alone = report(write_controller(tmp_path / "alone"))
    folder = write_controller(tmp_path / "beside")
    timing = [
        TimingRow(generation=number, seconds=33.0, rate=2000.0, test_seconds=0.0)
        for number in range(1, 61)
    ]
    write_rows(folder / "timing.csv", timing)
    published = [PublishedRow(episodes=at, hours=at, mean_vector=at) for at in (1000, 10**6)]
    write_rows(folder / "reference.csv", published)
    beside = report(folder)
    assert len(beside.all("svg")) == len(alone.all("svg")) + 2
    assert "Score by episodes" in beside.text and "Score by hours" in beside.text
    assert "Score by episodes" not in alone.text
    for generations, drawn in ((5, True), (1, False)):  # cut off before, after a test
        rows = [generation_row(number) for number in range(1, generations + 1)]
        write_rows(folder / "metrics.csv", rows)
        assert ("Score by" in report(folder).text) == drawn
    (folder / "metrics.csv").unlink()
    (folder / "selection.csv").write_bytes(b"\xff\xfe")
    text = report(folder).text
    assert text.count("selection.csv cannot be read") == 1 and "Score by" not in text


def test_a_search_in_a_dream_shows_what_was_dreamt_beside_what_is_real(tmp_path: Path) -> None:
    folder = write_controller(tmp_path / "run")
    write_rows(folder / "dreamt.csv", dreamt_rows([-40, -60, 100, 250, 400]))
    page = report(folder)
    assert "Dream and real" in page.text and "in the dream; dots:" in page.text
    assert "Steps in the dream" in page.text and "Environment steps" not in page.text
    assert len(page.all("svg")) == len(report(write_controller(tmp_path / "real")).all("svg")) + 1
    assert "promises more and more" in page.text and "from −60.0 to 400" in page.text


def test_a_table_that_lacks_a_column_is_said(tmp_path: Path) -> None:
    folder = write_controller(tmp_path / "run")
    (folder / "metrics.csv").write_text("generation,best,mean\n1,5,4\n")
    page = report(folder)
    assert "metrics.csv has no column episodes, env_steps" in page.text
    assert "selection score" in page.text


@pytest.mark.parametrize(
    "stage",
    [
        *PARTS,
        "pixel",
        "autoencoder",
        "tokenizer",
        "token_world",
        "rem",
        "actor_critic",
        "convert",
        "other",
    ],
)
@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_run_without_files_says_so(tmp_path: Path, stage: str, status: str) -> None:
    page = report(
        write_run(
            tmp_path / "run",
            stage,
            status=status,
            error="the disk is full" if status == "failed" else None,
        )
    )
    assert "Nothing has been recorded yet" in page.text
    assert ("Failed: the disk is full" in page.text) == (status == "failed")
    assert "Interrupted" in page.text or status == "failed"


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_unfinished_pipeline_names_what_is_missing(pipeline: Path) -> None:
    shutil.rmtree(pipeline / "evaluate")
    edit(pipeline / "manifest.json", status="failed", error="no")
    edit(pipeline / "controller/manifest.json", status="failed", error="a worker died")
    page = report(pipeline)
    assert page.text.count("Not started.") == 1
    assert "Failed: no" in page.text
    assert "a worker died" in page.text
    assert "selection score" in page.text


def test_a_chain_of_an_earlier_version_has_the_parts_that_are_there(pipeline: Path) -> None:
    content = json.loads((pipeline / "manifest.json").read_text())
    del content["parts"]
    content["reused"] = {"rollout": {"path": "../elsewhere", "sha256": "beef" * 16}}
    (pipeline / "manifest.json").write_text(json.dumps(content))
    shutil.rmtree(pipeline / "rollout")
    shutil.rmtree(pipeline / "evaluate")
    page = report(pipeline)
    assert [values["id"] for values in page.all("section")] == [*PARTS[:-1], "next", "origin"]
    assert "Taken from ../elsewhere (reuse=true), which is gone." in page.text


def test_hostile_text_is_escaped(tmp_path: Path) -> None:
    inputs = [{"kind": HOSTILE, "path": HOSTILE, "sha256": "0" * 64}]
    hostile = {
        "experiment": HOSTILE,
        "error": HOSTILE,
        "env": {"id": HOSTILE},
        "created": HOSTILE,
        "command": [HOSTILE],
    }
    write_run(
        tmp_path, HOSTILE, status="failed", inputs=inputs, versions={HOSTILE: HOSTILE}, **hostile
    )
    (tmp_path / "config.yaml").write_text(HOSTILE)
    rows = [{"step": step, "epoch": 0, "loss": 3 - step, HOSTILE: step} for step in (1, 2)]
    write_rows(tmp_path / "metrics.csv", rows)
    save_png(tmp_path / "images" / "<b>&.png", tiles(1)[0])
    page = report(tmp_path)
    assert not page.all("script") and not page.all("b")
    assert page.text.count("<script>") >= 5
    assert len(page.all("svg")) == 2


def test_empty_cut_and_odd_files_do_no_harm(pipeline: Path) -> None:
    for name, content in {
        "rollout/episodes.csv": "episode,seed,split,length,return\n",
        "vae/metrics.csv": "",
        "vae/val_metrics.csv": "epoch,step,loss,reconstruction,kl\n1,240,nan,inf,\n2,480,na",
        "controller/metrics.csv": "generation,best,mean,worst\n1,5,4,3\n",
        "controller/selection.csv": "generation,mean,std,low,high,best\n1,nan,nan,nan,nan,nan\n",
        "evaluate/scores.json": '{"returns": [1, 2',
    }.items():
        (pipeline / name).write_text(content)
    (pipeline / "mdrnn/metrics.csv").write_bytes(b"step,loss\n\xff\xfe,\x80\n")
    page = report(pipeline)
    assert "scores.json is damaged" in page.text
    assert "mdrnn/metrics.csv cannot be read" in page.text
    assert "nan" not in page.text.lower()


def test_a_damaged_manifest_spoils_only_its_section(pipeline: Path) -> None:
    for name in PARTS[2:]:
        shutil.rmtree(pipeline / name)
    (pipeline / "vae/manifest.json").write_text("{")
    page = report(pipeline)
    assert "manifest.json cannot be read" in page.text
    assert page.text.count("Not started.") == 3


def test_a_score_of_one_constant_return(tmp_path: Path) -> None:
    write_run(tmp_path, "evaluate")
    one = {"returns": [0.0], "mean": 0.0, "std": 0.0, "median": 0.0, "interval95": [0.0, 0.0]}
    scores = {"env": "Pellet", "backend": "gymnasium", "episodes": 1, **one, "random": one}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert "0 ± 0" in report(tmp_path).text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run folder"):
        write_report(tmp_path)


def test_the_same_files_give_the_same_page(tmp_path: Path) -> None:
    write_controller(tmp_path)
    assert write_report(tmp_path).read_text() == write_report(tmp_path).read_text()


def test_numbers_are_rounded_for_people() -> None:
    values = (884.3, 12.34, 1.234, 0.00312, -40.2, 123456.7, float("nan"), 0.0)
    assert [number(value) for value in values] == [
        "884",
        "12.3",
        "1.23",
        "0.0031",
        "−40.2",
        "123,457",
        "–",
        "0",
    ]
    assert plus_minus(884.3, 4.4) == "884 ± 4"
    assert plus_minus(6.25, 4.841) == "6.25 ± 4.84"
    assert [duration(value) for value in (0, 12, 1980, 260, 4320)] == [
        "0 s",
        "12 s",
        "33 min",
        "4 min 20 s",
        "1 h 12 min",
    ]
