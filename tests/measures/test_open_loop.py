"""Open-loop errors, against a plain loop over one start at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from world_models.measures import open_loop
from world_models.measures.episodes import LatentEpisodes
from world_models.measures.open_loop import (
    PREDICTORS,
    Marginal,
    open_loop_rows,
    roll_on,
    start_points,
)
from world_models.models.draws import StreamDraws
from world_models.models.mdrnn import mixture_mean, sample_latent
from world_models.runs.rows import cells

MakeEpisodes = Callable[..., LatentEpisodes]
MakeWorld = Callable[..., Any]


MARGINAL = Marginal(
    torch.tensor([0.3, -0.2, 0.1]), torch.linspace(0, 1, 64 * 64 * 3).view(64, 64, 3)
)


def validation(episodes: LatentEpisodes) -> list[Any]:
    return episodes.store.episodes("validation")


@torch.no_grad()
def by_hand(
    world: Any, episodes: LatentEpisodes, row: Any, step: int, horizon: int
) -> dict[str, tuple[float, float]]:
    """Latent and pixel error of each deterministic predictor from one start.

    Batch 1, the state warmed from the beginning.
    """
    whole = episodes.load(row)
    frames = episodes.store.episode(row).frames / 255.0
    mu = torch.from_numpy(np.array(whole.mu))
    hidden = world.cell.get_init_hidden(1)
    guess = mu[:1]
    for t in range(step + horizon):
        latent = mu[t : t + 1] if t <= step else guess
        mus, _, logpi, _, _, hidden = world.cell(
            torch.from_numpy(whole.actions[t : t + 1]), latent, hidden
        )
        weights = logpi.exp() if logpi.ndim == 3 else logpi.exp()[..., None]
        guess = (weights * mus).sum(1)

    def picture(latent: torch.Tensor) -> np.ndarray:
        return world.vae.decoder(latent)[0].permute(1, 2, 0).numpy()

    def error(guess: Any, wanted: Any) -> float:
        return float(((np.asarray(guess) - np.asarray(wanted)) ** 2).mean())

    truth = mu[step + horizon]
    target = frames[step + horizon]
    last = frames[step]
    return {
        "mean": (error(guess[0], truth), error(picture(guess), target)),
        "copy": (error(mu[step], truth), error(last, target)),
        "marginal": (error(MARGINAL.latent, truth), error(MARGINAL.picture, target)),
        "seen": (0.0, error(picture(truth[None]), target)),
    }


@pytest.mark.parametrize("mixture", ["joint", "per_dimension"])
@pytest.mark.parametrize("has_final_frame", [True, False])
def test_errors_equal_a_loop_over_the_starts(
    make_episodes: MakeEpisodes, make_world: MakeWorld, mixture: str, has_final_frame: bool
) -> None:
    episodes = make_episodes(has_final_frame=has_final_frame)
    world = make_world(mixture)
    table = {
        (row.horizon, row.predictor): row
        for row in open_loop_rows(world, episodes, validation(episodes), MARGINAL, 0)
    }
    assert {horizon for horizon, _ in table} == {1, 2, 3, 5, 7, 10}, (
        "longer than the longest episode: left out"
    )
    for horizon in (1, 2, 7):
        starts = [
            (row, step)
            for row in validation(episodes)
            for step in range(episodes.frames(row) - horizon)
        ]
        errors = [by_hand(world, episodes, row, step, horizon) for row, step in starts]
        for predictor in ("mean", "copy", "marginal", "seen"):
            found = table[horizon, predictor]
            latent, pixel = np.mean([error[predictor] for error in errors], axis=0)
            assert found.starts == found.pixel_starts == len(starts)
            assert found.episodes == len({row.index for row, _ in starts})
            assert found.latent_mse == pytest.approx(latent, rel=1e-4)
            assert found.pixel_mse == pytest.approx(pixel, rel=1e-4)
            assert found.psnr == pytest.approx(10 * np.log10(1 / pixel), rel=1e-4)
            assert found.latent_ratio == pytest.approx(
                latent / float(table[horizon, "copy"].latent_mse), rel=1e-4
            )
            assert found.pixel_ratio == pytest.approx(
                pixel / float(table[horizon, "copy"].pixel_mse), rel=1e-4
            )


def test_more_starts_than_fit_side_by_side(
    make_episodes: MakeEpisodes, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = make_episodes([("validation", 7), ("validation", 3)])
    world = make_world()
    at_once = open_loop_rows(world, episodes, validation(episodes), MARGINAL, 0)
    monkeypatch.setattr(open_loop, "PLAYED_SIDE_BY_SIDE", 4)
    monkeypatch.setattr(open_loop, "LATENTS_SIDE_BY_SIDE", 3)
    for whole, chunked in zip(
        at_once, open_loop_rows(world, episodes, validation(episodes), MARGINAL, 0), strict=True
    ):
        # whose noise belongs to its place in a chunk
        if whole.predictor != "sampled":
            numbers = {name: value for name, value in cells(whole).items() if name != "predictor"}
            assert {name: cells(chunked)[name] for name in numbers} == pytest.approx(
                numbers, rel=1e-4, nan_ok=True
            )


def test_starts_are_spread_evenly_and_the_horizon_fits(
    make_episodes: MakeEpisodes,
) -> None:
    lengths = [("validation", length) for length in (30, 3, 60, 11, 90)]
    episodes = make_episodes(lengths)
    rows = validation(episodes)
    fits = [
        (row.index, step)
        for row in rows
        for step in range(row.length + 1)
        if step + 10 <= row.length
    ]
    assert [start.key for start in start_points(episodes, rows, 10, len(fits))] == fits, (
        "few places: all of them"
    )
    chosen = [fits.index(start.key) for start in start_points(episodes, rows, 10, 20)]
    assert len(chosen) == 20 and set(np.diff(chosen)) <= {len(fits) // 20, len(fits) // 20 + 1}
    assert chosen[0] < len(fits) / 20 and chosen[-1] >= len(fits) * 19 / 20
    assert start_points(episodes, rows, 91, 20) == []


def test_latents_are_judged_from_all_starts_and_pictures_from_some(
    make_episodes: MakeEpisodes, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = make_episodes([("validation", length) for length in (9, 30, 5)])
    world = make_world()
    monkeypatch.setattr(open_loop, "PICTURED_STARTS", 6)
    monkeypatch.setattr(open_loop, "LATENT_STEPS", 50)
    rows = open_loop_rows(world, episodes, validation(episodes), MARGINAL, 0)
    table = {(row.horizon, row.predictor): row for row in rows}
    places = {
        horizon: [
            (row, step)
            for row in validation(episodes)
            for step in range(episodes.frames(row) - horizon)
        ]
        for horizon in (1, 2, 10)
    }
    counts = {horizon: table[horizon, "mean"].starts for horizon in places}
    assert counts == {1: len(places[1]), 2: 25, 10: 6}, "all, those of 50 steps, the least"
    errors = [by_hand(world, episodes, row, step, 1)["mean"][0] for row, step in places[1]]
    assert table[1, "mean"].latent_mse == pytest.approx(np.mean(errors), rel=1e-4)
    pictured = [
        by_hand(world, episodes, start.row, start.step, 1)["mean"][1]
        for start in start_points(episodes, validation(episodes), 1, 6)
    ]
    assert table[1, "mean"].pixel_starts == len(pictured) == 6
    assert table[1, "mean"].pixel_mse == pytest.approx(np.mean(pictured), rel=1e-4)


def test_a_sampled_roll_out_follows_the_mixture(make_world: MakeWorld) -> None:
    world = make_world()
    count = 40_000
    latent = torch.randn(1, 3).expand(count, -1)
    action = torch.eye(4)[:1].expand(1, count, -1)
    state = tuple(part.expand(count, -1) for part in (torch.randn(1, 8), torch.randn(1, 8)))
    with torch.no_grad():
        drawn = roll_on(world, latent, action, state, StreamDraws(torch.Generator().manual_seed(0)))
        mean = roll_on(world, latent[:1], action[:, :1], tuple(part[:1] for part in state), None)
        mus, sigmas, logpi, *_ = world.cell(
            action[0, :1], latent[:1], tuple(part[:1] for part in state)
        )
    spread = (logpi.exp()[..., None] * (sigmas**2 + mus**2)).sum(1) - mean**2
    torch.testing.assert_close(mean, mixture_mean(mus, logpi))
    assert ((drawn.mean(0) - mean).abs() < 5 * (spread / count).sqrt()).all()
    torch.testing.assert_close(drawn.var(0)[None], spread, atol=0, rtol=0.05)


@pytest.mark.parametrize("mixture", ["joint", "per_dimension"])
def test_the_mixtures_mean_is_that_of_its_samples(mixture: str) -> None:
    draw = torch.Generator().manual_seed(0)
    mus = torch.randn(1, 3, 2, generator=draw)
    sigmas = torch.full((1, 3, 2), 0.1)
    shape = (1, 3) if mixture == "joint" else (1, 3, 2)
    logpi = torch.log_softmax(2 * torch.randn(shape, generator=draw), dim=1)
    many = [value.expand(50_000, *value.shape[1:]) for value in (mus, sigmas, logpi)]
    torch.testing.assert_close(
        sample_latent(*many, StreamDraws(draw)).mean(0),
        mixture_mean(mus, logpi)[0],
        atol=0.03,
        rtol=0,
    )


def test_the_interval_is_over_episodes(make_episodes: MakeEpisodes, make_world: MakeWorld) -> None:
    few = [("validation", 5)] * 2
    many = [("validation", 4)] * 6
    for lengths, known in ((few, False), (many, True)):
        episodes = make_episodes(lengths)
        rows = open_loop_rows(make_world(), episodes, validation(episodes), MARGINAL, 0)
        row = next(row for row in rows if row.predictor == "mean")
        assert (row.latent_low < row.latent_ratio < row.latent_high) is known
        assert (row.pixel_low < row.pixel_ratio < row.pixel_high) is known
        copy = next(row for row in rows if row.predictor == "copy")
        assert not known or copy.latent_low == copy.latent_high == 1.0


def test_frames_that_stand_still_have_no_ratio(
    make_episodes: MakeEpisodes, make_world: MakeWorld
) -> None:
    starts = [open_loop.Start(validation(make_episodes())[0], 0)]
    judged = open_loop._Judged(1, starts, starts)
    rows = open_loop._horizon_rows(judged, np.zeros((1, 5)), np.zeros((1, 5)))
    assert [row.predictor for row in rows] == list(PREDICTORS)
    assert all(np.isnan(row.latent_ratio) and np.isnan(row.pixel_low) for row in rows)
