"""The other examples, on a small run: a tour, curves, a video as data."""

import csv
import runpy
import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from commands import SMALL, newest

import world_models
from world_models.data.store import EpisodeStore

EXAMPLES = Path(__file__).parents[2] / "examples"


def module_of(name: str) -> ModuleType:
    """An example, imported under a name of its own."""
    found = ModuleType(name)
    found.__dict__.update(runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name))
    return found


def test_a_tour_ends_with_a_film(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    film = tmp_path / "tour.mp4"
    monkeypatch.setattr(sys, "argv", ["tour.py", str(finished), str(film)])
    names = runpy.run_path(str(EXAMPLES / "tour.py"))
    with av.open(str(film)) as opened:
        frames = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    assert len(frames) == len(names["pictures"]) == 61 and frames[0].shape == (64, 256, 3)
    assert "vae/val_metrics: " in capsys.readouterr().out
    text = (EXAMPLES / "tour.py").read_text()
    assert text.startswith("# %%") and text.count("# %%") >= 6


def test_curves_with_pandas(finished: Path, tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    tables = module_of("curves").main(finished, picture)
    assert picture.stat().st_size > 10_000
    stored = world_models.load(finished).metrics["vae/val_metrics"]
    np.testing.assert_array_equal(tables["vae/val_metrics"]["loss"], stored["loss"])


def test_a_video_becomes_data(tmp_path: Path) -> None:
    small = [f"stage.{key}" for key in SMALL["vae"]]
    assert module_of("your_video").main(tmp_path, *small, "threads=1") == 0
    made = newest(tmp_path / "outputs")
    assert world_models.load(made).metrics["val_metrics"]["epoch"].tolist() == [1, 2]
    (converted,) = (tmp_path / "outputs").glob("*/*/*/episodes")
    store = EpisodeStore.open(converted)
    with (tmp_path / "videos" / "play_2.csv").open() as file:
        done = [int(row["action"]) for row in csv.DictReader(file)]
    (second,) = [row for row in store.rows if row.index == 2]
    assert store.episode(second).actions[: len(done)].tolist() == done
