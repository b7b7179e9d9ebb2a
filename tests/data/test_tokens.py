"""Tokens of a store: where they lie, what they are keyed by, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.data.episode import Episode
from world_models.data.growing import StoreAppender
from world_models.data.store import META_KEYS, EpisodeStore
from world_models.data.tokens import TokenStore, write_tokens

MakeStore = Callable[..., EpisodeStore]
MakeEpisode = Callable[..., Episode]
TOKENIZER, OTHER = "a" * 64, "c" * 64
VOCABULARY = 64


def encode(frames: torch.Tensor) -> torch.Tensor:
    """Tokens (B, 1, 2): (t, number), as the synthetic frames show them."""
    return frames[:, :1, 0, :2].long()


class Counted:
    """`encode`, and how many frames it was given."""

    def __init__(self) -> None:
        self.frames = 0

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        self.frames += len(frames)
        return encode(frames)


def written(store: EpisodeStore, folder: Path, tokenizer: str = TOKENIZER) -> TokenStore:
    path = write_tokens(encode, VOCABULARY, store, folder, tokenizer, batch_size=4)
    assert path == folder / "manifest.json"
    return TokenStore.open(folder, tokenizer, store)


def test_rows_lie_as_the_episodes_rows(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    tokens = written(store, tmp_path / "tokens")
    tokens.verify()
    assert tokens.vocabulary == VOCABULARY and tokens.grid == (1, 2)
    assert tokens.shards() == store.shards()
    for shard in store.shards():
        found = tokens.arrays(shard)
        assert found.dtype == np.int16
        assert np.array_equal(found[:, 0], store.arrays(shard).frames[:, 0, 0, :2])


def test_gathered_rows_are_those_asked_for(make_store: MakeStore, tmp_path: Path) -> None:
    tokens = written(make_store(), tmp_path / "tokens")
    shards, rows = np.array([1, 0, 1]), np.array([[0, 1, 2], [2, 3, 4], [3, 3, 4]])
    found = tokens.gather(shards, rows)
    assert found.dtype == torch.int64 and found.shape == (3, 3, 1, 2)
    for item, (shard, wanted) in enumerate(zip(shards, rows, strict=True)):
        assert np.array_equal(found[item].numpy(), tokens.arrays(shard)[wanted])


def test_a_new_shard_is_encoded_alone(
    make_store: MakeStore, make_episode: MakeEpisode, tmp_path: Path
) -> None:
    store, counted = make_store(), Counted()
    written(store, tmp_path / "tokens")
    with StoreAppender.open(
        store.folder, {key: store.manifest[key] for key in META_KEYS}
    ) as appender:
        appender.write_shard(3, [make_episode(7, 4), make_episode(8, 6)], ["train", "train"])
        again = appender.commit()
    with pytest.raises(ValueError, match=r"no tokens of shard 3 of .*finish the tokenizer stage"):
        TokenStore.open(tmp_path / "tokens", TOKENIZER, again)
    write_tokens(counted, VOCABULARY, again, tmp_path / "tokens", TOKENIZER)
    assert counted.frames == 5 + 7
    TokenStore.open(tmp_path / "tokens", TOKENIZER, again).verify()


def test_another_tokenizer_encodes_all_again(make_store: MakeStore, tmp_path: Path) -> None:
    store, counted = make_store(), Counted()
    written(store, tmp_path / "tokens")
    with pytest.raises(ValueError, match="was made by another tokenizer"):
        TokenStore.open(tmp_path / "tokens", OTHER, store)
    write_tokens(counted, VOCABULARY, store, tmp_path / "tokens", OTHER)
    assert counted.frames == store.num_frames()


def test_encoding_resumes_after_the_last_whole_shard(make_store: MakeStore, tmp_path: Path) -> None:
    store, calls = make_store(), []

    def failing(frames: torch.Tensor) -> torch.Tensor:
        calls.append(len(frames))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(frames)

    with pytest.raises(KeyboardInterrupt):
        write_tokens(failing, VOCABULARY, store, tmp_path / "tokens", TOKENIZER)
    write_tokens(failing, VOCABULARY, store, tmp_path / "tokens", TOKENIZER)
    assert len(calls) == 1 + len(store.shards())
    written(store, tmp_path / "whole")
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "tokens" / path.name).read_bytes()


def test_a_damaged_file_is_named(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    tokens = written(store, tmp_path / "tokens")
    path = tmp_path / "tokens" / "shard_00001_tokens.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"shard_00001_tokens.npy has changed"):
        tokens.verify()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"shard_00001_tokens.npy is damaged"):
        TokenStore.open(tmp_path / "tokens", TOKENIZER, store)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"grid": [2, 1]}, "its rows are int16"),
        ({"grid": [2]}, "grid is a list of 1"),
        ({"vocabulary": 1}, "vocabulary is 1"),
        ({"tokenizer": OTHER}, "by another tokenizer"),
        ({"kind": "latents"}, "is of kind 'latents'"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    make_store: MakeStore, tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    store = make_store()
    written(store, tmp_path / "tokens")
    path = tmp_path / "tokens" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(ValueError, match=words):
        TokenStore.open(tmp_path / "tokens", TOKENIZER, store)


def test_tokens_outside_of_the_vocabulary_are_found(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    write_tokens(encode, 5, store, tmp_path / "tokens", TOKENIZER)
    with pytest.raises(ValueError, match="tokens outside of its vocabulary"):
        TokenStore.open(tmp_path / "tokens", TOKENIZER, store).verify()
