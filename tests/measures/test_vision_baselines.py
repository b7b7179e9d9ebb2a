"""The mean image and PCA, against numpy's singular values."""

import numpy as np
import pytest
import torch
from torch import Tensor

from world_models.measures import vision_baselines
from world_models.measures.vision_baselines import (
    Sample,
    baselines,
    mean_picture,
    principal_components,
    projected,
)

SHAPE = (6, 5, 3)


def pictures(count: int, seed: int = 0) -> Tensor:
    """Frames (count, 6, 5, 3) uint8 whose principal components fade as natural pictures' do."""
    draw = np.random.default_rng(0)
    directions = np.linalg.qr(draw.normal(size=(90, 90)))[0] * (60 / np.arange(1, 91))
    values = 128 + np.random.default_rng(seed).normal(size=(count, 90)) @ directions.T
    return torch.from_numpy(values.clip(0, 255).astype(np.uint8).reshape(count, *SHAPE))


def svd(frames: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    flat = frames.numpy().reshape(len(frames), -1) / 255
    return flat.mean(0), np.linalg.svd(flat - flat.mean(0))[2][:count].T


def components(frames: Tensor, count: int, seed: int = 0) -> Tensor:
    batches = frames.split(37)
    return principal_components(
        batches, mean_picture(batches), count, torch.Generator().manual_seed(seed)
    )


def test_the_mean_picture_is_exact() -> None:
    frames = pictures(300)
    expected = frames.double().mean(0) / 255
    assert torch.equal(mean_picture(frames.split(37)), expected.float())
    assert torch.equal(mean_picture(frames.split(300)), expected.float())


def test_principal_components_span_what_the_singular_vectors_span() -> None:
    frames = pictures(400)
    found = components(frames, 4)
    _, expected = svd(frames, 4)
    torch.testing.assert_close(found.T @ found, torch.eye(4), atol=1e-5, rtol=0)
    cosines = np.linalg.svd(found.numpy().T @ expected)[1]
    assert cosines.min() > 0.9999
    # and each column is one of them, in order
    for column in range(4):
        assert abs(found[:, column].numpy() @ expected[:, column]) > 0.999


def test_no_other_directions_keep_more() -> None:
    frames = pictures(400)
    mean, expected = svd(frames, 8)
    x = frames.float() / 255
    centred = x.numpy().reshape(400, -1) - mean
    best = np.square(centred - centred @ expected @ expected.T).sum()
    kept = projected(x, torch.tensor(mean, dtype=torch.float32).view(SHAPE), components(frames, 8))
    assert float((kept - x).square().sum()) <= 1.0005 * best


def test_components_do_not_change_from_call_to_call() -> None:
    frames = pictures(100)
    assert torch.equal(components(frames, 5), components(frames, 5))


def test_fewer_frames_than_components() -> None:
    frames = pictures(3)
    found = components(frames, 6)
    torch.testing.assert_close(found.T @ found, torch.eye(6), atol=1e-5, rtol=0)
    x = frames.float() / 255
    torch.testing.assert_close(projected(x, x.mean(0), found), x, atol=1e-5, rtol=0)


def test_baselines_are_of_the_training_frames_and_judged_on_the_held_out_ones() -> None:
    train, held_out = pictures(400), pictures(50, seed=1)
    before = pictures(50, seed=2)
    table = baselines(
        train.split(64), [(held_out[:20], before[:20]), (held_out[20:], before[20:])], 4, 0, "cpu"
    )
    mean, directions = svd(train, 4)
    x = held_out.numpy().reshape(50, -1) / 255
    kept = (mean + (x - mean) @ directions @ directions.T).clip(0, 1)
    moving = (np.abs(held_out.numpy().astype(int) - before.numpy()) > 8).any(-1)
    moving = moving.repeat(3, -1).reshape(50, -1)
    assert [row.name for row in table] == ["PCA", "mean image"]
    assert [row.components for row in table] == [4, 0]
    for row, drawn in zip(table, (kept, mean), strict=True):
        squared = np.square(drawn - x)
        assert row.mse == pytest.approx(squared.mean(), rel=1e-3)
        assert row.psnr == pytest.approx(-10 * np.log10(squared.mean()), abs=0.005)
        assert row.psnr_moving == pytest.approx(-10 * np.log10(squared[moving].mean()), abs=0.005)


class Frames:
    """Stands for a data set: frame i holds i."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.most = 0

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, indices: np.ndarray) -> Tensor:
        self.most = max(self.most, len(indices))
        return torch.tensor(indices)[:, None, None, None]


def test_the_sample_is_drawn_from_the_seed_and_read_in_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vision_baselines, "MOST_FRAMES", 1000)
    data = Frames(5000)

    def numbers(seed: int) -> list[int]:
        return [int(number) for batch in Sample(data, seed) for number in batch.flatten()]

    first = numbers(0)
    assert len(set(first)) == 1000 and data.most == 64
    assert np.mean(first) == pytest.approx(2500, abs=150) and max(first) < 5000
    assert first == numbers(0) != numbers(1)
    few = [int(number) for batch in Sample(Frames(7), 0) for number in batch.flatten()]
    assert sorted(few) == list(range(7))
