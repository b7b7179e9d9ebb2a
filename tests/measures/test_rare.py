"""Rare frames are found without V and M, and both are judged on them apart from the usual ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.data.store import EpisodeStore
from world_models.measures.episodes import LatentEpisodes
from world_models.measures.judge import one_step_ahead
from world_models.measures.rare import (
    Rarity,
    errors_of,
    memory_rows,
    rarity_of,
    split,
    vision_rows,
)
from world_models.measures.vision import HeldOut
from world_models.measures.vision_baselines import Directions
from world_models.worlds.latent import WorldModel

SIZE = 8


@pytest.fixture
def finished_store(finished: Path) -> EpisodeStore:
    return EpisodeStore.open(finished / "rollout/episodes")


@pytest.fixture
def rarity() -> Rarity:
    """Usual is whatever two directions around mid-grey can draw."""
    draw = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(SIZE * SIZE * 3, 2, generator=draw)).Q
    return Rarity(Directions(torch.full((SIZE, SIZE, 3), 0.5), directions), 1e-4)


def usual_frames(rarity: Rarity, count: int) -> torch.Tensor:
    weights = torch.randn(count, 2, generator=torch.Generator().manual_seed(1))
    drawn = (weights @ rarity.pca.columns.T).view(count, SIZE, SIZE, 3) + rarity.pca.mean
    return (drawn * 255).round().to(torch.uint8)


def random_frames(count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, SIZE, SIZE, 3), generator=draw, dtype=torch.uint8)


def test_rare_is_what_the_first_frames_do_not_span(rarity: Rarity) -> None:
    frames = torch.cat([usual_frames(rarity, 5), random_frames(4)])
    assert rarity(frames).tolist() == [False] * 5 + [True] * 4
    x = frames.double() / 255 - 0.5
    basis = rarity.pca.columns.double()
    flat = x.flatten(1)
    kept = (flat @ basis @ basis.T + 0.5).clamp(0, 1)
    expected = (kept - flat - 0.5).square().mean(1)
    torch.testing.assert_close(
        errors_of(rarity.pca, frames).double(), expected, rtol=1e-4, atol=1e-9
    )


def test_of_the_first_held_out_frames_one_in_a_hundred_is_rare(
    finished_store: EpisodeStore,
) -> None:
    rarity = rarity_of(finished_store, seed=0, device="cpu")
    frames = torch.cat([frames for frames, _ in HeldOut(finished_store)])
    assert 0 < rarity(frames).float().mean() <= 0.03, "of 40 frames it is one"
    assert rarity(255 - frames).float().mean() > 0.9


def test_what_was_added_last_decides_nothing(finished_store: EpisodeStore) -> None:
    rows = finished_store.rows
    before = rarity_of(finished_store, 0, "cpu")
    grown = EpisodeStore(finished_store.folder, dict(finished_store.manifest), "")
    grown.manifest["additions"] = [{"first_episode": len(rows)}]
    grown.rows = [*rows, *rows[:3], *rows[:5]]
    assert torch.equal(rarity_of(grown, 0, "cpu").pca.columns, before.pca.columns)
    grown.manifest["additions"] = [{"first_episode": 12}, {"first_episode": 20}]
    assert len(grown.beginning().rows) == 12 and grown.newest == 20
    assert not torch.equal(rarity_of(grown, 0, "cpu").pca.columns, before.pca.columns)


def test_v_is_judged_on_each_kind(rarity: Rarity) -> None:
    frames = torch.cat([usual_frames(rarity, 6), random_frames(3)])
    batches = [(frames[:4], frames[:4]), (frames[4:], frames[4:])]
    found = vision_rows("after", lambda x: x + 0.1 * x, batches, rarity, "cpu")
    kinds = split(rarity(frames))
    assert [(row.model, row.kind, row.frames) for row in found] == [
        ("after", "usual", 6),
        ("after", "rare", 3),
    ]
    for row in found:
        squares = (0.1 * frames[kinds[row.kind]].double() / 255).square()
        assert row.psnr == pytest.approx(-10 * float(squares.mean().log10()), rel=1e-5)
    only = vision_rows("after", lambda x: x, [(frames[:4], frames[:4])], rarity, "cpu")
    assert [row.kind for row in only] == ["usual"]


def test_what_m_costs_on_each_kind_comes_to_what_it_costs_on_all(
    make_episodes: Callable[..., LatentEpisodes], make_world: Callable[..., WorldModel]
) -> None:
    episodes, world = make_episodes(has_final_frame=False), make_world()
    rows = episodes.store.episodes("validation")
    frames = torch.cat([batch for row in rows for batch in episodes.pictures(row)])
    draw = torch.Generator().manual_seed(4)
    directions = torch.linalg.qr(torch.randn(frames[0].numel(), 2, generator=draw)).Q
    pca = Directions(torch.full(frames.shape[1:], 0.5), directions)
    middle = Rarity(pca, float(errors_of(pca, frames).median()))
    found = memory_rows("before", world.cell, episodes, rows, middle, seed=3)
    nats, pairs, _ = one_step_ahead(world.cell, episodes, rows, [], seed=3)
    assert {row.kind for row in found} == {"usual", "rare"}
    assert sum(row.frames for row in found) == pairs.sum()
    total = sum(row.bits * row.frames for row in found)
    latents = episodes.latents.latent_size
    expected = (nats["M"].sum() - nats["floor"].sum()) / (latents * np.log(2))
    assert total == pytest.approx(expected, rel=1e-5)
