"""What a run notes of its source: a patch that git takes, byte for byte, whatever git is set to."""

import os
import subprocess
from pathlib import Path

import pytest

from world_models.runs import provenance

SETTINGS = {
    "color.ui": "always",
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.external": "false",
    "core.pager": "false",
    "core.quotePath": "true",
}


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> None:
    subprocess.run(
        ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        input=stdin,
        capture_output=True,
        check=True,
    )


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with changes: Latin-1, zeros, a name with an umlaut; a user of odd settings."""
    path = tmp_path / "source"
    path.mkdir()
    files = {"latin.txt": b"Gr\xf6\xdfe\n", "zeros.bin": bytes(range(256)) * 9, "Öl.py": b"x = 1\n"}
    for name, content in files.items():
        (path / name).write_bytes(content)
    git(path, "init", "-q")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "first")
    for name, content in files.items():
        (path / name).write_bytes(b"new\r\n" + content[:-1])
    for name, value in SETTINGS.items():
        git(path, "config", name, value)
    monkeypatch.setattr(provenance, "SOURCE", path)
    return path


def test_the_patch_is_whole_whatever_git_is_set_to(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    patch = provenance.uncommitted_changes()
    changed = {path.name: path.read_bytes() for path in source.iterdir() if path.is_file()}
    monkeypatch.undo()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(source), str(clone))
    git(clone, "apply", "--whitespace=nowarn", "-", stdin=patch)
    assert {p.name: p.read_bytes() for p in clone.iterdir() if p.is_file()} == changed
    assert b"\x1b[" not in patch


def test_commit_and_changes_are_noted(source: Path) -> None:
    noted = provenance.provenance()["git"]
    assert len(noted["commit"]) == 40 and noted["dirty"]
    git(source, "checkout", "-q", "--detach")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "second")
    assert not provenance.provenance()["git"]["dirty"]
    (source / "notes.txt").write_text("git does not know of it")
    assert not provenance.provenance()["git"]["dirty"]
    assert provenance.uncommitted_changes() == b""


@pytest.mark.parametrize("git_is", ["absent", "no program", "failing"])
def test_without_git_a_run_starts_all_the_same(
    git_is: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    if git_is != "absent":
        program.write_text("#!/bin/sh\nexit 128\n")
        program.chmod(0o755 if git_is == "failing" else 0o644)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/nowhere")
    assert provenance.provenance()["git"] is None
    assert provenance.uncommitted_changes() == b""
