"""What the shell is told when somebody presses Tab."""

import sys

import pytest

from world_models.main import main


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/world-models"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("world-models sta", ["stage="]),
        ("world-models stage=va", ["stage=vae"]),
        ("world-models stage=vae env=p", ["env=pellet"]),
        ("world-models stage=vae thr", ["threads="]),
        ("world-models stage=vae stage.kl_", ["stage.kl_tolerance=", "stage.kl_weight="]),
        ("world-models -m stage=rollout stage.epi", ["stage.episodes="]),
        ("world-models stage=vea stage.epi", []),
    ],
)
def test_a_word_is_completed(
    line: str,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out.split() == words


def test_the_shell_learns_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-sc", "install=bash"]) == 0
    assert "complete -o nospace -o default -F hydra_bash_completion world-models" in (
        capsys.readouterr().out
    )


def test_a_module_that_python_runs_is_no_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/world_models/main.py"])
    assert main(["-sc", "install=bash"]) == 1
    assert 'eval "$(world-models -sc install=bash)"' in capsys.readouterr().err
