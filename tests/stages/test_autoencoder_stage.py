"""The autoencoder as users train it: what a run leaves, that it learns,
that it is resumed exactly.
"""

from pathlib import Path

import pytest
import torch
from commands import misfits, newest, small
from equality import assert_equal_runs, fails_at

from world_models.main import main
from world_models.models.conv_autoencoder import ConvAutoencoder
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv
from world_models.runs.training import Training


def trained(finished: Path, outputs: Path, *keys: str) -> Path:
    assert (
        main(small("autoencoder", f"upstream={finished / 'rollout'}", f"outputs={outputs}", *keys))
        == 0
    )
    return newest(outputs)


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; for reading only."""
    return trained(finished, tmp_path_factory.mktemp("autoencoder"))


def test_a_run_leaves_what_it_promises(run: Path) -> None:
    assert misfits(run) == []
    assert [int(row["step"]) for row in read_csv(run / "metrics.csv")] == [2, 3, 4, 5]
    assert {"loss", "recon_loss", "var_reg_loss", "latent_var", "grad_norm"} <= set(
        read_csv(run / "metrics.csv")[0]
    )
    assert [int(row["step"]) for row in read_csv(run / "val_metrics.csv")] == [3, 5]
    columns = [
        "loss",
        "recon_loss",
        "var_reg_loss",
        "mse",
        "psnr",
        "ssim",
        "latent_var",
        "latent_mean_norm",
    ]
    assert {f"val_{name}" for name in columns} | {"mean_mse", "mean_psnr"} <= set(
        read_csv(run / "val_metrics.csv")[0]
    )
    for step in (3, 5):
        assert (run / f"images/reconstructions_step_{step:08d}.png").stat().st_size > 1000
    for name in ("checkpoints/best.pt", "checkpoints/last.pt", "report.html", "resume.sh"):
        assert (run / name).is_file(), name


def test_best_is_the_model_with_the_lowest_validation_loss(run: Path) -> None:
    best = torch.load(run / "checkpoints/best.pt")
    rows = {int(row["step"]): float(row["val_loss"]) for row in read_csv(run / "val_metrics.csv")}
    assert best["step"] == min(rows, key=lambda step: rows[step])
    ConvAutoencoder(**best["config"]).load_state_dict(best["model"])
    assert (
        best["view"] == {"size": None, "grayscale": False}
        and best["env"]["id"] == "WorldModels/Pellet-v0"
    )


def test_tiny_budgets_leave_every_file_too(finished: Path, tmp_path: Path) -> None:
    run = trained(
        finished, tmp_path, "stage.max_steps=1", "stage.log_every=500", "stage.val_every_steps=1000"
    )
    assert {"metrics.csv", "val_metrics.csv", "timing.csv"} <= {
        path.name for path in run.glob("*.csv")
    }
    assert all(read_csv(path) for path in run.glob("*.csv"))
    assert [path.name for path in run.glob("images/*.png")] == ["reconstructions_step_00000001.png"]
    for name in ("best", "last"):
        assert torch.load(run / f"checkpoints/{name}.pt")["step"] == 1


@pytest.mark.parametrize("call", [2, 5])
def test_ctrl_c_then_resume_equals_uninterrupted(
    run: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(call, Training.update))
        assert (
            main(small("autoencoder", f"upstream={finished / 'rollout'}", f"outputs={tmp_path}"))
            == 130
        )
    cut = newest(tmp_path)
    assert read_json(cut / "manifest.json")["status"] == "interrupted"
    assert main([f"resume={cut}"]) == 0
    assert_equal_runs(run, cut)


def test_it_learns_to_draw_what_it_sees(finished: Path, tmp_path: Path) -> None:
    keys = [
        "stage.max_steps=120",
        "stage.learning_rate=3e-3",
        "stage.num_epochs=100",
        "stage.val_every_steps=500",
    ]
    row = read_csv(trained(finished, tmp_path, *keys) / "val_metrics.csv")[-1]
    assert float(row["val_psnr"]) > float(row["mean_psnr"]) + 3
    assert float(row["val_mse"]) == pytest.approx(2 * float(row["val_recon_loss"]), rel=1e-4)


def test_other_sizes_and_grey_pictures(finished: Path, tmp_path: Path) -> None:
    keys = [
        "stage.image_size=84",
        "stage.grayscale=true",
        "stage.factor=16",
        "stage.var_form=scalar",
    ]
    best = torch.load(trained(finished, tmp_path, *keys) / "checkpoints/best.pt")
    assert best["config"] == {
        "img_channels": 1,
        "factor": 16,
        "latent_channels": 4,
        "base_channels": 8,
    }


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("stage.factor=4", "stage.factor is 4; it must be one of 8, 16"),
        ("stage.base_channels=12", "stage.base_channels is 12; it must be a multiple of 8"),
        ("stage.data.pin_memory=true", "pin_memory=true is for device=cuda"),
        ("stage.image_size=4", "of at least 8x8"),
    ],
)
def test_bad_keys_are_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, message: str
) -> None:
    command = small(
        "autoencoder", f"upstream={finished / 'rollout'}", f"outputs={tmp_path / 'o'}", key
    )
    assert main(command) == 1
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1, errors
