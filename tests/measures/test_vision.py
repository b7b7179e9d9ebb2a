"""V's numbers: closed forms, brute force, and the frames they are taken of."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from world_models.measures import vision
from world_models.measures.rows import BaselineRow
from world_models.measures.vision import (
    HeldOut,
    Judgement,
    LatentStatistics,
    PictureErrors,
    moving_pixels,
    psnr,
    quality,
)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_psnr_in_decibels() -> None:
    assert psnr(0.01) == pytest.approx(20) and psnr(1.0) == 0
    assert psnr(0.0) == math.inf and math.isnan(psnr(math.nan))


def test_errors_are_pooled_over_batches_of_any_size() -> None:
    x, drawn = uniform(9, 4, 5, 3), uniform(9, 4, 5, 3, seed=1)
    drawn[:2] = x[:2] + 0.01
    moving = uniform(9, 4, 5, seed=2) > 0.7
    found = PictureErrors()
    for part in (slice(0, 2), slice(2, 9)):
        found.add(drawn[part], x[part], moving[part])
    squared = (drawn - x).double().square().numpy()
    assert found.mse == pytest.approx(squared.mean())
    assert found.psnr == pytest.approx(10 * np.log10(1 / squared.mean()))
    chosen = squared[moving.numpy()]
    assert chosen.shape[1] == 3
    assert found.psnr_moving == pytest.approx(-10 * np.log10(chosen.mean()))
    assert found.moving == pytest.approx(moving.double().mean())


def test_where_nothing_moves_there_is_no_psnr_of_it() -> None:
    found = PictureErrors()
    found.add(
        uniform(2, 3, 3, 1), uniform(2, 3, 3, 1, seed=1), torch.zeros(2, 3, 3, dtype=torch.bool)
    )
    assert math.isnan(found.psnr_moving) and found.moving == 0 and math.isfinite(found.psnr)


def test_a_pixel_moves_when_a_channel_changes_by_more_than_eight() -> None:
    before = torch.full((1, 2, 2, 3), 100, dtype=torch.uint8)
    frames = before.clone()
    frames[0, 0, 0, 1] = 109
    frames[0, 0, 1, 2] = 91
    frames[0, 1, 0, 0] = 108
    assert moving_pixels(frames, before).tolist() == [[[True, True], [False, False]]]
    dark = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
    bright = torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)
    assert moving_pixels(bright, dark).item() and moving_pixels(dark, bright).item()


def statistics(mu: Tensor, logsigma: Tensor) -> LatentStatistics:
    found = LatentStatistics()
    for part in (slice(0, 7), slice(7, None)):
        found.add(mu[part], logsigma[part])
    return found


def test_statistics_of_latents_equal_numpys() -> None:
    mu = 3 + uniform(40, 5) * torch.arange(5)
    logsigma = uniform(40, 5, seed=1) - 0.5
    found = statistics(mu, logsigma)
    np.testing.assert_allclose(found.mean, mu.double().mean(0))
    np.testing.assert_allclose(found.variance, np.var(mu.double().numpy(), 0), atol=1e-12)
    kl = -0.5 * (1 + 2 * logsigma - mu**2 - (2 * logsigma).exp())
    np.testing.assert_allclose(found.kl, kl.mean(0), rtol=1e-6)


def test_active_latents_are_those_whose_mean_varies() -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(20)[:, None]
    # variances 0, 0.00998, 0.01002, 4
    mu = 5 + signs * torch.tensor([[0.0, 0.0999, 0.1001, 2.0]])
    assert statistics(mu, torch.zeros_like(mu)).active == 2


@pytest.mark.parametrize(("tolerance", "share"), [(0.0, 0.25), (0.5, 0.5), (2.0, 0.75), (8.0, 1.0)])
def test_share_of_latents_at_the_floor(tolerance: float, share: float) -> None:
    # KL mu^2 / 2: 0.005, 0.405, 1.8, 7.6
    mu = torch.tensor([[0.1, 0.9, 1.9, 3.9]]).repeat(20, 1)
    assert statistics(mu, torch.zeros_like(mu)).at_floor(tolerance) == share


@pytest.mark.parametrize("has_final_frame", [True, False])
def test_held_out_frames_come_with_those_before_them(
    make_episodes: Callable, has_final_frame: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # batches end inside episodes
    monkeypatch.setattr(vision, "FRAMES_AT_ONCE", 5)
    store = make_episodes(has_final_frame=has_final_frame).store
    held_out = HeldOut(store)
    episodes = [
        store.episode(row).frames[: row.length + has_final_frame]
        for row in store.episodes("validation")
    ]
    assert held_out.split == "validation" and len(held_out) == sum(map(len, episodes))
    frames, before = (np.concatenate(parts) for parts in zip(*held_out, strict=True))
    assert np.array_equal(frames, np.concatenate(episodes))
    assert np.array_equal(
        before, np.concatenate([np.concatenate([part[:1], part[:-1]]) for part in episodes])
    )


def test_without_validation_episodes_the_training_frames_are_watched(
    make_episodes: Callable,
) -> None:
    held_out = HeldOut(make_episodes([("train", 6), ("train", 3)]).store)
    assert held_out.split == "train" and len(held_out) == 7 + 4


def judgement() -> Judgement:
    found = Judgement()
    terms = {"reconstruction": torch.tensor(2.0), "kl": torch.tensor(1.0)}
    found.add_terms({"loss": torch.tensor(3.0), **terms}, 1)
    found.add_terms({"loss": torch.tensor(6.0), **terms}, 2)
    mu = torch.tensor([[0.0, 2.0], [0.0, 3.0], [0.0, 4.0]])
    found.latents.add(mu, torch.zeros_like(mu))
    found.pictures.add(
        torch.full((3, 1, 1, 1), 0.1),
        torch.zeros(3, 1, 1, 1),
        torch.zeros(3, 1, 1, dtype=torch.bool),
    )
    return found


def test_a_judgement_in_a_row() -> None:
    row = judgement().row(tolerance=0.0)
    assert (row.loss, row.reconstruction, row.kl) == (5.0, 2.0, 1.0)
    assert (row.active, row.at_floor) == (1, 0.5)
    assert row.psnr == pytest.approx(20) and math.isnan(row.psnr_moving)


def test_quality_is_plain_json() -> None:
    table = [BaselineRow(name="PCA", components=2, mse=0.0, psnr=math.inf, psnr_moving=math.nan)]
    found = quality(judgement(), table, tolerance=0.0)
    assert found["pictures"][0] == {
        "name": "V",
        "components": 2,
        "mse": pytest.approx(0.01),
        "psnr": pytest.approx(20),
        "psnr_moving": None,
    }
    assert found["pictures"][1]["psnr"] is None
    assert (found["frames"], found["latent_size"], found["loss"]) == (3, 2, 5.0)
    assert found["kl_per_latent"] == pytest.approx([0, 29 / 6])
    assert found["variance_per_latent"] == pytest.approx([0, 2 / 3])
