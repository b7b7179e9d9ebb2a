"""The project as others get it: a wheel that carries conf/, and pages whose commands run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ENV, SMALL, STAGES, newest, small

from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.main import main
from world_models.runs.files import read_json

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "docs/running.md",
    "docs/stages/controller.md",
    "docs/stages/pixel.md",
    "docs/stages/tokenizer.md",
    "docs/tour.md",
    "docs/expect.md",
    "docs/reproducibility.md",
    "docs/gpu.md",
    "docs/data.md",
    "docs/sweeps.md",
    "docs/stages/rollout.md",
    "docs/stages/convert.md",
    "docs/stages/export.md",
    "docs/stages/pipeline.md",
    "docs/stages/report.md",
    "docs/stages/play.md",
]
"""The pages whose commands work."""
WALK = ["README.md", "docs/stages/pixel.md"]
"""Those whose stages feed each other in the order in which they are typed."""


def text_of(pages: list[str]) -> str:
    return "\n".join((ROOT / page).read_text() for page in pages)


def commands_of(pages: list[str]) -> list[str]:
    """The command lines of the pages, continued lines joined, comments left out."""
    blocks = re.findall(r"```sh\n(.*?)```", text_of(pages), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.strip()]


def ours(commands: list[str]) -> list[list[str]]:
    """What follows the program's name in the commands that start it."""
    own = [line for line in commands if line.startswith("python -m world_models.main")]
    return [shlex.split(line)[3:] for line in own]


COMMANDS = commands_of(PAGES)
OURS = ours(COMMANDS)


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


def test_readme_commands_are_make_or_ours() -> None:
    assert OURS, "README shows how to run a stage"
    others = {
        line
        for line in COMMANDS
        if not line.startswith(("python -m", "make ", "pip install", "git clone", "cd "))
    }
    assert others == set()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert all(line.split()[1] in targets for line in COMMANDS if line.startswith("make "))


@pytest.mark.parametrize(
    "arguments",
    [item for item in OURS if not any(text.startswith(("resume=", "-")) for text in item)],
    ids=" ".join,
)
def test_readme_commands_compose(arguments: list[str]) -> None:
    register(schemas())
    compose_config(arguments)


@pytest.mark.parametrize(
    "arguments", [item for item in OURS if set(item) & {"--help", "--cfg"}], ids=" ".join
)
def test_readme_commands_that_show_something(arguments: list[str], tmp_path: Path) -> None:
    assert "stage" in run(
        [sys.executable, "-m", "world_models.main", *arguments], tmp_path, PYTHONPATH=str(ROOT)
    )


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
        for item in ours(commands_of(WALK))
        if item[0].removeprefix("stage=") in SMALL
        and not any(text.startswith("-") for text in item)
    ]
    done = []
    for arguments in named:
        stage = arguments[0].removeprefix("stage=")
        kept = [
            item
            for item in arguments
            if not item.startswith(("env=", "env.", "stage.", "upstream="))
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
    assert done == [*STAGES, "rollout", "pixel", "pixel_gray84", "evaluate", "autoencoder"]
    assert main([f"resume={newest(tmp_path)}"]) == 0


def test_readme_notebook_lines_run(finished: Path, tmp_path: Path) -> None:
    blocks = re.findall(
        r"```python\n(.*?)```", text_of(["docs/running.md", "docs/stages/pixel.md"]), re.DOTALL
    )
    assert (
        main(
            small(
                "pixel",
                f"upstream={finished / 'rollout'}",
                f"outputs={tmp_path}",
                "stage.max_steps=1",
            )
        )
        == 0
    )
    places = [finished, finished / "controller" / "agent.pt", newest(tmp_path)]
    for block, path in zip(blocks, places, strict=True):
        lines = re.sub(r'"(outputs/[^"]*|car_racing)"', f'"{path}"', block)
        names: dict[str, object] = {}
        exec(lines, names)
        assert str(path) in lines
        assert len(names.get("frames", names.get("pictures"))) == 4  # type: ignore[arg-type]


def test_readme_conversions_run(finished: Path, tmp_path: Path) -> None:
    """The convert commands as README gives them, on Pellet's episodes.

    Those of videos are in the tests of stage=data.
    """
    named = [item for item in OURS if item[0] == "stage=convert" and "env=data" not in item]
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
