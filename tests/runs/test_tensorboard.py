"""Event files, read back by TensorBoard's own reader."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from commands import newest, small

from world_models.figures.media import save_png
from world_models.main import main
from world_models.runs.metrics import MetricsLog, read_csv, together
from world_models.runs.tensorboard import FOLDER, tensorboard_mirror

needed = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="needs the extra tensorboard"
)


def events_in(folder: Path):  # type: ignore[no-untyped-def]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / FOLDER))
    events.Reload()
    return events


@needed
def test_rows_and_pictures_are_events_at_their_steps(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 7\n")
    picture = np.full((6, 8, 3), 200, np.uint8)
    save_png(tmp_path / "strip.png", picture)
    with tensorboard_mirror(tmp_path) as mirror:
        metrics = MetricsLog(tmp_path, mirror=mirror)
        for step, loss in ((50, 2.0), (100, 1.5)):
            metrics.write("metrics", {"step": step, "loss": loss, "name": "a text"})
        metrics.write("played", {"score": 3})
        metrics.picture("strip", tmp_path / "strip.png")
    events = events_in(tmp_path)
    assert set(events.Tags()["scalars"]) == {"metrics/loss", "played/score"}
    losses = [(event.step, event.value) for event in events.Scalars("metrics/loss")]
    assert losses == [(50, 2.0), (100, 1.5)]
    (image,) = events.Images("images/strip")
    assert (image.width, image.height) == (8, 6)
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0]
    assert b"seed: 7" in text


@pytest.mark.slow
@needed
def test_a_run_has_the_numbers_of_its_tables(finished: Path, tmp_path: Path) -> None:
    keys = [f"upstream={finished / 'rollout'}", f"outputs={tmp_path}", "tensorboard=true"]
    assert main(small("vae", *keys)) == 0
    run = newest(tmp_path)
    written = [float(row["loss"]) for row in read_csv(run / "val_metrics.csv")]
    events = events_in(run)
    mirrored = [event.value for event in events.Scalars("vae/val_metrics/loss")]
    assert mirrored == pytest.approx(written, rel=1e-6)
    # one for each epoch, and that of the best V
    assert len(events.Images("vae/images/reconstructions")) == 3


def test_a_missing_package_is_told_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "tensorboard" else find_spec(name, *rest),
    )
    assert main(small("rollout", "tensorboard=true", f"outputs={tmp_path}")) == 1
    assert 'needs the extra "tensorboard"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_several_mirrors_get_everything() -> None:
    seen: list[tuple[int, str]] = []
    mirrors = [lambda name, row, at=at: seen.append((at, name)) for at in range(2)]
    together(mirrors)("metrics", {"loss": 1.0})
    assert seen == [(0, "metrics"), (1, "metrics")]
