"""Rare frames are found without V and M, and both are judged on them apart from the usual ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.data.store import EpisodeStore
from world_models.measures.episodes import LatentEpisodes
from world_models.measures.judge import one_step_ahead
from world_models.measures.rare import (
    errors_of,
    memory_rows,
    rare_beside,
    rare_in,
    vision_rows,
)
from world_models.measures.road import SEEN, off_road
from world_models.measures.vision_baselines import Directions
from world_models.worlds.latent import WorldModel

SIZE = 8


@pytest.fixture
def store(finished: Path) -> EpisodeStore:
    return EpisodeStore.open(finished / "rollout/episodes")


def random_frames(count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, SIZE, SIZE, 3), generator=draw, dtype=torch.uint8)


def test_what_a_pca_loses_is_the_distance_from_its_directions() -> None:
    draw = torch.Generator().manual_seed(0)
    columns = torch.linalg.qr(torch.randn(SIZE * SIZE * 3, 2, generator=draw)).Q
    pca = Directions(torch.full((SIZE, SIZE, 3), 0.5), columns)
    spanned = torch.rand(70, 2, generator=draw) @ columns.T
    near = ((spanned.view(70, SIZE, SIZE, 3) + 0.5) * 255).round().to(torch.uint8)
    frames = torch.cat([near, random_frames(4)])
    flat = (frames.double() / 255 - 0.5).flatten(1)
    basis = columns.double()
    kept = (flat @ basis @ basis.T + 0.5).clamp(0, 1)
    expected = (kept - flat - 0.5).square().mean(1)
    found = errors_of(pca, frames.numpy())
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-8)
    assert found[:70].max() < 1e-4 < found[70:].min()


def test_of_the_first_held_out_frames_one_in_a_hundred_is_rare(store: EpisodeStore) -> None:
    rare = rare_beside(store, 0, "cpu")
    rows = store.episodes("validation")
    found = np.concatenate(rare_in(store, rows, rare))
    assert found.size == store.num_frames("validation")
    assert 0 < found.mean() <= 0.03, "of 40 frames it is one"
    assert rare(255 - store.episode(rows[0]).frames).mean() > 0.9


def test_what_was_added_decides_nothing(store: EpisodeStore) -> None:
    frames = np.concatenate([store.episode(row).frames for row in store.rows])
    before = rare_beside(store, 0, "cpu")(frames)
    grown = EpisodeStore(store.folder, dict(store.manifest), "")
    grown.manifest["additions"] = [{"first_episode": len(store.rows)}]
    grown.rows = [*store.rows, *store.rows[:3], *store.rows[:5]]
    assert np.array_equal(rare_beside(grown, 0, "cpu")(frames), before)
    grown.manifest["additions"] = [{"first_episode": 12}, {"first_episode": 20}]
    assert len(grown.beginning().rows) == 12 and grown.newest == 20
    assert not np.array_equal(rare_beside(grown, 0, "cpu")(frames), before)


def test_on_car_racing_it_is_what_lies_off_the_road(
    store: EpisodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    car = replace(store.env, id="CarRacing-v3", preprocessing=SEEN)
    monkeypatch.setattr(EpisodeStore, "env", car)
    assert rare_beside(store, 0, "cpu") is off_road
    monkeypatch.setattr(EpisodeStore, "env", replace(car, preprocessing=replace(SEEN, size=32)))
    assert rare_beside(store, 0, "cpu") is not off_road


def test_v_is_judged_on_each_kind() -> None:
    frames, rare = random_frames(9), np.arange(9) > 5
    batches = [(frames[:4], frames[:4]), (frames[4:], frames[4:])]
    found = vision_rows("after", lambda x: x + 0.1 * x, batches, rare, "cpu")
    assert [(row.model, row.kind, row.frames) for row in found] == [
        ("after", "usual", 6),
        ("after", "rare", 3),
    ]
    for row, chosen in zip(found, (~rare, rare), strict=True):
        squares = (0.1 * frames[torch.from_numpy(chosen)].double() / 255).square()
        assert row.psnr == pytest.approx(-10 * float(squares.mean().log10()), rel=1e-5)
    only = vision_rows("after", lambda x: x, [(frames[:4], frames[:4])], rare[:4], "cpu")
    assert [row.kind for row in only] == ["usual"]


def test_what_m_costs_on_each_kind_comes_to_what_it_costs_on_all(
    make_episodes: Callable[..., LatentEpisodes], make_world: Callable[..., WorldModel]
) -> None:
    episodes, world = make_episodes(has_final_frame=False), make_world()
    rows = episodes.store.episodes("validation")
    found = memory_rows(
        "before", world.cell, episodes, rows, lambda frames: frames[:, 0, 0, 0] > 99, seed=3
    )
    nats, pairs, _ = one_step_ahead(world.cell, episodes, rows, [], seed=3)
    frames = [np.concatenate([*episodes.pictures(row)])[1:, 0, 0, 0] for row in rows]
    assert [row.kind for row in found] == ["usual", "rare"]
    assert found[1].frames == (np.concatenate(frames) > 99).sum()
    assert sum(row.frames for row in found) == pairs.sum()
    total = sum(row.bits * row.frames for row in found)
    latents = episodes.latents.latent_size
    expected = (nats["M"].sum() - nats["floor"].sum()) / (latents * np.log(2))
    assert total == pytest.approx(expected, rel=1e-5)
