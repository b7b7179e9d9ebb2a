"""What stage=doctor says of this machine, and of one that lacks something."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from world_models.main import main
from world_models.runs.machine import Room
from world_models.runs.requirements import Package, packages
from world_models.stages import doctor

ROOT = Path(__file__).parents[2]


def said(capsys: pytest.CaptureFixture[str], name: str) -> str:
    """The line about a thing."""
    lines = capsys.readouterr().out.splitlines()
    return next(line for line in lines if line.split()[1:2] == [name])


def lacking(name: str, found: str | None) -> list[Package]:
    """All packages, of which one is not as it should be."""
    return [
        replace(package, version=found, fits=False) if package.name == name else package
        for package in packages()
    ]


def test_every_declared_package_has_a_purpose() -> None:
    assert {package.name for package in packages()} <= set(doctor.PURPOSES)


def test_here_everything_that_the_core_needs_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stage=doctor", f"outputs={tmp_path / 'runs'}"]) == 0
    out = capsys.readouterr().out
    assert all(package.name in out for package in packages())
    assert "!!" not in out and "GB free" in out and list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named_with_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "packages", lambda: lacking("vizdoom", None))
    assert main(["stage=doctor"]) == 0
    line = said(capsys, "vizdoom")
    assert "not installed" in line and "env=take_cover" in line and "[doom]" in line


@pytest.mark.parametrize("found", [None, "0.1"])
def test_a_core_package_that_is_amiss_ends_the_command_as_failed(
    found: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "packages", lambda: lacking("numpy", found))
    assert main(["stage=doctor"]) == 1
    out, error = capsys.readouterr()
    line = next(line for line in out.splitlines() if line.startswith("!!"))
    assert "numpy" in line and "pip install" in line and (found or "not installed") in line
    assert error == "error: the core needs numpy: do what is said beside !! above\n"


def test_outputs_that_cannot_be_written_are_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["stage=doctor", f"outputs={tmp_path / 'file'}"]) == 1
    out, error = capsys.readouterr()
    assert "outputs=<folder>" in out and "the core needs disk" in error


def test_little_memory_is_said_with_what_helps() -> None:
    (few,) = doctor._memory(Room(10**9, 8 * 10**9))
    (many,) = doctor._memory(Room(7 * 10**9, 8 * 10**9))
    assert few.found == "1.0 of 8.0 GB free" and "stage.workers=1" in few.mend and not many.mend


def test_it_does_not_load_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from world_models.main import main; main(['stage=doctor']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
