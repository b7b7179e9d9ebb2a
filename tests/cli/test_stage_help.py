"""Help on a stage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from world_models.chains import catalogue
from world_models.config.groups import options, stage_of
from world_models.config.meanings import keys_of
from world_models.main import main

ROOT = Path(__file__).parents[2]


def text_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("choice", options("stage"))
def test_every_key_of_a_stage_is_listed_with_value_and_meaning(
    choice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = text_of([f"stage={choice}", "--help"], capsys)
    assert text.startswith(f"stage={choice}: ")
    for key in keys_of(catalogue.row(stage_of(choice)).config(), "stage."):
        assert f"\n{key.name}=" in text
        assert key.meaning in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100


def test_values_are_those_that_were_typed_or_that_a_file_gives(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = text_of(["stage=pixel_gray84", "env=pellet", "stage.delta=7", "-h"], capsys)
    assert "stage.grayscale=true" in text and "stage.delta=7.0" in text
    assert "stage.unroll=[1]" in text and "env=pellet" in text and "env.id=WorldModels" in text


def test_choices_are_listed_with_what_they_mean(capsys: pytest.CaptureFixture[str]) -> None:
    text = text_of(["stage=rollout", "--help"], capsys)
    assert "sticky: repeats its action for a while, for Discrete ones" in " ".join(text.split())
    assert "stage.policy=auto" in text and "(choice)" in text


def test_root_keys_stand_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    text = text_of(["stage=runs", "--help"], capsys)
    assert "It has no keys." in text
    assert text.index("\nseed=0") < text.index("\nwandb.mode=disabled")


def test_help_on_an_experiment_is_that_of_its_stage(capsys: pytest.CaptureFixture[str]) -> None:
    text = text_of(["experiment=demo", "stage=pipeline", "--help"], capsys)
    assert text.startswith("stage=pipeline: V-M-C") and "stage.vae.latent_size=" in text


def test_a_mistyped_stage_has_no_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage=vea", "--help"]) == 1
    assert "stage=vea does not exist" in capsys.readouterr().err


def test_help_without_a_stage_loads_no_hydra() -> None:
    program = (
        "import sys; from world_models.main import main; main(['--help']); "
        "sys.exit('hydra' in sys.modules or 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert done.returncode == 0
