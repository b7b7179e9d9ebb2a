"""However many shards a store has, few of its files are open at a time."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from world_models.data import maps
from world_models.data.arrays import Array
from world_models.data.datasets import ObservationDataset, RolloutDataset, SequenceDataset
from world_models.data.store import EpisodeStore

SHARDS = 12
MOST = 3


def open_files(folder: Path) -> int:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return len({line.split()[-1] for line in lines if str(folder) in line})


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "most_open", lambda: MOST)


@pytest.mark.parametrize("kind", [ObservationDataset, RolloutDataset, SequenceDataset])
def test_a_batch_of_many_shards_keeps_few_open(
    kind: type, make_store: Callable[..., EpisodeStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store([4] * SHARDS, per_shard=1)

    def read(opened: EpisodeStore) -> list[Array]:
        data = kind(opened, None, 2) if kind is SequenceDataset else kind(opened)
        items = [(7 * item) % len(data) for item in range(len(data))]
        batch = data.__getitems__(items)
        return [batch] if kind is ObservationDataset else [*vars(batch).values()]

    expected = read(store)
    monkeypatch.setattr(maps, "most_open", lambda: MOST)
    again = EpisodeStore.open(store.folder)
    del store
    assert all((a == b).all() for a, b in zip(expected, read(again), strict=True))
    assert 0 < open_files(again.folder) <= 4 * MOST


def test_the_maps_used_last_stay_open(few: None) -> None:
    opened: list[int] = []

    def open_shard(shard: int) -> tuple[Array, ...]:
        opened.append(shard)
        return ()

    kept = maps.OpenMaps()
    for shard in (0, 1, 2, 0, 3, 0, 2, 1):
        kept.of(shard, open_shard)
    assert opened == [0, 1, 2, 3, 1]


@pytest.fixture
def fresh() -> Iterator[None]:
    maps.most_open.cache_clear()
    yield
    maps.most_open.cache_clear()


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "most"),
    [
        (1024, 4096, (4096, 4096), 256),
        (256, resource.RLIM_INFINITY, (1 << 16, resource.RLIM_INFINITY), 4096),
        (1024, 1024, None, 64),
        (1 << 20, 1 << 20, None, 4096),
        (10, 10, None, 1),
    ],
)
def test_the_soft_limit_of_open_files_is_raised(
    soft: int,
    hard: int,
    raised: tuple[int, int] | None,
    most: int,
    fresh: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert maps.most_open() == most
    assert asked == ([] if raised is None else [raised])
