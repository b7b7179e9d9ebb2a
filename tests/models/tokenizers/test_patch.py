"""A book of patches: against one that is filled patch by patch, in plain loops."""

import numpy as np
import pytest
import torch
from torch import Tensor

from world_models.models.tokenizers.patch import PatchTokenizer


def frames_of(count: int, size: int = 12, values: int = 4, seed: int = 0) -> Tensor:
    """Frames (count, 3, size, size) of few values, so that patches repeat themselves."""
    drawn = np.random.default_rng(seed).integers(0, values, (count, 3, size // 4, size // 4))
    return torch.tensor(drawn).repeat_interleave(4, 2).repeat_interleave(4, 3) * 60 / 255


def by_hand(frames: Tensor, patch: int, vocabulary: int, threshold: float) -> list[np.ndarray]:
    """The book of one patch at a time."""
    book: list[np.ndarray] = []
    for frame in (255 * frames).round().numpy():
        for row in range(0, frame.shape[1], patch):
            for column in range(0, frame.shape[2], patch):
                cell = frame[:, row : row + patch, column : column + patch]
                errors = [np.sqrt(np.mean((cell - known) ** 2)) for known in book]
                if len(book) < vocabulary and all(error > threshold for error in errors):
                    book.append(cell)
    return book


@pytest.mark.parametrize(
    ("vocabulary", "threshold"), [(512, 0.0), (20, 0.0), (512, 60.0), (6, 60.0)]
)
@pytest.mark.parametrize("at_once", [1, 5, 12])
def test_the_book_is_that_of_one_patch_at_a_time(
    vocabulary: int, threshold: float, at_once: int
) -> None:
    frames = frames_of(12)
    model = PatchTokenizer(3, 12, 4, vocabulary, threshold)
    joined = sum(model.fit(part) for part in frames.split(at_once))
    book = by_hand(frames, 4, vocabulary, threshold)
    assert joined == int(model.filled) == len(book) > 5
    assert np.array_equal(model.book[: len(book)].view(-1, 3, 4, 4).numpy(), np.stack(book))


def test_frames_that_were_seen_come_back_exactly() -> None:
    frames = frames_of(6)
    model = PatchTokenizer(3, 12, 4)
    model.fit(frames)
    tokens = model.encode(frames)
    assert tokens.shape == (6, 3, 3) and tokens.dtype == torch.int64
    assert torch.equal(model.decode(tokens), frames.float())
    assert model.fit(frames) == 0


@pytest.mark.parametrize("alike", [False, True], ids=["keys differ", "all keys alike"])
def test_tokens_are_the_nearest_patches_by_brute_force(
    alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of patches that stand in the book, of such that do not, and of both in a frame."""
    if alike:
        keys = PatchTokenizer._keys
        monkeypatch.setattr(PatchTokenizer, "_keys", lambda self, given: 0 * keys(self, given))
    model = PatchTokenizer(3, 12, 4, vocabulary=9)
    seen = frames_of(12)
    model.fit(seen)
    new = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    half = torch.cat([seen[:1, :, :, :8], new[:1, :, :, 8:]], dim=3)
    frames = torch.cat([new, half, seen])
    tokens, book = model.encode(frames), model.book.view(-1, 3, 4, 4).long()
    whole = (255 * frames).round().long()
    for b in range(len(frames)):
        for i in range(3):
            for j in range(3):
                cell = whole[b, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
                errors = (book - cell).square().sum((1, 2, 3)).tolist()
                assert int(tokens[b, i, j]) == errors.index(min(errors))


def test_no_distance_is_computed_to_patches_that_stand_in_the_book(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    distances = PatchTokenizer._distances

    def counted(self: PatchTokenizer, patches: Tensor) -> Tensor:
        asked.append(len(patches))
        return distances(self, patches)

    monkeypatch.setattr(PatchTokenizer, "_distances", counted)
    model, frames = PatchTokenizer(3, 12, 4), frames_of(4)
    model.fit(frames)
    model.encode(frames)
    assert asked == []
    strange = frames.clone()
    strange[0, :, 0, 0] = 1 / 255
    model.encode(strange)
    assert asked == [1]


def test_codes_never_move() -> None:
    frames = frames_of(12)
    model = PatchTokenizer(3, 12, 4)
    model.fit(frames[:6])
    tokens, table, filled = model.encode(frames[:6]), model.table, int(model.filled)
    assert model.fit(frames[6:]) > 0
    assert torch.equal(model.encode(frames[:6]), tokens)
    assert torch.equal(model.table[:filled], table[:filled])


def test_a_frame_has_the_same_tokens_whatever_lies_beside_it() -> None:
    model = PatchTokenizer(1, 32, 8, vocabulary=64)
    draw = torch.Generator().manual_seed(2)
    frames = torch.rand(9, 1, 32, 32, generator=draw)
    model.fit(frames[:4])
    together = model.encode(frames)
    assert torch.equal(torch.cat([model.encode(one) for one in frames.split(1)]), together)


@pytest.mark.parametrize("patch", [4, 16])
def test_squared_distances_are_whole_and_exact(patch: int) -> None:
    model = PatchTokenizer(3, 16, patch, vocabulary=4)
    frames = torch.stack([torch.zeros(3, 16, 16), torch.ones(3, 16, 16)])
    model.fit(frames)
    assert int(model.filled) == 2
    one_off = frames[1].clone()
    one_off[0, 0, 0] = 254 / 255
    cell = model.patches(one_off[None])[0, 0, :1]
    assert model._distances(cell).tolist() == [[3 * patch**2 * 255**2 - 255**2 + 254**2, 1.0]]


def test_the_table_holds_the_values_of_the_patches() -> None:
    model = PatchTokenizer(1, 16, 8, vocabulary=3)
    model.fit(torch.ones(1, 1, 16, 16))
    assert model.table.shape == (3, 64) and model.code_size == 64
    assert model.table[0].eq(1).all() and model.table[1:].eq(0).all()


def test_an_empty_book_gives_the_first_token() -> None:
    model = PatchTokenizer(1, 16, 8)
    assert model.encode(torch.rand(2, 1, 16, 16)).eq(0).all()


def test_patches_that_do_not_fill_a_frame_are_refused() -> None:
    with pytest.raises(ValueError, match=r"change stage\.patch_size or env\.size"):
        PatchTokenizer(3, 30, 8)
