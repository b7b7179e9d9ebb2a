"""What the mdrnn stage leaves of its judgement, also when it was stopped while judging."""

from pathlib import Path

import pytest
from commands import newest, small
from equality import assert_equal_runs

from world_models.main import main
from world_models.runs.metrics import read_csv
from world_models.stages import mdrnn
from world_models.stages.mdrnn import watching

TABLES = ("likelihood", "open_loop", "calibration", "calibration_scores", "ends")


def test_a_finished_run_holds_the_tables_and_shows_them(finished: Path) -> None:
    run = finished / "mdrnn"
    assert [row["name"] for row in read_csv(run / "likelihood.csv")] == [
        "M",
        "last",
        "linear",
        "lags",
        "marginal",
        "floor",
    ]
    assert {row["horizon"] for row in read_csv(run / "open_loop.csv")} >= {"1", "5", "15"}
    assert {row["quantity"] for row in read_csv(run / "calibration.csv")} == {"done", "reward"}
    page = (run / "report.html").read_text()
    text = (run / "log.txt").read_text()
    assert "bits per dimension of the next z" in page and page.count("<video") == 2
    assert "next latent, bits per dimension: M " in text and "open loop" in text


@pytest.mark.parametrize("moment", ["judge", "show_dreams"])
def test_stopped_while_judging_then_resumed_leaves_the_same_tables(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(watching if moment == "judge" else mdrnn, moment, stopped)
        assert main(small("mdrnn", f"upstream={finished / 'vae'}", f"outputs={tmp_path}")) == 130
    run = newest(tmp_path)
    assert all((run / f"{name}.csv").is_file() == (moment == "show_dreams") for name in TABLES)
    assert main([f"resume={run}"]) == 0
    assert_equal_runs(finished / "mdrnn", run)
