"""The section of M: its headline, who wins, and calm about odd files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import report, write_csv, write_mdrnn, write_run, write_training

from world_models.figures.media import save_video

NAN = float("nan")


def write_measures(
    folder: Path, m: float = 1.2, low: float = 0.05, split: str = "validation"
) -> Path:
    """M needs `m` bits and linear regression 1.5; `low` to 2 (1.5 - m) - low is the interval of the difference."""
    bits = np.array([m, 2.0, 1.5, 3.0, 1.0])
    columns: dict[str, Any] = {
        "name": ["M", "last", "linear", "marginal", "floor"],
        "nats": bits * 22,
        "bits_per_dim": bits,
    }
    columns |= {
        "worse": bits - m,
        "low": [low] * 5,
        "high": 2 * (bits - m) - low,
        "pairs": [900] * 5,
    }
    write_csv(folder / "likelihood.csv", columns | {"episodes": [13] * 5, "split": [split] * 5})
    rows = [
        (who, steps)
        for steps in (1, 5, 15, 20)
        for who in ("mean", "sampled", "copy", "marginal", "seen")
    ]
    error = np.array([0.01 * steps + 0.02 * (place % 5) for place, (_, steps) in enumerate(rows)])
    columns = {
        "predictor": [who for who, _ in rows],
        "horizon": [steps for _, steps in rows],
        "starts": [256] * 20,
    }
    for space, ratio in (("latent", error + 0.5), ("pixel", error + 0.7)):
        columns |= {f"{space}_mse": error, f"{space}_ratio": ratio}
        columns |= {f"{space}_low": ratio - 0.1, f"{space}_high": ratio + 0.1}
    write_csv(folder / "open_loop.csv", columns | {"psnr": -10 * np.log10(error)})
    columns = {
        "quantity": ["done", "done", "reward", "reward"],
        "predicted": [0.01, 0.6, -1.0, 2.0],
    }
    write_csv(
        folder / "calibration.csv",
        columns
        | {"observed": [0, 0.5, -1.1, 1.9], "low": [0, 0.2, -2, 1], "high": [0.1, 0.8, 0, 3]},
    )
    columns = {
        "name": ["done_brier", "reward_r2"],
        "value": [0.0123, 0.87],
        "baseline": [0.045, -4e-8],
    }
    write_csv(folder / "calibration_scores.csv", columns)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_mdrnn(tmp_path / "run")


def text(folder: Path) -> str:
    return " ".join(report(folder).text.split())


def test_everything_measured_is_shown(folder: Path) -> None:
    write_measures(folder)
    save_video(folder / "videos" / "temperatures.mp4", np.zeros((3, 64, 64, 3), np.uint8))
    page = report(folder)
    words = " ".join(page.text.split())
    assert "1.20 bits per dimension of the next z; best simple baseline 1.50" in words
    assert (
        "M predicts the next z better than the best simple baseline, linear regression from z and action"
        in words
    )
    assert (
        "which needs 0.30 more" in words.replace("bits per dimension ", "")
        and "0.050 to 0.55 over 13 episodes" in words
    )
    for cells in ("linear regression from z and action1.5033.00.30 (0.050 to 0.55)", "M1.2026.4–"):
        assert cells in words
    assert "50.55 (0.45 to 0.65)0.610.75 (0.65 to 0.85)13.010.59.598.86256" in words
    assert "Brier score, lower is better0.0120.045" in words and "Reward: R²0.870.00" in words
    labels = {values["aria-label"] for values in page.all("svg")}
    assert {"Open loop: squared error of z", "Open loop: PSNR of the picture, dB"} <= labels
    assert {"End of episode: how often it comes", "Reward: predicted and actual"} <= labels
    assert len(page.all("video")) == 2
    assert [values for values in page.all("tr") if values.get("class") == "best"] == [
        {"class": "best"}
    ]


def test_a_baseline_that_wins_is_said_to(folder: Path) -> None:
    write_measures(folder, m=1.7, low=-0.3)
    words = text(folder)
    assert "1.70 bits per dimension of the next z; best simple baseline 1.50" in words
    assert "A simple baseline predicts the next z better than M: linear regression" in words
    assert "needs 0.20 bits per dimension less (95 % interval −0.30 to −0.10" in words
    assert 'class="best"><td>linear regression' in (folder / "report.html").read_text()


def test_a_difference_that_may_be_chance_is_said_to_be(folder: Path) -> None:
    write_measures(folder, m=1.49, low=-0.1)
    assert "M does not clearly differ from the best simple baseline, linear regression" in text(
        folder
    )


def test_few_episodes_and_training_episodes_are_named(folder: Path) -> None:
    write_measures(folder, low=NAN, split="train")
    words = text(folder)
    assert "13 episodes, too few for an interval" in words
    assert "There are no validation episodes" in words
    assert "nan" not in words.lower()


def test_without_ends_there_is_no_plot_of_them(folder: Path) -> None:
    write_measures(folder)
    table = (folder / "calibration.csv").read_text().replace("done,0.6,0.5", "done,0.6,0.0")
    (folder / "calibration.csv").write_text(table)
    assert "End of episode: how often it comes" not in text(folder)


@pytest.mark.parametrize("name", ["likelihood", "open_loop", "calibration", "calibration_scores"])
@pytest.mark.parametrize(
    "content",
    ["", "name,predictor,quantity\n", "name,horizon\nM,1\nx", "nan,,\n,,\n", "\xff,\x80\n1\n"],
)
def test_odd_files_do_no_harm(folder: Path, name: str, content: str) -> None:
    write_measures(folder)
    (folder / f"{name}.csv").write_bytes(content.encode("latin-1"))
    page = report(folder)
    assert "nan" not in page.text.lower()
    assert "Best validation loss" in page.text


def test_a_run_without_measures_shows_its_loss(tmp_path: Path) -> None:
    terms = {"loss": 1.2, "gmm": 38.0, "bce": 0.01, "mse": 0.4}
    assert "best validation loss" in text(write_training(tmp_path / "old", "mdrnn", terms))
    assert "Nothing has been recorded yet" in text(write_run(tmp_path / "new", "mdrnn"))
