import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from world_models.data import arrays
from world_models.data.episode import Episode
from world_models.data.growing import StoreAppender
from world_models.data.latents import LatentStore, OnlineLatents, encode_store
from world_models.data.store import META_KEYS, EpisodeStore
from world_models.runs.files import sha256

MakeStore = Callable[..., EpisodeStore]
MakeEpisode = Callable[..., Episode]
VAE, OTHER_VAE = "a" * 64, "c" * 64


def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """mu = (t, number), logsigma = -mu, as the synthetic frames show them."""
    mu = frames[:, 0, 0, :2].float()
    return mu, -mu


def test_rows_lie_as_the_episodes_rows(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    path = encode_store(encode, store, tmp_path / "latents", VAE, batch_size=4)
    assert path == tmp_path / "latents" / "manifest.json"
    latents = LatentStore.open(tmp_path / "latents", VAE, store)
    latents.verify()
    assert latents.latent_size == 2 and latents.shards() == store.shards()
    for shard in store.shards():
        mu, logsigma = latents.arrays(shard)
        assert mu.dtype == logsigma.dtype == np.float32
        assert np.array_equal(mu, store.arrays(shard).frames[:, 0, 0, :2])
        assert np.array_equal(logsigma, -mu)


def test_progress_counts_every_frame(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    encoded: list[int] = []
    encode_store(encode, store, tmp_path / "latents", VAE, progress=encoded.append)
    assert sum(encoded) == store.num_frames()


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

    encode_store(watched, make_store(), tmp_path / "latents", VAE, batch_size=4)
    assert len(given) > 2 * 5


def test_latents_of_another_vae_are_refused(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    encode_store(encode, store, tmp_path / "latents", VAE)
    with pytest.raises(ValueError, match="by another VAE"):
        LatentStore.open(tmp_path / "latents", OTHER_VAE, store)


class Counted:
    """`encode`, and how many frames it was given."""

    def __init__(self) -> None:
        self.frames = 0

    def __call__(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.frames += len(frames)
        return encode(frames)


def grown(store: EpisodeStore, make_episode: MakeEpisode) -> EpisodeStore:
    """The store with a fourth shard, of two episodes with 5 and 7 frames."""
    meta = {key: store.manifest[key] for key in META_KEYS}
    with StoreAppender.open(store.folder, meta) as appender:
        appender.write_shard(3, [make_episode(7, 4), make_episode(8, 6)], ["train", "train"])
        return appender.commit()


def test_a_new_shard_is_encoded_alone(
    make_store: MakeStore, make_episode: MakeEpisode, tmp_path: Path
) -> None:
    store = make_store()
    counted = Counted()
    encode_store(encode, store, tmp_path / "latents", VAE)
    again = grown(store, make_episode)
    with pytest.raises(ValueError, match=r"no latents of shard 3 of .*latents=online"):
        LatentStore.open(tmp_path / "latents", VAE, again)
    LatentStore.open(tmp_path / "latents", VAE, store).verify()
    encode_store(counted, again, tmp_path / "latents", VAE)
    assert counted.frames == 5 + 7
    for whole in (store, again):
        LatentStore.open(tmp_path / "latents", VAE, whole).verify()
    encode_store(encode, again, tmp_path / "whole", VAE)
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "latents" / path.name).read_bytes()


def test_latents_stay_readable_while_a_new_shard_is_encoded(
    make_store: MakeStore, make_episode: MakeEpisode, tmp_path: Path
) -> None:
    store = make_store()
    encode_store(encode, store, tmp_path / "latents", VAE)

    def failing(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_store(failing, grown(store, make_episode), tmp_path / "latents", VAE)
    LatentStore.open(tmp_path / "latents", VAE, store).verify()


def test_changed_frames_are_noticed_and_encoded_again(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store()
    counted = Counted()
    encode_store(encode, store, tmp_path / "latents", VAE)
    path = store.folder / "shard_00001_frames.npy"
    np.save(path, 255 - np.load(path))
    manifest = store.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(store.file_digest(1, "frames"), sha256(path)))
    changed = EpisodeStore.open(store.folder)
    with pytest.raises(ValueError, match=r"no latents of shard 1 of .*have changed since"):
        LatentStore.open(tmp_path / "latents", VAE, changed)
    encode_store(counted, changed, tmp_path / "latents", VAE)
    assert counted.frames == len(changed.arrays(1).frames)
    mu, _ = LatentStore.open(tmp_path / "latents", VAE, changed).arrays(1)
    assert mu[0, 0] == 255


def as_written_before(folder: Path, store: EpisodeStore) -> None:
    """Give finished latents the marks and the manifest of the earlier format."""
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        if path.name == "manifest.json":
            content |= {"schema": 1, "data": store.digest()}
            for shard in content["shards"]:
                del shard["frames"]
        else:
            content["key"] = {"vae": VAE, "data": store.digest()}
        path.write_text(json.dumps(content))


def test_latents_of_the_earlier_format_open_if_the_store_is_the_same(
    make_store: MakeStore, make_episode: MakeEpisode, tmp_path: Path
) -> None:
    store = make_store()
    counted = Counted()
    encode_store(encode, store, tmp_path / "latents", VAE)
    as_written_before(tmp_path / "latents", store)
    LatentStore.open(tmp_path / "latents", VAE, store).verify()
    encode_store(counted, store, tmp_path / "latents", VAE)
    assert counted.frames == 0, "they are kept"
    as_written_before(tmp_path / "latents", store)
    with pytest.raises(ValueError, match=r"no latents of shards 0, 1, 2 and 1 more of"):
        LatentStore.open(tmp_path / "latents", VAE, grown(store, make_episode))


def test_encoding_resumes_after_the_last_whole_shard(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    seen = []

    def failing(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(len(frames))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return encode(frames)

    with pytest.raises(KeyboardInterrupt):
        encode_store(failing, store, tmp_path / "latents", VAE)
    with pytest.raises(ValueError, match=r"manifest.json does not exist"):
        LatentStore.open(tmp_path / "latents", VAE, store)
    encode_store(failing, store, tmp_path / "latents", VAE)
    assert len(seen) == 1 + len(store.shards())
    encode_store(encode, store, tmp_path / "whole", VAE)
    manifests = [(tmp_path / name / "manifest.json").read_bytes() for name in ("latents", "whole")]
    assert manifests[0] == manifests[1]


def test_shards_of_another_vae_are_encoded_again(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    encode_store(encode, store, tmp_path / "latents", VAE)
    encode_store(lambda frames: encode(255 - frames), store, tmp_path / "latents", OTHER_VAE)
    mu, _ = LatentStore.open(tmp_path / "latents", OTHER_VAE, store).arrays(0)
    assert mu[0, 0] == 255


def test_an_interrupted_second_encoding_leaves_no_mark_of_the_first(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store()
    write = arrays.write_array

    def interrupted(path: Path, *content: Any) -> str:
        if path.name == "shard_00000_logsigma.npy":
            raise KeyboardInterrupt
        return write(path, *content)

    encode_store(encode, store, tmp_path / "latents", VAE)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(arrays, "write_array", interrupted)
        encode_store(
            lambda frames: encode(255 - frames),
            store,
            tmp_path / "latents",
            OTHER_VAE,
        )
    encode_store(encode, store, tmp_path / "latents", VAE)
    mu, _ = LatentStore.open(tmp_path / "latents", VAE, store).arrays(0)
    assert mu[0, 0] == 0


def test_latents_that_are_not_finite_are_refused(make_store: MakeStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mu is not finite for .*shard_00000_frames.npy"):
        encode_store(
            lambda frames: (encode(frames)[0] / 0, encode(frames)[1]),
            make_store(),
            tmp_path / "latents",
            VAE,
        )


def test_a_damaged_file_is_named(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    encode_store(encode, store, tmp_path / "latents", VAE)
    path = tmp_path / "latents" / "shard_00001_mu.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"shard_00001_mu.npy has changed"):
        LatentStore.open(tmp_path / "latents", VAE, store).verify()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"shard_00001_mu.npy is damaged"):
        LatentStore.open(tmp_path / "latents", VAE, store)


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_online_latents_are_the_stored_ones(
    make_store: MakeStore, tmp_path: Path, batch_size: int
) -> None:
    store = make_store()
    sizes = []
    encode_store(encode, store, tmp_path / "latents", VAE)

    def counted(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(frames))
        return encode(frames)

    shards = np.array([2, 0, 1, 0])
    rows = np.array([[0, 1, 2], [3, 3, 3], [10, 11, 12], [0, 1, 1]])
    stored = LatentStore.open(tmp_path / "latents", VAE, store).gather(shards, rows)
    source = OnlineLatents(store, counted, latent_size=2, batch_size=batch_size)
    online = source.gather(shards, rows)
    for mine, theirs in zip(online, stored, strict=True):
        assert torch.equal(mine, theirs) and mine.shape == (4, 3, 2) and mine.dtype == torch.float32
    assert max(sizes) == min(batch_size, 12) and sum(sizes) == 12
    assert np.array_equal(stored[0][3, 1], store.arrays(0).frames[1, 0, 0, :2])
