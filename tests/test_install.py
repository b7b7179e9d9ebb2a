"""The project as others get it: a wheel that carries conf/, and pages whose commands run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ENV, SMALL, STAGES, newest
from manual.blocks import commands
from manual.exceptions import of_a_script

from world_models.main import main
from world_models.runs.files import read_json

ROOT = Path(__file__).parents[1]
WALK = ["README.md", "docs/stages/pixel.md"]
"""Pages whose stages feed each other in the order in which they are typed."""
OURS = [each for each in commands() if each.is_ours and not of_a_script(each)]


def run(command: list[str], cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed; its source is gone."""
    tmp_path = tmp_path_factory.mktemp("wheel")
    source, site = tmp_path / "source", tmp_path / "site"
    kept = shutil.ignore_patterns(".git", ".venv", "outputs", "__pycache__", "docs")
    shutil.copytree(ROOT, source, ignore=kept)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--no-deps", "--no-build-isolation", "--target", str(site), str(source)], tmp_path)
    shutil.rmtree(source)
    return site


def test_an_installed_wheel_works_in_an_empty_directory(site: Path, tmp_path: Path) -> None:
    place = run(
        [sys.executable, "-c", "import world_models; print(world_models.__file__)"],
        tmp_path,
        PYTHONPATH=str(site),
    )
    assert place.startswith(str(site))
    arguments = ["stage=rollout", "env=pellet", *(f"stage.{item}" for item in SMALL["rollout"])]
    run([sys.executable, "-m", "world_models.main", *arguments], tmp_path, PYTHONPATH=str(site))
    manifest = read_json(newest(tmp_path / "outputs") / "manifest.json")
    assert manifest["status"] == "finished" and manifest["git"] is None
    assert (site / "bin" / "world-models").is_file()


@pytest.mark.slow
def test_the_driver_that_comes_with_the_wheel_drives(site: Path, tmp_path: Path) -> None:
    play = [
        sys.executable,
        "-m",
        "world_models.main",
        "stage=evaluate",
        "agent=car_racing",
        "stage.episodes=1",
    ]
    run([*play, "stage.workers=0"], tmp_path, PYTHONPATH=str(site))
    scores = read_json(newest(tmp_path / "outputs") / "scores.json")
    assert scores["mean"] > 500 > 0 > scores["random"]["mean"]


PROMISED = {
    "rollout": ["episodes.csv", "images/*.png"],
    "vae": ["val_metrics.csv", "quality.json", "checkpoints/best.pt", "images/*.png"],
    "mdrnn": [
        "val_metrics.csv",
        "likelihood.csv",
        "open_loop.csv",
        "calibration.csv",
        "checkpoints/best.pt",
        "videos/*.mp4",
    ],
    "controller": ["metrics.csv", "selection.csv", "agent.pt"],
    "evaluate": ["scores.json", "videos/*.mp4"],
    "pixel": [
        *(
            "metrics.csv",
            "val_metrics.csv",
            "val_rollout_metrics.csv",
            "checkpoints/best.pt",
            "checkpoints/last.pt",
        ),
        *("images/train_step_*.png", "images/val_step_*.png", "plots/*.png", "videos/*.mp4"),
    ],
    "rem": [
        *(f"{part}_val_metrics.csv" for part in ("tokenizer", "world")),
        "behaviour_played.csv",
        "agent.pt",
        "images/*.png",
        "videos/*.mp4",
    ],
    "autoencoder": [
        "metrics.csv",
        "val_metrics.csv",
        "images/*.png",
        "checkpoints/best.pt",
        "checkpoints/last.pt",
    ],
}


def leaves_what_it_promises(run: Path, stage: str) -> None:
    """No file is missing and no table is empty."""
    for pattern in [
        *PROMISED[stage.removesuffix("_gray84")],
        "report.html",
        "config.yaml",
        "manifest.json",
        "log.txt",
    ]:
        found = list(run.glob(pattern))
        assert found and all(path.stat().st_size > 0 for path in found), f"{stage}: {pattern}"
    for table in run.glob("*.csv"):
        assert len(table.read_text().splitlines()) > 1, f"{stage}: {table.name} has no row"


@pytest.mark.slow
def test_readme_stages_run_in_their_order(tmp_path: Path) -> None:
    """The stage commands as README gives them, on Pellet and small."""
    named = [
        item
        for page in WALK
        for item in (each.arguments for each in OURS if each.page == page)
        if item[0].removeprefix("stage=") in SMALL
        and not any(text.startswith("-") for text in item)
    ]
    done = []
    for arguments in named:
        stage = arguments[0].removeprefix("stage=")
        kept = [
            item
            for item in arguments
            if not item.startswith(("env=", "env.", "experiment=", "stage.", "upstream="))
        ]
        if any(item.startswith("upstream=") for item in arguments):
            kept.append(f"upstream={newest(tmp_path)}")
        assert (
            main(
                [
                    *kept,
                    *ENV,
                    *(f"stage.{item}" for item in SMALL[stage]),
                    f"outputs={tmp_path}",
                ]
            )
            == 0
        )
        done.append(stage)
        leaves_what_it_promises(newest(tmp_path), stage)
    assert done == [*STAGES, "rem", "rollout", "pixel", "pixel_gray84", "evaluate", "autoencoder"]
    assert main([f"resume={newest(tmp_path)}"]) == 0


def test_readme_conversions_run(finished: Path, tmp_path: Path) -> None:
    """The convert commands as README gives them, on Pellet's episodes.

    Those of videos are in the tests of stage=data.
    """
    ours = [each.arguments for each in OURS]
    named = [item for item in ours if item[0] == "stage=convert" and "env=data" not in item]
    rollouts, store, outputs = (
        tmp_path / "rollouts",
        finished / "rollout",
        f"outputs={tmp_path / 'outputs'}",
    )
    written = ["stage.to=npz", "stage.alignment=post", "env=pellet", outputs]
    assert main(["stage=convert", f"stage.source={store}", *written]) == 0
    shutil.copytree(next(newest(tmp_path / "outputs").glob("*/*.npz")).parent, rollouts)
    for arguments in named:
        source = rollouts if "stage.source=rollouts/" in arguments else store
        kept = [item for item in arguments if not item.startswith(("env=", "stage.source="))]
        assert main([*kept, f"stage.source={source}", "env=pellet", outputs]) == 0
    assert len(named) == 3
