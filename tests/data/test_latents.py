import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from world_models.data import arrays
from world_models.data.latents import LatentStore, OnlineLatents, encode_store
from world_models.data.store import EpisodeStore

MakeStore = Callable[..., EpisodeStore]
KEY = {"vae": "a" * 64, "data": "b" * 64}


def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """mu = (t, number), logsigma = -mu, as the synthetic frames show them."""
    mu = frames[:, 0, 0, :2].float()
    return mu, -mu


def test_rows_lie_as_the_episodes_rows(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    assert (
        encode_store(encode, store, tmp_path / "latents", KEY, batch_size=4)
        == tmp_path / "latents" / "manifest.json"
    )
    latents = LatentStore.open(tmp_path / "latents", **KEY)
    latents.verify()
    assert latents.latent_size == 2 and latents.shards() == store.shards()
    for shard in store.shards():
        mu, logsigma = latents.arrays(shard)
        assert mu.dtype == logsigma.dtype == np.float32
        assert np.array_equal(mu, store.arrays(shard).frames[:, 0, 0, :2]) and np.array_equal(
            logsigma, -mu
        )


def test_progress_counts_every_frame(make_store: MakeStore, tmp_path: Path) -> None:
    store, told = make_store(), []
    encode_store(encode, store, tmp_path / "latents", KEY, progress=told.append)
    assert sum(told) == store.num_frames()


def test_a_batch_is_let_go_before_the_next_but_one(make_store: MakeStore, tmp_path: Path) -> None:
    given: list[weakref.ref[np.ndarray]] = []

    def watched(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert sum(memory() is not None for memory in given) <= 2, (
            "small results kept between large ones split the heap"
        )
        parts = [part.numpy() for part in encode(frames)]
        given.extend(map(weakref.ref, parts))
        mu, logsigma = map(torch.from_numpy, parts)
        return mu, logsigma

    encode_store(watched, make_store(), tmp_path / "latents", KEY, batch_size=4)
    assert len(given) > 2 * 5


@pytest.mark.parametrize(
    ("changed", "message"), [("vae", "by another VAE"), ("data", "from other episodes")]
)
def test_latents_of_another_origin_are_refused(
    make_store: MakeStore, tmp_path: Path, changed: str, message: str
) -> None:
    encode_store(encode, make_store(), tmp_path / "latents", KEY)
    with pytest.raises(ValueError, match=message):
        LatentStore.open(tmp_path / "latents", **{**KEY, changed: "c" * 64})


def test_encoding_resumes_after_the_last_whole_shard(make_store: MakeStore, tmp_path: Path) -> None:
    store, seen = make_store(), []

    def failing(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(len(frames))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return encode(frames)

    with pytest.raises(KeyboardInterrupt):
        encode_store(failing, store, tmp_path / "latents", KEY)
    with pytest.raises(ValueError, match=r"manifest.json does not exist"):
        LatentStore.open(tmp_path / "latents", **KEY)
    encode_store(failing, store, tmp_path / "latents", KEY)
    assert len(seen) == 1 + len(store.shards())
    encode_store(encode, store, tmp_path / "whole", KEY)
    manifests = [(tmp_path / name / "manifest.json").read_bytes() for name in ("latents", "whole")]
    assert manifests[0] == manifests[1]


def test_shards_of_another_vae_are_encoded_again(make_store: MakeStore, tmp_path: Path) -> None:
    store, newer = make_store(), {**KEY, "vae": "c" * 64}
    encode_store(encode, store, tmp_path / "latents", KEY)
    encode_store(lambda frames: encode(255 - frames), store, tmp_path / "latents", newer)
    mu, _ = LatentStore.open(tmp_path / "latents", **newer).arrays(0)
    assert mu[0, 0] == 255


def test_an_interrupted_second_encoding_leaves_no_mark_of_the_first(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, write = make_store(), arrays.write_array

    def interrupted(path: Path, *content: Any) -> str:
        if path.name == "shard_00000_logsigma.npy":
            raise KeyboardInterrupt
        return write(path, *content)

    encode_store(encode, store, tmp_path / "latents", KEY)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(arrays, "write_array", interrupted)
        encode_store(
            lambda frames: encode(255 - frames),
            store,
            tmp_path / "latents",
            {**KEY, "vae": "c" * 64},
        )
    encode_store(encode, store, tmp_path / "latents", KEY)
    mu, _ = LatentStore.open(tmp_path / "latents", **KEY).arrays(0)
    assert mu[0, 0] == 0


def test_latents_that_are_not_finite_are_refused(make_store: MakeStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mu is not finite for .*shard_00000_frames.npy"):
        encode_store(
            lambda frames: (encode(frames)[0] / 0, encode(frames)[1]),
            make_store(),
            tmp_path / "latents",
            KEY,
        )


def test_a_damaged_file_is_named(make_store: MakeStore, tmp_path: Path) -> None:
    encode_store(encode, make_store(), tmp_path / "latents", KEY)
    path = tmp_path / "latents" / "shard_00001_mu.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"shard_00001_mu.npy has changed"):
        LatentStore.open(tmp_path / "latents", **KEY).verify()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"shard_00001_mu.npy is damaged"):
        LatentStore.open(tmp_path / "latents", **KEY)


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_online_latents_are_the_stored_ones(
    make_store: MakeStore, tmp_path: Path, batch_size: int
) -> None:
    store, sizes = make_store(), []
    encode_store(encode, store, tmp_path / "latents", KEY)

    def counted(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(frames))
        return encode(frames)

    shards, rows = np.array([2, 0, 1, 0]), np.array([[0, 1, 2], [3, 3, 3], [10, 11, 12], [0, 1, 1]])
    stored = LatentStore.open(tmp_path / "latents", **KEY).gather(shards, rows)
    online = OnlineLatents(store, counted, latent_size=2, batch_size=batch_size).gather(
        shards, rows
    )
    for mine, theirs in zip(online, stored, strict=True):
        assert torch.equal(mine, theirs) and mine.shape == (4, 3, 2) and mine.dtype == torch.float32
    assert max(sizes) == min(batch_size, 12) and sum(sizes) == 12
    assert np.array_equal(stored[0][3, 1], store.arrays(0).frames[1, 0, 0, :2])
