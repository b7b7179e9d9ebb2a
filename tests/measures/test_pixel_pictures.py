"""Strips and videos of a pixel model, read back: where the truth is and where the prediction."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from world_models.data.datasets import SequenceDataset
from world_models.data.episode import TERMINATED, Episode
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.data.view import View
from world_models.data.windows import PixelWindows
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.figures.media import LABEL_STRIP, labelled_rows, side_by_side
from world_models.measures.pixel_pictures import (
    DARK_FRAMES,
    save_rollout_gif,
    save_rollout_video,
    save_strip,
)
from world_models.models.pixel import PixelModel, PixelPrediction

ENV = EnvSpec(
    "Toy-v0",
    {},
    Preprocessing((0, 0, 0, 0), 16, False),
    1,
    ActionSpace("discrete", 4, (), (), ()),
    100,
)
META = {
    "env": ENV.to_dict(),
    "backend": "gymnasium",
    "policy": "random",
    "seed": 0,
    "versions": {},
}
COLOUR = (200, 100, 0)
SPEEDS = (5, 1, 7, 3, 8, 2, 6, 4)
"""By how much the brightness of each episode grows in a step."""
WINDOWS_SHOWN = (5, 7, 6, 4)
"""Every second one, from the slowest to the fastest."""


class Painter(PixelModel):
    """Always draws one colour."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"context": 3, "img_channels": 3, "action_size": 4}

    def forward(self, frames: torch.Tensor, actions: torch.Tensor) -> PixelPrediction:
        colour = torch.tensor(COLOUR)[None, :, None, None] / 255
        return PixelPrediction(colour.expand(frames[:, -1].shape))


def bright(number: int, step: int) -> int:
    """Of all pixels of an episode's frame."""
    return 10 + 20 * number + SPEEDS[number] * step


@pytest.fixture
def windows(tmp_path: Path) -> PixelWindows:
    """Eight episodes of three frames of context and two that follow, each of them one window."""
    writer = StoreWriter(tmp_path / "episodes", {**META, "has_final_frame": True})
    episodes = []
    for number in range(8):
        shown = np.array([bright(number, step) for step in range(5)], np.uint8)
        frames = np.broadcast_to(shown[:, None, None, None], (5, 16, 16, 3))
        done = np.array([0, 0, 0, TERMINATED, 0], np.uint8)
        episodes.append(
            Episode(number, frames, np.array([1, 2, 3, 4, 0]), np.zeros(5, np.float32), done)
        )
    writer.write_shard(0, episodes, ["validation"] * 8)
    writer.finish()
    data = SequenceDataset(EpisodeStore.open(tmp_path / "episodes"), "validation", 4)
    return PixelWindows(data, 3, 8, ActionSpace("discrete", 4, (), (), (), start=1), View())


def plain(*colours: int | tuple[int, ...]) -> np.ndarray:
    """Pictures of one colour each."""
    return np.stack([np.full((16, 16, 3), colour, np.uint8) for colour in colours])


def panels() -> dict[str, np.ndarray]:
    """What a video shows, frame by frame: windows, and dark frames between them."""
    dark = [0] * DARK_FRAMES
    truth: list[int] = []
    predicted: list[int | tuple[int, ...]] = []
    for number in WINDOWS_SHOWN:
        truth += [bright(number, 3), bright(number, 4), *dark]
        predicted += [COLOUR, COLOUR, *dark]
    kept = len(truth) - DARK_FRAMES
    return {"truth": plain(*truth[:kept]), "prediction": plain(*predicted[:kept])}


def test_a_strip_shows_context_truth_prediction_copy_and_error(
    tmp_path: Path, windows: PixelWindows
) -> None:
    save_strip(tmp_path / "strip.png", Painter(), windows, "cpu")
    rows = {}
    for place, number in enumerate(WINDOWS_SHOWN, 1):
        *context, truth = (bright(number, step) for step in range(4))
        error = tuple(abs(value - truth) for value in COLOUR)
        rows[f"{place}"] = plain(*context, truth, COLOUR, context[-1], error)
    expected = labelled_rows(rows, ["t-2", "t-1", "t", "truth", "predicted", "copy", "error"])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "strip.png")), expected)


def test_a_video_has_the_truth_on_the_left(tmp_path: Path, windows: PixelWindows) -> None:
    save_rollout_video(tmp_path / "rollout.mp4", Painter(), windows, "cpu", 10)
    with av.open(str(tmp_path / "rollout.mp4")) as container:
        assert container.streams.video[0].average_rate == 10
        decoded = [
            frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)
        ]
    expected = panels()
    drawn = list(side_by_side(expected))
    assert len(decoded) == len(drawn) == 8 + 3 * DARK_FRAMES
    for number, frame in enumerate(decoded):
        width = frame.shape[1]
        for place, panel in zip((width // 4, 3 * width // 4), expected.values(), strict=True):
            assert np.abs(frame[200, place] - panel[number, 0, 0]).max() < 10, number
        labels = np.abs(frame - drawn[number])[:LABEL_STRIP]
        assert labels.mean() < 5, number


def test_a_gif_shows_the_same(tmp_path: Path, windows: PixelWindows) -> None:
    save_rollout_gif(tmp_path / "rollout.gif", Painter(), windows, "cpu", 10)
    # a GIF holds frames that are alike once
    frames = list(side_by_side(panels(), height=160))
    expected = [
        one
        for one, after in zip(frames, [*frames[1:], None], strict=True)
        if after is None or (one != after).any()
    ]
    with Image.open(tmp_path / "rollout.gif") as film:
        for number, frame in enumerate(expected):
            film.seek(number)
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - frame).mean() < 3, number
        assert film.tell() == 8 + 3 - 1
