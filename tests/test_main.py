"""The command line before anything heavy is loaded: its version, its flags, keys without values."""

import pytest

import world_models
from world_models.main import main


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage=vae", "--version"]) == 0
    assert capsys.readouterr().out == f"world-models {world_models.__version__}\n"


@pytest.mark.parametrize("flag", ["--hydra-help", "--config-dir", "--verbose", "--cfg=job"])
def test_other_flags_are_refused_in_a_sentence(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stage=vae", flag]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {flag} is no flag here; there are -h, --help, --version")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stage", "vae"], "stage has no =: keys are typed as stage=vae"),
        (["stage=vae", "seed", "3"], "seed has no =: keys are typed as seed=3"),
        (["stage=vae", "seed"], "seed has no =: keys are typed as seed=<value>"),
        (["vae", "env=pellet"], "vae has no =: keys are typed as vae=<value>"),
        (["-m", "stage=vae", "seed", "1,2"], "seed has no =: keys are typed as seed=1,2"),
    ],
)
def test_a_key_without_a_value_is_told_how_it_is_typed(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"error: {said}\n"


def test_the_word_after_a_flag_is_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage=runs", "--cfg", "job", "-p", "stage"]) == 0
    assert "name: runs" in capsys.readouterr().out or not capsys.readouterr().err
