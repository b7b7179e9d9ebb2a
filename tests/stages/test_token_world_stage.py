"""Stage token_world as users run it: what a run leaves, that it learns, that it resumes exactly."""

from pathlib import Path

import pytest
import torch
from commands import misfits, newest, small
from equality import assert_equal_runs, fails_at

from world_models.main import main
from world_models.runs.metrics import read_csv
from world_models.runs.training import Training
from world_models.worlds.token import load_token_model


def test_a_run_leaves_what_it_promises(token_world_run: Path) -> None:
    run = token_world_run
    assert misfits(run) == []
    assert [int(row["step"]) for row in read_csv(run / "metrics.csv")] == [2, 4, 6, 7]
    assert {"loss", "tokens", "reward", "end"} <= set(read_csv(run / "metrics.csv")[0])
    assert [int(row["step"]) for row in read_csv(run / "val_metrics.csv")] == [3, 6, 7]
    assert [int(row["horizon"]) for row in read_csv(run / "open_loop.csv")] == [1, 2, 3]
    drawn = [row["drawn"] for row in read_csv(run / "counts.csv")]
    assert drawn == ["real", "independent", "counted"]
    for name in ("images/dream_step_00000007.png", "report.html", "resume.sh"):
        assert (run / name).stat().st_size > 100, name


def test_best_is_the_model_with_the_lowest_loss(token_world_run: Path) -> None:
    dreamer = load_token_model(token_world_run / "checkpoints/best.pt")
    rows = {int(r["step"]): float(r["loss"]) for r in read_csv(token_world_run / "val_metrics.csv")}
    assert dreamer.step == min(rows, key=lambda step: rows[step])
    assert dreamer.grid == (4, 4) and dreamer.context == 1


@pytest.mark.parametrize("call", [2, 6])
def test_ctrl_c_then_resume_equals_uninterrupted(
    token_world_run: Path,
    patch_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(call, Training.update))
        assert main(small("token_world", f"upstream={patch_run}", f"outputs={tmp_path}")) == 130
    cut = newest(tmp_path)
    assert main([f"resume={cut}"]) == 0
    assert_equal_runs(token_world_run, cut)


def test_a_run_of_before_prediction_tokens_were_told_anything_goes_on(
    patch_run: Path, tmp_path: Path
) -> None:
    keys = [f"upstream={patch_run}", f"outputs={tmp_path}", "stage.informed=false"]
    assert main(small("token_world", *keys)) == 0
    whole = newest(tmp_path)
    assert main(small("token_world", *keys, "stage.max_steps=3")) == 0
    old = newest(tmp_path)
    config = old / "config.yaml"
    assert "  informed: false\n" in config.read_text()
    config.write_text(config.read_text().replace("  informed: false\n", ""))
    assert main([f"resume={old}", "stage.max_steps=7"]) == 0
    ends = [torch.load(run / "checkpoints/last.pt")["model"] for run in (whole, old)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize(
    "keys",
    [
        ("stage.sequence=attention", "stage.context=2"),
        ("stage.pop=false", "stage.shared_codes=false"),
        ("stage.informed=false",),
        ("stage.rounds=2",),
        ("stage.parity=true", "stage.shared_codes=false", "stage.seq_len=3"),
    ],
)
def test_each_kind_trains(patch_run: Path, tmp_path: Path, keys: tuple[str, ...]) -> None:
    begin = small("token_world", f"upstream={patch_run}", f"outputs={tmp_path}")
    given = {key.split("=")[0] for key in keys}
    assert main([*(key for key in begin if key.split("=")[0] not in given), *keys]) == 0
    weights = torch.load(newest(tmp_path) / "checkpoints/best.pt")["model"]
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["stage.rounds=5"], "stage.rounds is 5; it must be at least 1 and at most 4"),
        (["stage.rounds=2", "stage.informed=false"], "needs stage.informed=true, stage.pop=true"),
    ],
)
def test_rounds_that_cannot_be_are_refused_by_their_key(
    patch_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: list[str],
    sentence: str,
) -> None:
    begin = small("token_world", f"upstream={patch_run}", f"outputs={tmp_path / 'outputs'}")
    assert main([*begin, *keys]) == 1
    assert sentence in capsys.readouterr().err and not (tmp_path / "outputs").exists()


def test_codes_that_do_not_fit_are_refused(
    patch_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = small("token_world", f"upstream={patch_run}", f"outputs={tmp_path / 'outputs'}")
    assert main([*begin, "stage.parity=true"]) == 1
    assert "go in as they are only at a width of 768, not 16" in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()
