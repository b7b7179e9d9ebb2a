"""The report: self-contained, complete, and calm about runs that are unfinished or damaged."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from world_models.figures.media import labelled_rows, save_png, save_video
from world_models.figures.wording import duration, number, plus_minus
from world_models.report.report import write_report

HOSTILE = "<script>alert('x')</script>\"&<b>"
VOID = {"meta", "link", "img", "br", "path", "use", "input"}


def write_run(folder: Path, stage: str, **changes: Any) -> Path:
    """A run folder with a manifest and a config.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "schema": 1,
        "stage": stage,
        "status": "finished",
        "command": ["python", "-m", "world_models.main", f"stage={stage}"],
        "created": "2026-11-20T14:03:22",
        "wall_seconds": 123.4,
        "git": {"commit": "0123456789abcdef", "dirty": True},
        "versions": {"python": "3.11.7", "torch": "2.9.0"},
        "machine": {"platform": "Linux", "processor": "A processor", "cores": 2},
        "seed": 0,
        "device": "cpu",
        "threads": 2,
        "env": {"id": "CarRacing-v3"},
        "experiment": "demo",
        "inputs": [],
        "error": None,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))
    (folder / "config.yaml").write_text(f"stage:\n  name: {stage}\n")
    return folder


def write_csv(path: Path, columns: dict[str, np.ndarray | list]) -> None:
    rows = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(rows) + "\n")


def tiles(count: int, size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    waves = [
        np.stack([128 + 90 * np.sin(x / 9 + i), 128 + 90 * np.cos(y / 7 + i), 60 + x], -1)
        for i in range(count)
    ]
    return np.stack(waves).astype(np.uint8)


def write_rollout(folder: Path, episodes: int = 120) -> Path:
    write_run(folder, "rollout", wall_seconds=72.0)
    rng, number = np.random.default_rng(0), np.arange(episodes)
    split = ["validation" if i >= 0.9 * episodes else "train" for i in number]
    length, returns = rng.integers(300, 1001, episodes), rng.normal(40, 60, episodes).round(2)
    columns = {
        "episode": number,
        "seed": number + 7,
        "split": split,
        "length": length,
        "return": returns,
    }
    write_csv(folder / "episodes.csv", columns)
    save_png(
        folder / "images" / "frames.png",
        labelled_rows({f"episode {i}": tiles(7) for i in range(2)}),
    )
    return folder


def write_training(folder: Path, stage: str, terms: dict[str, float], **changes: Any) -> Path:
    write_run(folder, stage, **changes)
    rng, step = np.random.default_rng(1), np.arange(1, 2401)
    decay = lambda x, last: last * (1 + 9 * np.exp(-x / 160) + 0.5 * np.exp(-x / 900))  # noqa: E731
    noisy = {
        name: decay(step, last) * rng.lognormal(0, 0.12, step.size) for name, last in terms.items()
    }
    write_csv(
        folder / "metrics.csv", {"step": step, "epoch": step // 240, "lr": step * 0 + 1e-3, **noisy}
    )
    at = np.arange(240, 2401, 240)
    smooth = {name: decay(at, last) * 1.04 for name, last in terms.items()}
    write_csv(folder / "val_metrics.csv", {"epoch": at // 240, "step": at, **smooth})
    write_csv(folder / "timing.csv", {"step": at, "seconds": at * 0 + 9.5, "rate": at * 0 + 612.4})
    return folder


def write_vae(folder: Path) -> Path:
    write_training(
        folder, "vae", {"loss": 38.0, "reconstruction": 24.0, "kl": 14.0}, wall_seconds=430.0
    )
    for epoch in (5, 10):
        save_png(folder / "images" / f"reconstructions_{epoch:04d}.png", tiles(1)[0] // epoch)
    save_png(
        folder / "images" / "reconstructions.png",
        labelled_rows({"frame": tiles(7), "reconstruction": tiles(7) // 2}),
    )
    save_png(folder / "images" / "samples_of_z.png", labelled_rows({"z": tiles(7)}))
    return folder


def write_mdrnn(folder: Path) -> Path:
    inputs = [{"kind": "vae", "path": "../vae/checkpoints/best.pt", "sha256": "beef" * 16}]
    terms = {"loss": 1.2, "gmm": 38.0, "bce": 0.01, "mse": 0.4}
    write_training(folder, "mdrnn", terms, wall_seconds=61.0, inputs=inputs)
    save_png(
        folder / "images" / "dream.png", labelled_rows({"episode": tiles(7), "dream": tiles(7)})
    )
    save_video(folder / "videos" / "dream.mp4", tiles(20, 128))
    return folder


def write_controller(folder: Path, **changes: Any) -> Path:
    write_run(folder, "controller", **{"wall_seconds": 1980.0, **changes})
    rng, generation = np.random.default_rng(2), np.arange(1, 61)
    mean = 880 * (1 - np.exp(-generation / 12)) - 40 + rng.normal(0, 25, 60)
    spread = 90 + 160 * np.exp(-generation / 15)
    columns = {
        "generation": generation,
        "episodes": generation * 256,
        "env_steps": generation * 200_000,
    }
    columns |= {
        "best": mean + spread * 0.8,
        "mean": mean,
        "median": mean,
        "worst": mean - 2 * spread,
        "std": spread,
    }
    columns |= {"sigma": 0.12 * np.exp(-generation / 90), "length": 700 + 4 * generation}
    write_csv(folder / "metrics.csv", columns)
    at = np.arange(5, 61, 5)
    score = 890 * (1 - np.exp(-at / 12))
    columns = {
        "generation": at,
        "mean": score,
        "std": score * 0 + 40,
        "low": score - 22,
        "high": score + 18,
    }
    write_csv(folder / "selection.csv", columns | {"best": np.maximum.accumulate(score)})
    write_csv(
        folder / "timing.csv",
        {"generation": generation, "seconds": generation * 0 + 33, "rate": generation + 2000},
    )
    return folder


def write_evaluate(folder: Path) -> Path:
    write_run(folder, "evaluate", wall_seconds=140.0)
    rng = np.random.default_rng(3)
    agent, random = rng.normal(884, 44, 16), rng.normal(-32, 12, 16)
    summary = lambda x: {  # noqa: E731
        "returns": x.tolist(),
        "lengths": [1000] * x.size,
        "mean": x.mean(),
        "std": x.std(),
        "median": float(np.median(x)),
        "interval95": [x.mean() - 20, x.mean() + 20],
    }
    scores = {
        "env": "CarRacing-v3",
        "episodes": 16,
        "seeds": list(range(16)),
        **summary(agent),
        "random": summary(random),
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    for name in ("best", "median", "worst"):
        save_video(folder / "videos" / f"{name}.mp4", tiles(20, 128))
    return folder


WRITERS = {
    "rollout": write_rollout,
    "vae": write_vae,
    "mdrnn": write_mdrnn,
    "controller": write_controller,
    "evaluate": write_evaluate,
}


def write_pipeline(folder: Path, stages: tuple[str, ...] = tuple(WRITERS), **changes: Any) -> Path:
    write_run(folder, "pipeline", **changes)
    for stage in stages:
        WRITERS[stage](folder / stage)
    return folder


class Page(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.open = "", []
        self.feed(path.read_text())
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(folder: Path) -> Page:
    return Page(write_report(folder))


@pytest.fixture(scope="module")
def pipeline_page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return report(write_pipeline(tmp_path_factory.mktemp("pipeline")))


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


def test_pipeline_page_has_a_section_per_stage_in_order(pipeline_page: Page) -> None:
    assert [values["id"] for values in pipeline_page.all("section")] == [*WRITERS, "origin"]
    assert len(pipeline_page.all("a")) == len(WRITERS)


def test_pipeline_page_shows_what_the_files_hold(pipeline_page: Page) -> None:
    text = " ".join(pipeline_page.text.split())
    for words in (
        "CarRacing-v3",
        "demo",
        "20 November 2026, 14:03",
        "mean return over 16 unseen episodes",
        "random policy",
    ):
        assert words in text
    for words in (
        "selection score",
        "best validation loss",
        "beefbeefbeef",
        "with uncommitted changes",
        "7 min 10 s",
        "44 min 43 s",
    ):
        assert words in text
    assert len(pipeline_page.all("video")) == 1 + 3 + 1  # beside the headline, evaluation, dream
    # frames, latest reconstructions, samples under More, dream
    assert len(pipeline_page.all("img")) == 4
    assert len(pipeline_page.all("svg")) == 2 + 3 + 4 + 3 + 1


def test_plots_take_their_colours_from_the_page(pipeline_page: Page) -> None:
    styles = " ".join(values.get("style", "") for _, values in pipeline_page.tags)
    assert "var(--blue)" in styles and "var(--orange)" in styles
    assert "#2a6499" not in styles


@pytest.mark.parametrize("stage", WRITERS)
def test_one_stage_alone(tmp_path: Path, stage: str) -> None:
    page = report(WRITERS[stage](tmp_path / stage))
    assert [values["id"] for values in page.all("section")] == [stage, "origin"]
    assert page.all("svg")
    assert not page.all("a")


def test_a_search_is_drawn_beside_the_published_one(tmp_path: Path) -> None:
    alone = report(write_controller(tmp_path / "alone"))
    folder = write_controller(tmp_path / "beside")
    timing = {
        "generation": np.arange(1, 61),
        "seconds": np.full(60, 33.0),
        "test_seconds": np.zeros(60),
    }
    write_csv(folder / "timing.csv", timing)
    published = {name: np.array([1e3, 1e4, 1e6]) for name in ("episodes", "hours", "mean_vector")}
    write_csv(folder / "reference.csv", published)
    beside = report(folder)
    assert len(beside.all("svg")) == len(alone.all("svg")) + 2
    assert "Score by episodes" in beside.text and "Score by hours" in beside.text
    assert "Score by episodes" not in alone.text
    for rows, drawn in (
        ("1,256\n2,512\n3,768\n4,1024\n5,1280\n", True),
        ("1,256\n", False),
    ):  # cut off before, after a test
        (folder / "metrics.csv").write_text("generation,episodes\n" + rows)
        assert ("Score by" in report(folder).text) == drawn
    (folder / "metrics.csv").unlink()
    (folder / "selection.csv").write_bytes(b"\xff\xfe")
    assert "selection.csv cannot be read" in report(folder).text


@pytest.mark.parametrize("stage", [*WRITERS, "pixel"])
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


def test_unfinished_pipeline_names_what_is_missing(tmp_path: Path) -> None:
    write_pipeline(tmp_path, ("rollout", "vae", "mdrnn"), status="failed", error="no")
    write_controller(tmp_path / "controller", status="failed", error="a worker died")
    page = report(tmp_path)
    assert page.text.count("Not started.") == 1
    assert "Failed: no" in page.text
    assert "a worker died" in page.text
    assert "selection score" in page.text


def test_hostile_text_is_escaped(tmp_path: Path) -> None:
    inputs = [{"kind": HOSTILE, "path": HOSTILE, "sha256": HOSTILE}]
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
    write_csv(
        tmp_path / "metrics.csv", {"step": [1, 2], "epoch": [0, 0], "loss": [3, 2], HOSTILE: [1, 2]}
    )
    save_png(tmp_path / "images" / "<b>&.png", tiles(1)[0])
    page = report(tmp_path)
    assert not page.all("script") and not page.all("b")
    assert page.text.count("<script>") >= 6
    assert len(page.all("svg")) == 2


def test_empty_cut_and_odd_files_do_no_harm(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    (tmp_path / "rollout" / "episodes.csv").write_text("episode,seed,split,length,return\n")
    (tmp_path / "vae" / "metrics.csv").write_text("")
    (tmp_path / "vae" / "val_metrics.csv").write_text(
        "epoch,step,loss,reconstruction,kl\n1,240,nan,inf,\n2,480,na"
    )
    (tmp_path / "mdrnn" / "metrics.csv").write_bytes(b"step,loss\n\xff\xfe,\x80\n")
    (tmp_path / "controller" / "metrics.csv").write_text("generation,best,mean,worst\n1,5,4,3\n")
    (tmp_path / "controller" / "selection.csv").write_text(
        "generation,mean,std,low,high,best\n1,nan,nan,nan,nan,nan\n"
    )
    (tmp_path / "evaluate" / "scores.json").write_text('{"returns": [1, 2')
    page = report(tmp_path)
    assert "scores.json is damaged" in page.text
    assert "metrics.csv cannot be read" in page.text
    assert "nan" not in page.text.lower()


def test_a_damaged_manifest_spoils_only_its_section(tmp_path: Path) -> None:
    write_pipeline(tmp_path, ("rollout",))
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "manifest.json").write_text("{")
    page = report(tmp_path)
    assert "manifest.json cannot be read" in page.text
    assert page.text.count("Not started.") == 3


def test_a_score_of_one_constant_return(tmp_path: Path) -> None:
    write_run(tmp_path, "evaluate")
    one = {"returns": [0.0], "mean": 0.0, "std": 0.0, "median": 0.0, "interval95": [0.0, 0.0]}
    (tmp_path / "scores.json").write_text(json.dumps(one))
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
