"""Videos with a CSV of actions each, beside the pictures that they were made of."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from world_models.data.interchange.formats import Format, detect
from world_models.data.interchange.recording import Alignment
from world_models.data.interchange.videos import VideoSource
from world_models.envs.preprocess import Preprocessing
from world_models.figures.video import VideoFile

PLAIN = Preprocessing((0, 0, 0, 0), 32, False)
T = 5


def pictures(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Smooth ones, which a codec keeps nearly as they are."""
    y, x = np.mgrid[:height, :width]
    waves = [
        (128 + 80 * np.sin(x / 20 + step), 128 + 80 * np.cos(y / 16 - step), 0 * x + 20 * step)
        for step in range(count)
    ]
    return [np.stack(wave, -1).astype(np.uint8) for wave in waves]


def write_video(path: Path, frames: Sequence[np.ndarray]) -> None:
    with VideoFile(str(path), 30, path.name) as video:
        for frame in frames:
            video.add(frame)


def write_table(path: Path, columns: dict[str, Sequence[float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def episode(
    folder: Path, name: str = "a", rows: int = T, **more: Sequence[float]
) -> list[np.ndarray]:
    frames = pictures(T + 1)
    write_video(folder / f"{name}.mp4", frames)
    write_table(folder / f"{name}.csv", {"action": range(rows), **more})
    return frames


def source(
    path: Path, alignment: Alignment | None = None, preprocessing: Preprocessing = PLAIN
) -> VideoSource:
    return VideoSource(path, alignment, None, preprocessing)


def test_frames_are_those_of_the_video_cropped_and_resized(tmp_path: Path) -> None:
    frames = episode(tmp_path)
    crop = Preprocessing((4, 8, 0, 0), 32, False)
    found = source(tmp_path, preprocessing=crop).read(0)
    assert found.frames.shape == (T + 1, 32, 32, 3) and found.picture_size == (48, 64)
    true = [cv2.resize(frame[4:40], (32, 32), interpolation=cv2.INTER_AREA) for frame in frames]
    assert np.abs(found.frames.astype(int) - np.array(true)).mean() < 4


def test_grey_frames_have_one_channel(tmp_path: Path) -> None:
    episode(tmp_path)
    found = source(tmp_path, preprocessing=Preprocessing((0, 0, 0, 0), 32, True)).read(0)
    assert found.frames.shape == (T + 1, 32, 32, 1)


def test_a_row_for_each_step_needs_no_alignment(tmp_path: Path) -> None:
    episode(tmp_path, reward=[0, 0, 1, 0, 2], done=[0, 0, 0, 0, 1])
    found = source(tmp_path).read(0)
    assert found.actions.tolist() == [[0], [1], [2], [3], [4]]
    assert found.rewards.tolist() == [0, 0, 1, 0, 2] and found.done.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("alignment", "actions"), [(Alignment.pre, [0, 1, 2, 3, 4]), (Alignment.post, [1, 2, 3, 4, 5])]
)
def test_of_a_row_for_each_frame_the_one_without_a_step_goes(
    alignment: Alignment, actions: list[int], tmp_path: Path
) -> None:
    episode(tmp_path, rows=T + 1)
    assert source(tmp_path, alignment).read(0).actions[:, 0].tolist() == actions
    with pytest.raises(
        ValueError, match=r"stage\.alignment is missing: .*a\.csv has a row for each"
    ):
        source(tmp_path).read(0)


def test_without_rewards_and_ends_they_are_zero_and_it_was_cut_off(tmp_path: Path) -> None:
    episode(tmp_path, time=range(T))
    found = source(tmp_path)
    assert found.read(0).rewards.tolist() == [0] * T and found.read(0).done.tolist()[-1] == 2
    assert found.notes[0] == "columns of no use are left out: time"
    assert "no column reward" in found.notes[1] and "include_reward=false" in found.notes[1]


def test_several_columns_are_the_numbers_of_an_action_in_their_order(tmp_path: Path) -> None:
    write_video(tmp_path / "b.mp4", pictures(3))
    write_table(
        tmp_path / "b.csv", {"action_steer": [0.5, -1], "reward": [1, 1], "action_gas": [0, 1]}
    )
    assert source(tmp_path / "b.mp4").read(0).actions.tolist() == [[0.5, 0], [-1, 1]]


def test_a_folder_of_videos_is_told_from_others(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    episode(tmp_path / "below", "two")
    episode(tmp_path, "one")
    assert detect(tmp_path) is detect(tmp_path / "one.mp4") is Format.video
    found = source(tmp_path)
    assert [found.name(index) for index in range(len(found))] == ["below/two.mp4", "one.mp4"]
    assert [path.suffix for path in found.files] == [".csv", ".mp4"] * 2


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, r"a\.csv is missing: it holds the actions of the video beside it"),
        ("action\n1\nx\n", r"a\.csv is no table of numbers with a header: could not convert"),
        ("action,reward\n1,0\n1\n", r"a\.csv is no table of numbers"),
        ("action\n", r"a\.csv has rows of another length than its header, or none"),
        ("", r"a\.csv is no table of numbers"),
        ("reward\n1\n1\n1\n1\n1\n", r"a\.csv has no column whose name begins with action"),
        ("action\n1\n1\n", r"a\.csv has 2 rows and a\.mp4 6 frames: give one row for each step, 5"),
    ],
)
def test_a_table_that_does_not_fit_is_named(table: str | None, said: str, tmp_path: Path) -> None:
    episode(tmp_path)
    (tmp_path / "a.csv").unlink()
    if table is not None:
        (tmp_path / "a.csv").write_text(table)
    with pytest.raises(ValueError, match=said):
        source(tmp_path).read(0)


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    episode(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path))}.*is damaged, or no video"):
        source(tmp_path).read(0)


def test_a_crop_that_leaves_nothing_names_the_video(tmp_path: Path) -> None:
    episode(tmp_path)
    with pytest.raises(ValueError, match=r"a\.mp4: env\.crop=\[48, 0, 0, 0\] leaves nothing"):
        source(tmp_path, preprocessing=Preprocessing((48, 0, 0, 0), 32, False)).read(0)
