"""Pictures and videos: geometry, refusals, and files that other programs can read."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from world_models.figures import media
from world_models.figures.media import labelled_rows, save_png, save_video, side_by_side


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_picture(tmp_path: Path, channels: int) -> None:
    image = noise(7, 5, channels)
    save_png(tmp_path / "images" / "a.png", image)
    read = np.array(Image.open(tmp_path / "images" / "a.png"))
    assert np.array_equal(read.reshape(7, 5, channels), image)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["a.png"]


def test_pictures_of_floats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8"):
        save_png(tmp_path / "a.png", np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="'dream'"):
        labelled_rows({"frame": noise(2, 4, 4, 3), "dream": np.zeros((2, 4, 4, 3))})


@pytest.mark.parametrize(("size", "scale"), [(64, 2), (65, 1)])
def test_every_tile_stands_in_the_grid(size: int, scale: int) -> None:
    rows = {"frame": noise(3, size, size, 3), "a longer label": noise(3, size, size, 3)[:, ::-1]}
    picture = labelled_rows(rows)
    side, edge = size * scale, picture.shape[1] - media.GRID_MARGIN
    assert picture.dtype == np.uint8
    assert picture.shape[0] == 2 * media.GRID_MARGIN + 2 * side + media.TILE_GAP
    for index, tiles in enumerate(rows.values()):
        top = media.GRID_MARGIN + index * (side + media.TILE_GAP)
        for column in range(3):
            left = edge - (3 - column) * side - (2 - column) * media.TILE_GAP
            tile = picture[top : top + side, left : left + side]
            assert np.array_equal(tile[::scale, ::scale], tiles[column])


def test_labels_are_written_left_of_the_tiles() -> None:
    tiles = np.full((2, 64, 64, 1), 255, np.uint8)
    picture = labelled_rows({"frame": tiles, "": tiles})
    label_column = picture[:, : picture.shape[1] - 2 * 128 - media.TILE_GAP - media.GRID_MARGIN]
    upper, lower = label_column[: media.GRID_MARGIN + 128], label_column[media.GRID_MARGIN + 128 :]
    assert (upper < 150).any()
    assert (lower == media.PAPER).all()


def test_heads_stand_above_their_columns() -> None:
    tiles = noise(3, 64, 64, 3)
    plain, headed = (
        labelled_rows({"frame": tiles}),
        labelled_rows({"frame": tiles}, ["-1 sd", "", "+1 sd"]),
    )
    strip = headed.shape[0] - plain.shape[0]
    assert strip > media.ROW_FONT and np.array_equal(
        headed[strip + media.GRID_MARGIN :], plain[media.GRID_MARGIN :]
    )
    left = headed.shape[1] - media.GRID_MARGIN - 3 * 128 - 2 * media.TILE_GAP
    inks = [
        (headed[:strip, start : start + 128] < 150).any()
        for start in (left, left + 132, left + 264)
    ]
    assert inks == [True, False, True] and (headed[:strip, :left] == media.PAPER).all()
    with pytest.raises(ValueError, match="2 heads were given for 3 columns"):
        labelled_rows({"frame": tiles}, ["a", "b"])


def test_rows_of_unequal_size_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        labelled_rows({"a": noise(2, 8, 8, 3), "b": noise(3, 8, 8, 3)})
    with pytest.raises(ValueError, match="at least one row"):
        labelled_rows({})


def test_panels_share_a_height_and_keep_their_shape() -> None:
    frames = np.stack(
        list(
            side_by_side({"game": noise(4, 200, 300, 3), "dream": noise(4, 64, 64, 1)}, height=320)
        )
    )
    height, width = frames.shape[1:3]
    assert frames.shape == (4, height, width, 3)
    assert height % 2 == 0 and width % 2 == 0
    assert width == 3 * media.GRID_MARGIN + 480 + 320
    dream = frames[
        :,
        media.LABEL_STRIP : media.LABEL_STRIP + 320,
        -media.GRID_MARGIN - 320 : -media.GRID_MARGIN,
    ]
    assert np.array_equal(dream[:, ::5, ::5, :1], noise(4, 64, 64, 1))


def test_panels_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        side_by_side({"a": noise(2, 8, 8, 3), "b": noise(3, 8, 8, 3)})


@pytest.mark.parametrize("size", [(64, 96), (63, 95)])
def test_video_is_one_that_browsers_play(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "videos" / "a.mp4"
    frames = np.zeros((25, *size, 3), np.uint8)
    frames[..., 0] = 10 * np.arange(25)[:, None, None]
    save_video(path, iter(frames), fps=25)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == (
            "h264",
            "yuv420p",
            25,
        )
    assert len(decoded) == 25
    assert decoded[0].shape == (64, 96, 3)
    reds = [frame[..., 0].mean() for frame in decoded]
    assert np.abs(np.array(reds) - 10 * np.arange(25)).max() < 12
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")


def test_a_video_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="at least one frame"):
        save_video(path, [])
    with pytest.raises(ValueError, match="frame 1"):
        save_video(path, [noise(8, 8, 3), noise(8, 16, 3)])
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
