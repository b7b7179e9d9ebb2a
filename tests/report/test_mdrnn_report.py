"""The section of M: its headline, who wins, and calm about odd files."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from report.fabricated import report, write_rows, write_run, write_training

from world_models.measures.rows import (
    PREDICTORS,
    QUANTITIES,
    CalibrationBin,
    EndRow,
    HeadScore,
    LikelihoodRow,
    OpenLoopRow,
)

NAN = float("nan")
BITS = {"last": 2.0, "linear": 1.5, "marginal": 3.0, "floor": 1.0}


def write_measures(
    folder: Path, m: float = 1.2, low: float = 0.05, split: str = "validation"
) -> Path:
    """M needs `m` bits and linear regression 1.5; `low` to 2 (1.5 - m) - low is the interval of
    the difference."""
    rows = [
        LikelihoodRow(
            name=name,
            nats=22 * bits,
            bits_per_dim=bits,
            worse=bits - m,
            low=low,
            high=2 * (bits - m) - low,
            pairs=900,
            episodes=13,
            split=split,
        )
        for name, bits in {"M": m, **BITS}.items()
    ]
    write_rows(folder / "likelihood.csv", rows)
    write_rows(folder / "open_loop.csv", open_loop_rows())
    write_rows(folder / "calibration.csv", BINS)
    scores = [
        HeadScore(name="done_brier", value=0.0123, baseline=0.045),
        HeadScore(name="reward_r2", value=0.87, baseline=-4e-8),
    ]
    write_rows(folder / "calibration_scores.csv", scores)
    write_rows(folder / "ends.csv", [end_row("0.5", 0.4), end_row("drawn", 0.3)])
    return folder


def end_row(rule: str, recall: float, ended: float = 20.0, ends: int = 25) -> EndRow:
    return EndRow(
        split="validation",
        rule=rule,
        steps=1000,
        ends=ends,
        ended=ended,
        recall=recall,
        recall_chance=ended / 1000,
        precision=0.5 if ended else NAN,
        precision_chance=ends / 1000,
        episodes=25,
        dream_length=80.0,
        real_length=40.0,
    )


def open_loop_rows() -> Iterator[OpenLoopRow]:
    """The error grows with the horizon, and from one predictor to the next."""
    for horizon in (1, 5, 15, 20):
        for place, predictor in enumerate(PREDICTORS):
            error = 0.01 * horizon + 0.02 * place
            yield OpenLoopRow(
                predictor=predictor,
                horizon=horizon,
                starts=4096,
                pixel_starts=256,
                episodes=13,
                latent_mse=error,
                latent_ratio=error + 0.5,
                latent_low=error + 0.4,
                latent_high=error + 0.6,
                pixel_mse=error,
                pixel_ratio=error + 0.7,
                pixel_low=error + 0.6,
                pixel_high=error + 0.8,
                psnr=-10 * math.log10(error),
            )


def bin_of(quantity: str, predicted: float, observed: float, half: float) -> CalibrationBin:
    return CalibrationBin(
        quantity=quantity,
        start=predicted,
        stop=predicted,
        count=20,
        predicted=predicted,
        observed=observed,
        low=observed - half,
        high=observed + half,
    )


BINS = [
    bin_of("done", 0.01, 0.0, 0.1),
    bin_of("done", 0.6, 0.5, 0.3),
    bin_of("reward", -1.0, -1.1, 1.0),
    bin_of("reward", 2.0, 1.9, 1.0),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_training(tmp_path / "run", "mdrnn", [2.0, 1.2])


def text(folder: Path) -> str:
    return " ".join(report(folder).text.split())


def test_everything_measured_is_shown(folder: Path) -> None:
    write_measures(folder)
    page = report(folder)
    words = " ".join(page.text.split())
    assert "1.20 bits per dimension of the next z; best simple baseline 1.50" in words
    assert (
        "M predicts the next z better than linear regression from z and action: "
        "1.20 against 1.50 bits per dimension "
        "(95 % interval of the difference 0.050 to 0.55, over 13 episodes)."
    ) in words
    for cells in ("linear regression from z and action1.5033.00.30 (0.050 to 0.55)", "M1.2026.4–"):
        assert cells in words
    assert (
        "50.55 (0.45 to 0.65)0.61 (0.51 to 0.71)0.75 (0.65 to 0.85)13.010.59.598.864,096 (256)"
        in words
    )
    assert "Brier score, lower is better0.0120.045" in words and "Reward: R²0.870.00" in words
    assert all(caption in words for caption in QUANTITIES.values())
    assert [values for values in page.all("tr") if values.get("class") == "best"] == [
        {"class": "best"}
    ]


def test_a_baseline_that_wins_is_said_to(folder: Path) -> None:
    write_measures(folder, m=1.7, low=-0.3)
    words = text(folder)
    assert "1.70 bits per dimension of the next z; best simple baseline 1.50" in words
    assert (
        "Linear regression from z and action predicts the next z better than M: "
        "1.50 against 1.70 bits per dimension (95 % interval of the difference −0.30 to −0.10"
    ) in words
    assert 'class="best"><td>linear regression' in (folder / "report.html").read_text()


def test_a_difference_that_may_be_chance_is_said_to_be(folder: Path) -> None:
    write_measures(folder, m=1.49, low=-0.1)
    assert "M does not clearly differ from linear regression" in text(folder)


def test_few_episodes_and_training_episodes_are_named(folder: Path) -> None:
    write_measures(folder, low=NAN, split="train")
    words = text(folder)
    assert "13 episodes, too few for an interval" in words
    assert "There are no validation episodes" in words
    assert "nan" not in words.lower()


def test_without_ends_there_is_no_plot_of_them(folder: Path) -> None:
    write_measures(folder)
    write_rows(folder / "calibration.csv", [BINS[0], *BINS[2:]])
    assert "End of episode: how often it comes" not in text(folder)


@pytest.mark.parametrize(
    ("ended", "said"), [(10.0, "longer than episodes"), (20.0, None), (60.0, "sooner over than")]
)
def test_another_number_of_ends_than_there_are_is_told(
    folder: Path, ended: float, said: str | None
) -> None:
    write_measures(folder)
    write_rows(folder / "ends.csv", [end_row("0.5", 0.4), end_row("drawn", 0.3, ended=ended)])
    words = text(folder)
    assert ("stage.sequences=episodes" in words) is (said is not None)
    if said is not None:
        assert f"M expects {ended:.1f} ends in steps that had 25" in words and said in words


def test_ends_stand_beside_chance(folder: Path) -> None:
    write_measures(folder)
    words = text(folder)
    assert "above 0.50.400.0200.500.02580.040.0" in words
    assert "as drawn from its probability0.30" in words
    assert "M ends steps above 0.5 better than chance: recall of ends 0.40 against 0.020." in words


def test_an_end_that_never_comes_is_bad_news(folder: Path) -> None:
    write_measures(folder)
    write_rows(folder / "ends.csv", [end_row("0.5", 0.0, ended=0.0)])
    words = text(folder)
    assert "M gives none of 25 ends a probability above 0.5" in words and "80.0 steps" in words
    assert "above 0.500–0.02580.040.0" in words


def test_where_no_episode_ended_nothing_is_said_of_rules(folder: Path) -> None:
    write_measures(folder)
    write_rows(folder / "ends.csv", [end_row("0.5", NAN, ended=0.0, ends=0)])
    assert "Rules by which dreams may end" not in text(folder)
    assert "probability above" not in text(folder)


def test_a_table_that_lacks_a_column_is_named(folder: Path) -> None:
    write_measures(folder)
    (folder / "open_loop.csv").write_text("predictor,horizon\nmean,1\n")
    assert "open_loop.csv has no column starts, episodes, latent_mse" in text(folder)


@pytest.mark.parametrize(
    "name", ["likelihood", "open_loop", "calibration", "calibration_scores", "ends"]
)
@pytest.mark.parametrize(
    "content",
    ["", "name,predictor,quantity\n", "name,horizon\nM,1\nx", "nan,,\n,,\n", "\xff,\x80\n1\n"],
)
def test_odd_files_do_no_harm(folder: Path, name: str, content: str) -> None:
    write_measures(folder)
    (folder / f"{name}.csv").write_bytes(content.encode("latin-1"))
    page = report(folder)
    shown = page.text.replace(str(folder), "").replace("no column name", "")
    assert not re.search(r"\bnan\b", shown.lower())
    assert "Best validation loss" in shown


def test_a_run_without_measures_shows_its_loss(tmp_path: Path) -> None:
    assert "best validation loss" in text(write_training(tmp_path / "old", "mdrnn", [1.2]))
    assert "Nothing has been recorded yet" in text(write_run(tmp_path / "new", "mdrnn"))
