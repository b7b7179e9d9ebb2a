"""stage=report: which page it writes, of what, and where."""

import shutil
from pathlib import Path

import pytest
from commands import small

from world_models.main import main
from world_models.report.report import write_report


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> list[Path]:
    """Two runs of V, copied, so that pages may be written into them."""
    folders = [tmp_path / "env/2026-01-01" / name for name in ("00-00-01", "00-00-02")]
    for folder in folders:
        shutil.copytree(finished / "vae", folder)
    return folders


def test_of_one_run_it_is_its_own_page(runs: list[Path]) -> None:
    before = write_report(runs[0]).read_bytes()
    (runs[0] / "report.html").unlink()
    assert main(["stage=report", f"stage.runs=[{runs[0]}]"]) == 0
    assert (runs[0] / "report.html").read_bytes() == before


def test_of_several_it_is_one_page_in_the_working_folder(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stage=report", f"stage.runs=[{runs[0]},{runs[1]}]"]) == 0
    assert "2 runs side by side" in (tmp_path / "comparison.html").read_text()


def test_without_names_it_is_the_newest_run(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs[0] / "report.html").unlink()
    text = (runs[1] / "manifest.json").read_text()
    (runs[1] / "manifest.json").write_text(text.replace('"created": "2', '"created": "3'))
    page = tmp_path / "page.html"
    assert main(["stage=report", f"outputs={tmp_path}", f"stage.file={page}"]) == 0
    assert page.is_file() and not (runs[0] / "report.html").exists()
    assert main(["stage=report", f"outputs={tmp_path / 'none'}"]) == 1
    assert "there is no run in" in capsys.readouterr().err


def test_a_run_that_has_ended_is_followed_to_one_last_page(runs: list[Path]) -> None:
    assert main(["stage=report", f"stage.runs=[{runs[0]}]", "stage.follow=true"]) == 0
    page = (runs[0] / "live.html").read_text()
    assert "data-again" not in page and "<script" not in page


@pytest.mark.slow
def test_a_sweep_stands_for_its_jobs(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = small("vae", f"upstream={finished / 'rollout'}", f"outputs={tmp_path}", "seed=1,2")
    assert main(["-m", *keys, f"hydra.sweep.dir={tmp_path / 'sweep'}"]) == 0
    assert main(["stage=report", f"stage.runs=[{tmp_path / 'sweep'}]"]) == 0
    page = (tmp_path / "comparison.html").read_text()
    assert "2 runs side by side" in page and "A, B" in page and "sweep/1" in page


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["stage.runs=[nowhere]"], "stage.runs: nowhere is the folder of no run and of no sweep"),
        (["stage.file=page.pdf"], "stage.file is page.pdf; its name must end in .html"),
        (["stage.every=0"], "stage.every is 0.0; it must be above 0"),
    ],
)
def test_mistakes_are_one_sentence(
    keys: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stage=report", *keys]) == 1
    assert capsys.readouterr().err == f"error: {said}\n"
