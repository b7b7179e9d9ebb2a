"""The order of endless batches, and the DataLoader's keys."""

import errno
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from world_models.data.loading import DataConfig, endless_batches, loader, watched_split
from world_models.data.store import EpisodeStore


def taken(start: int, number: int, items: int = 10, size: int = 3) -> list[list[int]]:
    return [
        chosen.tolist()
        for chosen in islice(endless_batches(items, size, seed=1, start=start), number)
    ]


def test_every_pass_is_shuffled_anew_and_can_be_entered_anywhere() -> None:
    whole = taken(0, 12)
    assert all(len(chosen) == 3 for chosen in whole)
    for first in range(0, 12, 3):
        assert len({item for chosen in whole[first : first + 3] for item in chosen}) == 9
    assert whole[:3] != whole[3:6]
    for start in (1, 3, 7):
        assert taken(start, 12 - start) == whole[start:]
    assert [sorted(chosen) for chosen in taken(0, 2, items=2)] == [[0, 1], [0, 1]]


def test_without_validation_episodes_the_training_ones_are_watched(
    make_store: Callable[..., EpisodeStore], caplog: pytest.LogCaptureFixture
) -> None:
    assert watched_split(make_store(val_fraction=0.3, name="split"), "frames") == "validation"
    assert not caplog.text
    assert watched_split(make_store(val_fraction=0.0, name="whole"), "frames") == "train"
    assert "no validation split: the training frames are watched instead" in caplog.text


class Squares(Dataset[Any]):
    def __getitems__(self, indices: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.square(indices))


@pytest.mark.parametrize(
    "keys", [{}, {"num_workers": 2, "prefetch_factor": 1, "persistent_workers": True}]
)
def test_batches_come_in_their_order(keys: dict[str, Any]) -> None:
    order = list(islice(endless_batches(10, 3, seed=0, start=0), 7))
    given = list(loader(DataConfig(**keys), Squares(), order))
    assert [batch.tolist() for batch in given] == [np.square(chosen).tolist() for chosen in order]


def no_room(*_: Any) -> None:
    raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")


def test_a_full_dev_shm_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", no_room)
    batches = loader(DataConfig(num_workers=1, prefetch_factor=1), Squares(), [np.arange(3)])
    with pytest.raises(
        ValueError, match=r"^/dev/shm.* is full: make it larger.*num_workers=0"
    ) as e:
        next(batches)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, "^/dev/shm, .* is full"), (errno.EMFILE, "Errno 24")]
)
def test_no_room_for_workers_themselves_is_said(
    monkeypatch: pytest.MonkeyPatch, number: int, expected: str
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(DataLoader, "__iter__", refused)
    batches = loader(DataConfig(num_workers=1, prefetch_factor=1), Squares(), [np.arange(3)])
    with pytest.raises((ValueError, OSError), match=expected):
        next(batches)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"prefetch_factor": 2}, "num_workers is 0"),
        ({"persistent_workers": True}, "num_workers is 0"),
        ({"num_workers": 1}, "prefetch_factor is None"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor is 0"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"val_ratio": 1.0}, "val_ratio is 1.0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**keys)
