"""What a sweep came to: headlines, groups of seeds, charts, and the page."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report.fabricated import (
    Page,
    selection_row,
    write_evaluate,
    write_rollout,
    write_rows,
    write_run,
    write_training,
)

from world_models.figures.plots import as_png
from world_models.measures.played import played_row
from world_models.report.doubt import doubt
from world_models.report.headline import Headline, headline
from world_models.report.mdrnn import IN_THE_LOSS
from world_models.report.sweep import print_tables, write_sweep_report
from world_models.report.sweep_plots import LEFT_MARGIN, PLOT_SIZE, chart, charts, drawer
from world_models.report.sweep_table import (
    Group,
    best_of,
    group_row,
    grouped,
    not_compared,
    read_jobs,
    write_tables,
)
from world_models.runs.statistics import summarize_seeds, t_quantile
from world_models.runs.sweeps import Sweep, forget_failure, note_failure, write_sweep


def loss_of_m(value: float) -> Headline:
    return Headline("validation loss", value, False, contains=IN_THE_LOSS)


def group(scores: list[float], larger_is_better: bool = True, **values: str) -> Group:
    named = {key.replace("__", "."): value for key, value in values.items()}
    return Group(named, "mean return", larger_is_better, scores, summarize_seeds(scores))


def test_a_headline_is_the_best_of_what_the_stage_measures(tmp_path: Path) -> None:
    write_training(tmp_path / "vae", "vae", [90.0, 38.5, 40.0])
    assert headline(tmp_path / "vae") == Headline("PSNR in dB", 22.0, True), "of the least loss"
    write_training(tmp_path / "mdrnn", "mdrnn", [90.0, 38.5, 40.0])
    assert headline(tmp_path / "mdrnn") == loss_of_m(38.5)
    write_run(tmp_path / "controller", "controller")
    assert headline(tmp_path / "controller") is None
    tests = [selection_row(1, 4.0), selection_row(2, 9.0), selection_row(3, 7.0)]
    write_rows(tmp_path / "controller/selection.csv", tests)
    assert headline(tmp_path / "controller") == Headline("selection score", 9.0, True)
    scores = json.loads((write_evaluate(tmp_path / "evaluate") / "scores.json").read_text())
    assert headline(tmp_path / "evaluate") == Headline(
        "mean return", scores["mean"], True, scores.get("std")
    )
    rows = (write_rollout(tmp_path / "rollout") / "episodes.csv").read_text().splitlines()[1:]
    returns = [float(row.split(",")[-1]) for row in rows]
    assert headline(tmp_path / "rollout") == Headline(
        "mean return", np.mean(returns), True, np.std(returns)
    )
    assert headline(write_run(tmp_path / "other", "anything")) is None


@pytest.mark.parametrize(
    ("stage", "table", "left"),
    [("actor_critic", "played.csv", 0.9), ("rem", "behaviour_played.csv", 0.5)],
)
def test_a_headline_is_of_the_agent_that_is_left(
    stage: str, table: str, left: float, tmp_path: Path
) -> None:
    """Stage actor_critic leaves the best of its agents, rem the last."""
    run = write_run(tmp_path / stage, stage)
    players = [("random", 0.2), ("agent", 0.3), ("agent", 0.9), ("agent", 0.5)]
    write_rows(run / table, [played_row(who, 0, 0, [mean], [7]) for who, mean in players])
    assert headline(run) == Headline("mean return", left, True)


def test_a_headline_of_a_run_that_was_cut_off(tmp_path: Path) -> None:
    write_run(tmp_path, "mdrnn", status="running")
    (tmp_path / "val_metrics.csv").write_text(
        "epoch,step,loss\n1,10,3.5\n2,20,nan\n3,30,2.5\n4,40,2.\n5,50,"
    )
    assert headline(tmp_path) == loss_of_m(2.0)


def test_the_best_group_has_the_largest_return_or_the_smallest_loss() -> None:
    better = [group([3.0], key="a"), group([9.0], key="b")]
    assert best_of(better) == better[1] and best_of([]) is None
    worse = [group([3.0], False, key="a"), group([9.0], False, key="b")]
    assert best_of(worse) == worse[0]


def test_numbers_stand_in_their_order_on_a_logarithmic_axis_where_they_span_a_decade() -> None:
    groups = [group([1.0], lr=value) for value in ("1e-3", "3e-2", "1e-4")]
    shown = chart(groups, "lr")
    assert shown.numeric and shown.logarithmic
    assert shown.values == ["1e-4", "1e-3", "3e-2"] and shown.places.tolist() == [1e-4, 1e-3, 3e-2]
    assert not chart([group([1.0], lr=value) for value in ("2", "8", "19")], "lr").logarithmic
    assert not chart([group([1.0], lr=value) for value in ("0", "10", "100")], "lr").logarithmic


def test_words_are_categories_in_the_order_of_the_list() -> None:
    shown = chart([group([1.0], policy=value) for value in ("sticky", "random", "3")], "policy")
    assert (
        not shown.numeric
        and shown.values == ["sticky", "random", "3"]
        and shown.places.tolist() == [0, 1, 2]
    )


def test_every_choice_of_the_other_keys_is_a_series() -> None:
    pairs = itertools.product(("1", "2"), ("8", "16"), ("relu", "tanh"))
    groups = [group([float(a)], stage__a=a, stage__b=b, c=c) for a, b, c in pairs]
    shown = chart(groups, "stage.b")
    assert [series.name for series in shown.series] == [
        "a=1, c=relu",
        "a=1, c=tanh",
        "a=2, c=relu",
        "a=2, c=tanh",
    ]
    assert all(series.places.tolist() == [8.0, 16.0] for series in shown.series)
    assert [found.key for found in charts(groups)] == ["stage.a", "stage.b", "c"]
    assert [found.key for found in charts([group([1.0, 2.0])])] == [""] and charts([]) == []


@pytest.mark.parametrize("values", [("1e-4", "1e-2"), ("2", "4"), ("a", "b")])
def test_every_mean_is_drawn_inside_the_axes(values: tuple[str, str], tmp_path: Path) -> None:
    """Each series' colour shows in the picture,
    and the marks of the first value stand left of those of the second.
    """
    groups = [
        group([n + 1.0, n + 2.0], x=x, y=y)
        for n, (x, y) in enumerate(itertools.product(values, ("p", "q")))
    ]
    shown = chart(groups, "x")
    (tmp_path / "plot.png").write_bytes(as_png(drawer(shown), PLOT_SIZE, LEFT_MARGIN, shown.top))
    pixels = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB"))
    assert pixels.shape == (2 * PLOT_SIZE[1], 2 * PLOT_SIZE[0], 3)
    below = pixels[2 * shown.top + 4 : -2 * 44]
    for colour in ((0x2A, 0x64, 0x99), (0xC8, 0x66, 0x2A)):
        columns = np.flatnonzero((below == colour).all(-1).any(0))
        assert columns.min() < PLOT_SIZE[0] < columns.max()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two learning rates and two seeds of M; one job failed, one was not started."""
    jobs = [[f"stage.lr={rate}", f"+seed={seed}"] for rate in ("1e-2", "1e-3") for seed in (1, 2)]
    write_sweep(
        tmp_path, Sweep("2026-11-20T14:03:22", ["-m", "<b>"], "..", [], ["stage.lr", "seed"], jobs)
    )
    for number, loss in ((0, 3.0), (1, 5.0), (2, 2.0)):
        inputs = [{"kind": "episodes", "path": "../../data/manifest.json", "sha256": "beef" * 16}]
        changes = {"inputs": inputs, "wall_seconds": 60.0}
        write_training(tmp_path / f"{number}", "mdrnn", [9.0, loss], **changes)
    note_failure(tmp_path / "3", "the first line\nthe second")
    return tmp_path


def test_jobs_are_read_from_their_folders(sweep: Path) -> None:
    jobs = read_jobs(sweep)
    assert [job.status for job in jobs] == ["finished", "finished", "finished", "failed"]
    assert (
        jobs[3].error == "the first line"
        and jobs[3].headline is None
        and jobs[3].values == {"stage.lr": "1e-3", "seed": "2"}
    )
    assert jobs[0].headline == loss_of_m(3.0) and jobs[0].minutes == 1.0
    forget_failure(sweep / "3")
    assert read_jobs(sweep)[3].status == "not started"
    note_failure(sweep / "2", "an old story")
    assert read_jobs(sweep)[2].status == "finished", "it was resumed by hand since"
    write_run(sweep / "3", "mdrnn", status="failed", error="no space left")
    assert read_jobs(sweep)[3].error == "no space left"


def test_only_finished_jobs_with_the_sweeps_metric_are_grouped(sweep: Path) -> None:
    (first, second) = grouped(read_jobs(sweep))
    assert (first.values, first.scores, second.scores) == ({"stage.lr": "1e-2"}, [3.0, 5.0], [2.0])
    assert (first.summary.low, first.summary.high) == (3.0, 5.0)
    write_run(sweep / "2", "mdrnn", status="interrupted")
    write_evaluate(sweep / "3")
    assert [found.scores for found in grouped(read_jobs(sweep))] == [[3.0, 5.0]]


def test_the_page_is_self_contained_and_tells_it_all(sweep: Path) -> None:
    jobs = read_jobs(sweep)
    page = Page(write_sweep_report(sweep, jobs, grouped(jobs)))
    text = " ".join(page.text.split())
    for words in (
        "Sweep over stage.lr and seed",
        "20 November 2026, 14:03",
        "Failed: 1 of 4 jobs",
        "the first line",
    ):
        assert words in text
    for words in (
        "best validation loss: stage.lr=1e-3",
        "Validation loss against stage.lr",
        "range 3 to 5",
        "beefbeefbeef",
    ):
        assert words in text
    assert not page.all("b") and not page.all("script") and len(page.all("svg")) == 1
    assert all(values.get("href", "#").startswith(("#", "data:")) for _, values in page.tags)
    assert (sweep / "plots/stage.lr.png").read_bytes().startswith(b"\x89PNG")
    assert [values for values in page.all("tr") if values.get("class") == "best"], (
        "the best group stands out"
    )


@pytest.mark.parametrize(
    ("best", "other", "said"),
    [
        ([9.0], [1.0], "One seed tells nothing apart: another may order them otherwise."),
        ([3.0, 9.0], [1.0, 4.0], "not told apart from a=b by 2 seeds: their ranges overlap."),
        ([8.0, 9.0], [1.0, 4.0], "2 seeds are too few to tell them apart, though no ranges overla"),
        ([8.0, 9.0], [1.0, 4.0, 1.0], "2 seeds are too few to tell them apart"),
        ([5.0, 6.0, 10.0], [1.0, 2.0, 3.0], "a=b by 3 seeds: their 95 % intervals overlap."),
        ([8.0, 9.0, 8.5], [1.0, 2.0, 1.5], ""),
    ],
)
def test_what_seeds_do_not_tell_apart_is_said(
    best: list[float], other: list[float], said: str
) -> None:
    found = doubt(best, {"a=b": other})
    assert said in found and bool(said) == bool(found) and doubt(best, {}) == ""


def test_the_best_of_a_sweep_is_called_uncertain(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_training(sweep / "3", "mdrnn", [9.0, 4.0])
    forget_failure(sweep / "3")
    jobs = read_jobs(sweep)
    print_tables(jobs, grouped(jobs))
    page = Page(write_sweep_report(sweep, jobs, grouped(jobs)))
    said = "The best is not told apart from stage.lr=1e-2 by 2 seeds: their ranges overlap."
    assert said in capsys.readouterr().out
    assert f"best validation loss: stage.lr=1e-3. {said}" in " ".join(page.text.split())


@pytest.mark.parametrize(("key", "named"), [("seed", True), ("experiment", False)])
def test_the_title_names_no_experiment_where_it_is_swept(
    key: str, named: bool, tmp_path: Path
) -> None:
    write_sweep(tmp_path, Sweep("2026-11-20T14:03:22", ["-m"], "..", [], [key], [[f"{key}=1"]]))
    write_run(tmp_path / "0", "mdrnn", experiment="large")
    page = Page(write_sweep_report(tmp_path, read_jobs(tmp_path), []))
    assert ("large" in page.text) is named


def test_a_sweep_without_a_finished_job_has_its_tables_and_page(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        note_failure(sweep / f"{number}", "no")
        write_run(sweep / f"{number}", "mdrnn", status="failed")
    jobs = read_jobs(sweep)
    write_tables(sweep, jobs, grouped(jobs))
    print_tables(jobs, grouped(jobs))
    page = Page(write_sweep_report(sweep, jobs, []))
    assert "Failed: 4 of 4 jobs" in page.text and not page.all("svg")
    assert capsys.readouterr().out.count("failed") == 4 and not (sweep / "sweep_seeds.csv").exists()


def test_three_seeds_have_a_t_interval_and_two_a_range() -> None:
    three = summarize_seeds([1.0, 2.0, 6.0])
    assert three.mean == 3.0 and three.std == pytest.approx(7**0.5)
    half = 4.3027 * (7 / 3) ** 0.5
    assert (three.low, three.high) == pytest.approx((3 - half, 3 + half), rel=1e-4)
    two = summarize_seeds([2.0, 6.0])
    assert two.is_range and (two.low, two.high) == (2.0, 6.0) and two.std == pytest.approx(8**0.5)
    one = summarize_seeds([2.0])
    assert one.is_range and math.isnan(one.std)
    assert not three.is_range and group_row(group([1.0, 2.0, 6.0]))["interval"] == "95 %"
    assert group_row(group([2.0]))["std"] == "" and group_row(group([2.0]))["interval"] == "range"


@pytest.mark.parametrize(
    ("freedom", "published"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)],
)
def test_the_t_quantile_is_the_published_one(freedom: int, published: float) -> None:
    assert t_quantile(freedom) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize(
    ("stage", "key", "ranked"),
    [
        ("mdrnn", "stage.done_weight", False),
        ("mdrnn", "stage.mdrnn.include_reward", False),
        ("mdrnn", "upstream", False),
        ("mdrnn", "stage.learning_rate", True),
        ("vae", "stage.kl_weight", True),
        ("vae", "env.game", False),
    ],
)
def test_what_is_in_the_number_is_not_ranked(
    stage: str, key: str, ranked: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [[f"{key}={value}", "seed=1"] for value in ("a", "b")]
    write_sweep(tmp_path, Sweep("2026-11-20T14:03:22", ["-m"], "..", [], [key, "seed"], jobs))
    for number, losses in enumerate(([9.0, 3.0], [9.0, 8.0, 7.0])):
        write_training(tmp_path / f"{number}", stage, losses)
    jobs_read = read_jobs(tmp_path)
    groups = grouped(jobs_read)
    assert len(groups) == 2 and (not_compared(groups) == []) == ranked
    page = Page(write_sweep_report(tmp_path, jobs_read, groups))
    marked = [values for values in page.all("tr") if values.get("class") == "best"]
    print_tables(jobs_read, groups)
    said = f"means something else with another {key}."
    for text in (page.text, capsys.readouterr().out):
        assert (said in text) == (not ranked)
    assert len(marked) == ranked
    best = best_of(groups)
    assert (best is not None) == ranked
    assert best is None or best.values[key] == ("b" if stage == "vae" else "a")
