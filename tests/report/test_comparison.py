"""Runs side by side on one page."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from report.fabricated import Page, write_run, write_training

from world_models.figures.plots import BLUE, own_colour
from world_models.report.comparison import compare
from world_models.report.contrast import config_of, counts, differences, groups, label, shown
from world_models.report.overlaid import colours, curves_of, stages_of
from world_models.report.page import Section
from world_models.report.report import write_page
from world_models.report.scores import add_scores
from world_models.runs.past import PastRun
from world_models.runs.statistics import summarize


def write_evaluation(folder: Path, returns: list[float], **keys: Any) -> Path:
    """An evaluation with these returns, and a random policy's."""
    write_run(folder, "evaluate", seed=keys.get("seed", 0))

    def scores(values: list[float]) -> dict[str, Any]:
        found = summarize(values)
        return {
            "returns": values,
            "mean": found.mean,
            "std": found.std,
            "median": found.median,
            "interval95": [found.low, found.high],
        }

    content = {
        **scores(returns),
        "env": "CarRacing-v3",
        "backend": "gymnasium",
        "episodes": len(returns),
        "random": scores([-30.0, -35.0]),
    }
    (folder / "scores.json").write_text(json.dumps(content))
    return set_keys(folder, **keys)


def set_keys(folder: Path, **keys: Any) -> Path:
    """Give a run a configuration; __ stands for the dot."""
    root: dict[str, Any] = {"stage": {}, "seed": 0}
    for name, value in keys.items():
        *above, last = name.split("__")
        inner = root
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = value
    (folder / "config.yaml").write_text(json.dumps(root))
    return folder


def page_of(folders: list[Path], path: Path) -> Page:
    return Page(write_page(path / "page.html", compare(folders)))


def test_letters_go_on_after_z() -> None:
    assert [label(number) for number in (0, 25, 26, 27, 51, 52)] == [*"AZ", "AA", "AB", "AZ", "BA"]


def test_keys_that_differ_stand_side_by_side_with_those_of_the_runs_behind(tmp_path: Path) -> None:
    for number, latents in enumerate((16, 32)):
        set_keys(write_run(tmp_path / f"v{number}", "vae"), stage__latent_size=latents)
        folder = write_run(tmp_path / f"m{number}", "mdrnn", upstream=f"../v{number}")
        set_keys(folder, stage__hidden_size=256, seed=number, stage__widths=[1, number])
    runs = shown([tmp_path / "m0", tmp_path / "m1"])
    assert differences(runs) == {
        "seed": ["0", "1"],
        "stage.widths": ["[1,0]", "[1,1]"],
        "upstream.stage.latent_size": ["16", "32"],
    }
    assert config_of(PastRun(tmp_path / "m0"))["upstream.stage"] == "vae"


@pytest.mark.parametrize(
    ("key", "counted"),
    [
        ("stage.latent_size", True),
        ("env.id", True),
        ("upstream.stage.latent_size", True),
        ("upstream.upstream.env.size", True),
        ("seed", False),
        ("upstream", False),
        ("upstream.seed", False),
        ("upstream.upstream.seed", False),
        ("device", False),
        ("wandb.mode", False),
        ("stage.workers", False),
        ("upstream.env.backend", False),
    ],
)
def test_chance_and_machine_make_no_other_kind_of_run(key: str, counted: bool) -> None:
    assert counts(key) is counted


def test_seeds_are_taken_together_and_other_keys_are_not(tmp_path: Path) -> None:
    folders = [
        write_evaluation(tmp_path / "a", [10.0], seed=1, stage__which="best"),
        write_evaluation(tmp_path / "b", [20.0], seed=1, stage__which="mean"),
        write_evaluation(tmp_path / "c", [30.0], seed=2, stage__which="best"),
        write_run(tmp_path / "d", "rollout"),
    ]
    found = groups(shown(folders))
    assert [group.label for group in found] == ["A, C", "B"]
    assert [group.scores for group in found] == [[10.0, 30.0], [20.0]]
    said = ["A, C: stage=evaluate, stage.which=best", "B: stage=evaluate, stage.which=mean"]
    assert [group.name for group in found] == said
    assert [group.name for group in groups(shown(folders[:2]))] == [
        "A: stage.which=best",
        "B: stage.which=mean",
    ]


def write_pairs(folder: Path, best: tuple[float, float], mean: tuple[float, float]) -> list[Path]:
    """Two seeds of two kinds of evaluations."""
    return [
        write_evaluation(folder / f"{which}{seed}", [score], seed=seed, stage__which=which)
        for which, scores in (("best", best), ("mean", mean))
        for seed, score in enumerate(scores)
    ]


def test_seeds_of_one_kind_have_one_colour_in_the_plot_of_scores(tmp_path: Path) -> None:
    runs = shown(write_pairs(tmp_path, (10.0, 30.0), (20.0, 25.0)))
    section = Section("", "Mean return", "", tmp_path, "finished", {})
    add_scores(section, groups(runs), differences(runs), colours(runs))
    drawn = str(section.plots[0].source)
    # of each kind the dots of both seeds, and the mark
    kinds = dict.fromkeys(map(own_colour, colours(runs).values()))
    marks = [len(re.findall(rf"<use [^>]*{re.escape(kind)}", drawn)) for kind in kinds]
    assert marks == [3, 3]


def test_the_page_says_that_two_seeds_tell_nothing_apart(tmp_path: Path) -> None:
    text = page_of(write_pairs(tmp_path, (10.0, 30.0), (20.0, 25.0)), tmp_path).text
    assert "best: C, D: stage.which=mean" in text and text.count("A, B: stage.which=best") >= 2
    said = (
        "The best is not told apart from A, B: stage.which=best by 2 seeds: their ranges overlap."
    )
    assert said in text


def test_the_page_has_scores_with_intervals_and_chances(tmp_path: Path) -> None:
    folders = [
        write_evaluation(tmp_path / f"{which}{seed}", [float(score)], seed=seed, stage__which=which)
        for which, scores in {"best": (800, 850, 900, 950), "mean": (500, 510, 520, 530)}.items()
        for seed, score in enumerate(scores)
    ]
    page = page_of(folders, tmp_path)
    assert "Seeds taken together" in page.text
    assert "A, B, C, D" in page.text and "E, F, G, H" in page.text
    # means of all four, and of the middle two
    assert page.text.count("875") >= 2 and page.text.count("515") >= 2
    assert "100% (100% to 100%)" in page.text and "0% (0% to 0%)" in page.text
    assert "stage.which" in page.text and "best: A, B, C, D" in page.text


def test_single_evaluations_are_compared_by_their_episodes(tmp_path: Path) -> None:
    folders = [
        write_evaluation(tmp_path / "a", [1.0, 2.0, 3.0, 4.0], stage__which="best"),
        write_evaluation(tmp_path / "b", [2.0, 3.0, 4.0, 5.0], stage__which="mean"),
    ]
    text = page_of(folders, tmp_path).text
    assert "its episodes take the place of seeds" in text
    # 3 + 1.5 pairs of 16 lie above, 3 are equal
    assert "28%" in text and "72%" in text


def test_scores_that_mean_something_else_are_not_ranked(tmp_path: Path) -> None:
    folders = [
        set_keys(write_training(tmp_path / name, "mdrnn", [2.0, loss]), stage__done_weight=weight)
        for name, loss, weight in (("a", 1.0, 1), ("b", 1.5, 9))
    ]
    text = page_of(folders, tmp_path).text
    assert "Not ranked" in text and "Probability of improvement" not in text
    for folder in folders:
        set_keys(folder, stage__hidden_size=int(folder.name == "a"))
    text = page_of(folders, tmp_path).text
    assert "Not ranked" not in text and "100%" in text


def test_curves_of_all_runs_are_in_one_plot_in_the_colours_of_their_letters(
    tmp_path: Path,
) -> None:
    folders = [
        set_keys(write_training(tmp_path / name, "vae", [3.0, 2.0, last]), seed=seed, a=key)
        for name, last, seed, key in (("a", 1.0, 0, 1), ("b", 1.5, 0, 2), ("c", 1.2, 1, 1))
    ]
    runs = shown(folders)
    assert stages_of(runs) == ["vae"]
    section = curves_of("vae", runs)
    assert section is not None
    # A and C differ in their seed alone
    assert [name for name, _ in section.legend] == ["A, C: a=1", "B: a=2"]
    first = section.plots[0]
    assert first.caption == "Loss" and first.note == "held out"
    assert all(own_colour(colour) in first.source for _, colour in section.legend)
    assert "PSNR of held-out frames, dB" in [plot.caption for plot in section.plots]
    alone = curves_of("vae", runs[:1])
    assert alone is not None and own_colour(BLUE) in alone.plots[0].source
    assert own_colour(section.legend[1][1]) not in alone.plots[0].source


def test_parts_of_chains_are_compared_stage_by_stage(finished: Path, tmp_path: Path) -> None:
    page = page_of([finished, finished / "vae"], tmp_path)
    headings = [
        text for text in ("V · vision", "M · memory", "C · controller") if text in page.text
    ]
    assert len(headings) == 3 and (tmp_path / "page.html").stat().st_size < 10e6
    section = curves_of("vae", shown([finished, finished / "vae"]))
    assert section is not None and section.legend[1][0].startswith("B: stage=vae")
    links = [values.get("src", "") for _, values in page.tags if "src" in values]
    assert not page.all("script") and all(link.startswith("data:") for link in links)


def test_equal_runs_are_said_to_be_equal(tmp_path: Path) -> None:
    folders = [write_training(tmp_path / name, "vae", [1.0]) for name in ("a", "b")]
    assert "The runs have the same configuration." in page_of(folders, tmp_path).text
