"""How pixel models are judged.

Against torchmetrics, against sums by hand, and on frames that say which action made them.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from world_models.data.datasets import SequenceDataset
from world_models.data.episode import TERMINATED, Episode
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.data.view import View
from world_models.data.windows import PixelWindows, spread
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.measures import pixel_heads
from world_models.measures.pixel import (
    horizon_rows,
    pixel_errors,
    similarity,
    squared,
    windows_of_other_levels,
)
from world_models.measures.pixel_baselines import Baselines, fitted_baselines
from world_models.measures.pixel_heads import HeldOutSteps, judge_heads
from world_models.models.pixel import PixelModel, PixelPrediction

SPACE = ActionSpace("discrete", 4, (), (), (), start=1)
ENV = EnvSpec("Toy-v0", {}, Preprocessing((0, 0, 0, 0), 16, False), 1, SPACE, 100)
META = {
    "env": ENV.to_dict(),
    "backend": "gymnasium",
    "policy": "random",
    "seed": 0,
    "versions": {},
}
LENGTHS = [40, 12, 25, 8, 31, 20, 16, 14, 22]


def toy_episode(number: int, length: int) -> Episode:
    """The frame after action a is a/5 bright all over, and a little darker from left to right."""
    draw = np.random.default_rng(number)
    actions = draw.integers(1, 5, length + 1)
    bright = np.concatenate([[0], actions[:-1]]) / 5
    # padding
    actions[-1] = 0
    ramp = 1 - np.linspace(0, 0.1, 16)
    lines = np.round(255 * bright[:, None, None, None] * ramp[None, None, :, None])
    frames = lines * np.ones((1, 16, 1, 3))
    done = np.zeros(length + 1, np.uint8)
    done[-2] = TERMINATED
    rewards = np.append(draw.normal(size=length), 0).astype(np.float32)
    return Episode(number, frames.astype(np.uint8), actions, rewards, done)


@pytest.fixture(params=[True, False], ids=["final frames", "no final frames"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EpisodeStore:
    writer = StoreWriter(tmp_path / "episodes", {**META, "has_final_frame": request.param})
    played = [toy_episode(number, length) for number, length in enumerate(LENGTHS)]
    if not request.param:
        for episode in played:
            # the next episode's, as Procgen gives it
            episode.frames[-1] = 255
    for index in range(0, len(played), 3):
        splits = [
            "train" if number % 2 else "validation"
            for number in range(index, min(index + 3, len(played)))
        ]
        writer.write_shard(index // 3, played[index : index + 3], splits)
    writer.finish()
    return EpisodeStore.open(tmp_path / "episodes")


class Oracle(PixelModel):
    """Draws the frame that the action `lag` before the last one makes."""

    def __init__(self, lag: int = 0) -> None:
        super().__init__()
        self.config = {"context": 3, "img_channels": 3, "action_size": 4}
        self.lag = lag

    def forward(self, frames: torch.Tensor, actions: torch.Tensor) -> PixelPrediction:
        self.check_inputs(frames, actions)
        bright = (actions[:, -1 - self.lag].argmax(-1) + 1).double() / 5
        ramp = 1 - torch.linspace(0, 0.1, 16, dtype=torch.float64)
        drawn = (255 * bright[:, None, None, None] * ramp).round() / 255
        return PixelPrediction(drawn.float().expand(-1, 3, 16, 16))


class Sayer(Oracle):
    """Says rewards and chances of the end.

    They depend on the last action and on how bright the last frame is.
    """

    def forward(self, frames: torch.Tensor, actions: torch.Tensor) -> PixelPrediction:
        chance = (actions[:, -1].argmax(-1) + 1) / 5
        bright = frames[:, -1, 0, 0, 0]
        return PixelPrediction(
            super().forward(frames, actions).frame, bright - chance, torch.logit(chance)
        )


@pytest.mark.parametrize("most", [1000, 20])
def test_heads_are_judged_on_every_step_that_has_its_frames_before_it(
    store: EpisodeStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(pixel_heads, "MOST_HELD_OUT_STEPS", most)
    monkeypatch.setattr(pixel_heads, "STEPS_AT_ONCE", 7)
    steps = HeldOutSteps.of(store, "validation", 3, SPACE, View())
    found = judge_heads(Sayer(), steps, "cpu")[1]
    scores = {str(row.name): (row.value, row.baseline) for row in found}
    played = {
        split: [store.episode(row) for row in store.episodes(split)]
        for split in ("train", "validation")
    }
    training = np.concatenate([episode.rewards[:-1] for episode in played["train"]])
    mean = training.mean()
    rate = len(played["train"]) / len(training)
    held_out = played["validation"]
    chances = np.concatenate([episode.actions[2:-1] / 5 for episode in held_out])
    bright = np.concatenate([episode.frames[2:-1, 0, 0, 0] / 255 for episode in held_out])
    rewards = np.concatenate([episode.rewards[2:-1] for episode in held_out])
    ends = np.concatenate([episode.done[2:-1] == TERMINATED for episode in held_out])
    if most < len(chances):
        assert len(steps.items) == most
        return
    assert len(steps.items) == len(chances) and ends.sum() == len(played["validation"])
    for name, predicted, actual, plain_guess in (
        ("reward_mse", bright - chances, rewards, mean),
        ("done_brier", chances, ends, rate),
    ):
        expected = [np.square(guess - actual).mean() for guess in (predicted, plain_guess)]
        np.testing.assert_allclose(scores[name], expected, rtol=1e-5)


def windows(
    store: EpisodeStore, horizon: int = 5, count: int = 60, split: str | None = "validation"
) -> PixelWindows:
    return PixelWindows(SequenceDataset(store, split, 2 + horizon), 3, count, SPACE, View())


def plain(horizon: int = 5) -> Baselines:
    return Baselines(torch.full((3, 16, 16), 0.5), torch.full((horizon,), 0.25))


def mse(frames: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (frames - truth).square().flatten(2).mean(2)


def test_actions_and_frames_are_aligned(store: EpisodeStore) -> None:
    """The action taken at a frame makes the next one: exact so, and wrong one step late."""
    right = pixel_errors(Oracle(), windows(store), plain(), "cpu", mse).squares
    assert right["model"].max() < 1e-12
    late = pixel_errors(Oracle(lag=1), windows(store), plain(), "cpu", mse).squares
    assert late["model"].mean(0).min() > 0.05 and right["shuffled"].mean(0).min() > 0.05


def test_windows_are_whole_and_evenly_spread(store: EpisodeStore) -> None:
    chosen = windows(store, count=60)
    assert len(chosen) == len(np.unique(chosen.items)) == 60
    lengths = {store.episodes("validation")[number].length for number in chosen.levels}
    assert lengths == {40, 25, 31, 16, 22}
    counts = np.bincount(chosen.levels)
    room = [length - 3 - 5 + 1 + store.has_final_frame for length in (40, 25, 31, 16, 22)]
    assert (counts <= room).all() and counts.max() - counts[counts < room].min() <= 1
    window = chosen.load(np.arange(60), "cpu")
    assert window.context.shape == (60, 3, 3, 16, 16) and window.future.shape == (60, 5, 3, 16, 16)
    assert window.actions.shape == (60, 7, 4)
    assert float(window.future.max()) < 1, "the frame of another episode is never a target"
    with pytest.raises(ValueError, match=r"no episode .* has 103 frames: lower the horizon"):
        windows(store, horizon=100)


def test_spread_takes_what_there_is() -> None:
    items, episodes = spread(np.array([0, 2, 10, 3]), np.array([0, 5, 20, 40]), 9)
    assert np.bincount(episodes).tolist() == [0, 2, 4, 3]
    assert items.tolist() == [5, 6, 21, 23, 26, 28, 40, 41, 42]
    items, _ = spread(np.array([3, 4]), np.array([0, 10]), 100)
    assert items.tolist() == [0, 1, 2, 10, 11, 12, 13]
    assert len(spread(np.array([50] * 10), np.arange(10) * 50, 4)[0]) == 4


def test_shuffled_actions_come_from_another_episode() -> None:
    for levels in (
        np.array([0] * 3 + [1] * 5 + [4] * 2 + [7]),
        np.array([4, 0, 7, 0, 1, 4, 1, 9, 0, 1, 9]),
    ):
        assert (levels[windows_of_other_levels(levels)] != levels).all()
        assert sorted(windows_of_other_levels(levels)) == list(range(11))
    for few in (np.array([0, 1, 1, 1]), np.array([2] * 9 + [5])):
        assert (few[windows_of_other_levels(few)] != few).all()
    # one episode: at least another window
    assert (windows_of_other_levels(np.zeros(6, int)) != np.arange(6)).all()


def published_ssim(picture: np.ndarray, truth: np.ndarray) -> float:
    """Of two channels (H, W) in [0, 1], window by window, as Wang et al. 2004 write it."""
    place = np.arange(11) - 5
    bell = np.exp(-(place**2) / (2 * 1.5**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for top, left in np.ndindex(picture.shape[0] - 10, picture.shape[1] - 10):
        x, y = (each[top : top + 11, left : left + 11] for each in (picture, truth))
        mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
        var_x, var_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
        both = (weights * (x - mean_x) * (y - mean_y)).sum()
        likeness = (2 * mean_x * mean_y + c1) * (2 * both + c2)
        values.append(likeness / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))
    return float(np.mean(values))


def whole_windows_of_torchmetrics(pictures: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The values (N, C, H-10, W-10) of SSIM whose windows no border cuts."""
    measure = StructuralSimilarityIndexMeasure(
        data_range=1.0, reduction=None, return_full_image=True
    )
    return measure(pictures, truth)[1][..., 5:-5, 5:-5]


def mean_ssim(pictures: torch.Tensor, truth: torch.Tensor) -> float:
    return float(whole_windows_of_torchmetrics(pictures, truth).mean())


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 20, 23), (1, 11, 30)])
@pytest.mark.parametrize("kind", ["noise", "smooth", "equal", "constant"])
def test_ssim_is_the_published_one(shape: tuple[int, ...], kind: str) -> None:
    draw = np.random.default_rng(0)
    truth = draw.random((2, *shape), np.float32)
    if kind in ("smooth", "constant"):
        # most of what happens lies at the border, where windows are cut
        far = np.abs(np.linspace(-1, 1, shape[-1])) ** (8 if kind == "smooth" else 0)
        truth = np.broadcast_to(far, truth.shape).astype(np.float32).copy()
    noise = draw.normal(0, 0.1, truth.shape).astype(np.float32)
    picture = truth if kind == "equal" else np.clip(truth + noise, 0, 1)
    found = similarity(*(torch.from_numpy(each)[:, None] for each in (picture, truth)))[:, 0]
    for one, two, value in zip(picture, truth, found, strict=True):
        published = np.mean([published_ssim(x, y) for x, y in zip(one, two, strict=True)])
        assert value == pytest.approx(published, abs=2e-4)


def test_errors_are_those_of_torchmetrics(store: EpisodeStore) -> None:
    """Pooled PSNR and SSIM over all windows at one horizon."""
    chosen = windows(store)
    baselines = plain()
    found = horizon_rows(pixel_errors(Oracle(lag=2), chosen, baselines, "cpu", mse))[3]
    window = chosen.load(np.arange(len(chosen)), "cpu")
    drawn = Oracle(lag=2)(window.context, window.actions[:, 3:6]).frame
    truth = window.future[:, 3]
    assert found.psnr == pytest.approx(
        float(PeakSignalNoiseRatio(data_range=1.0)(drawn, truth)), abs=1e-4
    )
    assert found.ssim == pytest.approx(mean_ssim(drawn, truth), abs=1e-4)
    copied = window.context[:, -1]
    assert found.copy_mse == pytest.approx(float((copied - truth).square().mean()), rel=1e-5)
    assert found.mean_mse == pytest.approx(float((0.5 - truth).square().mean()), rel=1e-5)
    faded = 0.25 * copied + 0.75 * 0.5
    assert found.fade_mse == pytest.approx(float((faded - truth).square().mean()), rel=1e-5)
    for name, guess in (("copy", copied), ("mean", torch.full_like(truth, 0.5)), ("fade", faded)):
        assert getattr(found, f"{name}_psnr") == pytest.approx(
            float(PeakSignalNoiseRatio(data_range=1.0)(guess, truth)), abs=1e-4
        )
        ssim = mean_ssim(guess, truth)
        assert getattr(found, f"{name}_ssim") == pytest.approx(ssim, abs=1e-4)
    each = [
        min(60.0, float(PeakSignalNoiseRatio(data_range=1.0)(one, two)))
        for one, two in zip(drawn, truth, strict=True)
    ]
    assert found.psnr_per_image == pytest.approx(np.mean(each), abs=1e-3) and max(each) == 60
    assert found.skill_fade == pytest.approx(1 - found.mse / found.fade_mse)
    assert found.skill_fade_low < found.skill_fade < found.skill_fade_high
    assert found.skill_best == min(
        getattr(found, f"skill_{name}") for name in ("copy", "mean", "fade")
    )
    errors = [float((guess - truth[row]).square().mean()) for row, guess in enumerate(drawn)]
    assert found.mse == pytest.approx(np.mean(errors), rel=1e-5)
    ours = squared(drawn[:, None], truth[:, None])[:, 0]
    theirs = squared(copied[:, None], truth[:, None])[:, 0]
    beats = np.where(ours == theirs, 0.5, ours < theirs)
    assert found.win_rate == pytest.approx(beats.mean())


def test_the_fade_is_the_best_there_is(store: EpisodeStore) -> None:
    """No other weight has a smaller error on the windows that it was fitted to."""
    train = windows(store, split="train", count=500)
    mean = torch.full((3, 16, 16), 0.4)
    fitted = fitted_baselines(train, mean)
    window = train.load(np.arange(len(train)), "cpu")

    def errors(weights: torch.Tensor) -> torch.Tensor:
        guess = Baselines(mean, weights).guesses(window.context[:, -1])["fade"]
        return (guess - window.future).square().mean((0, 2, 3, 4))

    best = errors(fitted.fade)
    for shift in (-0.02, 0.02):
        assert (errors(fitted.fade + shift) > best).all()
    assert fitted.guesses(window.context[:, -1])["copy"].shape == window.future.shape
