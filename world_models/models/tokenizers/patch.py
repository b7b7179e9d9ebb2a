"""Codes that are patches of frames, as they were seen first (Dedieu et al. 2025)."""

import torch
from torch import Tensor
from torch.nn import functional

from world_models.models.tokenizers.tokenizer import (
    Tokenizer,
    require_divisible,
    require_frames,
    require_vocabulary,
)

EXACT_FLOAT32 = 1 << 24
"""Up to this every whole number is a float32."""
LARGEST_KEY = 1 << 62
"""Keys of patches stay below it."""
AT_A_TIME = 256
"""Patches whose distances to the whole book are there at once."""


class PatchTokenizer(Tokenizer):
    """Cuts a frame into patches; a token is the number of the patch in the book that is nearest.

    A patch joins the book once it is seen, where its root mean square difference to every patch
    there is above `threshold` (of 255); a full book takes none. A code never moves or changes its
    number. Where frames repeat themselves they come back exactly. The book is filled by `fit`, by
    nothing else: there is nothing to differentiate.

    All is computed on whole numbers, without rounding: a frame's tokens do not depend on the
    frames beside it.
    """

    # (vocabulary, C * patch * patch) uint8; rows from `filled` on are empty
    book: Tensor
    # scalar int64
    filled: Tensor

    def __init__(
        self,
        img_channels: int,
        size: int,
        patch_size: int = 8,
        vocabulary: int = 512,
        threshold: float = 0.0,
    ) -> None:
        super().__init__()
        require_divisible(size, patch_size, "stage.patch_size")
        require_vocabulary(vocabulary, "stage.vocabulary")
        if threshold < 0:
            raise ValueError(f"stage.threshold is {threshold}; it must be 0 or more")
        self.config = {
            "img_channels": img_channels,
            "size": size,
            "patch_size": patch_size,
            "vocabulary": vocabulary,
            "threshold": threshold,
        }
        self.channels, self.size, self.patch_size = img_channels, size, patch_size
        self.vocabulary = vocabulary
        self.grid = (size // patch_size, size // patch_size)
        self.code_size = img_channels * patch_size**2
        self.nearness = threshold**2 * self.code_size
        self.register_buffer("book", torch.zeros(vocabulary, self.code_size, dtype=torch.uint8))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @property
    def is_full(self) -> bool:
        """Whether no more patches can join the book."""
        return int(self.filled) == self.vocabulary

    @property
    def table(self) -> Tensor:
        """See Tokenizer: the values of the patches in [-1, 1], 0 for codes that are not filled."""
        values = self.book.float() / 127.5 - 1
        known = torch.arange(self.vocabulary, device=values.device) < self.filled
        return torch.where(known[:, None], values, 0.0)

    def fit(self, frames: Tensor) -> int:
        """Take in the patches of frames (B, C, S, S), frame by frame and row by row.

        Returns how many joined the book. Frames in several calls make the same book as in one.
        """
        patches = _first_ones(self.patches(frames).flatten(0, 2))
        before = int(self.filled)
        if before:
            patches = patches[~self._look_up(patches)[1]]
            patches = patches[self._distances(patches).amin(1) > self.nearness]
        while len(patches) and not self.is_full:
            self.book[self.filled] = patches[0].to(torch.uint8)
            patches = patches[squared_distances(patches, patches[:1])[:, 0] > self.nearness]
            self.filled += 1
        return int(self.filled) - before

    def encode(self, frames: Tensor) -> Tensor:
        """See Tokenizer; of patches at equal distance the first counts. An empty book: 0."""
        cut = self.patches(frames)
        if not int(self.filled):
            return cut.new_zeros(cut.shape[:3], dtype=torch.long)
        patches = cut.flatten(0, 2)
        tokens, known = self._look_up(patches)
        if not known.all():
            strangers = patches[~known].split(AT_A_TIME)
            tokens[~known] = torch.cat([self._distances(part).argmin(1) for part in strangers])
        return tokens.view(cut.shape[:3])

    def decode(self, tokens: Tensor) -> Tensor:
        """See Tokenizer."""
        patches = self.book[tokens.flatten(1)].float() / 255
        return functional.fold(
            patches.transpose(1, 2), self.size, self.patch_size, stride=self.patch_size
        )

    def patches(self, frames: Tensor) -> Tensor:
        """frames (B, C, S, S) in [0, 1] -> (B, gh, gw, C * patch * patch) whole numbers to 255."""
        require_frames(frames, self.channels, self.size)
        cut = functional.unfold(frames.float(), self.patch_size, stride=self.patch_size)
        whole = (255 * cut).round().to(self._exact).transpose(1, 2)
        return whole.unflatten(1, self.grid)

    @property
    def _exact(self) -> torch.dtype:
        """A type in which squared distances of patches are exact."""
        return torch.float32 if 256**2 * self.code_size <= EXACT_FLOAT32 else torch.float64

    def _look_up(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens (N,) of patches (N, D), and which of them stand in the book as they are."""
        book = self.book[: int(self.filled)].to(patches.dtype)
        keys, order = self._keys(book).sort()
        place = torch.searchsorted(keys, self._keys(patches)).clamp(max=len(book) - 1)
        tokens = order[place]
        return tokens, (book[tokens] == patches).all(1)

    def _keys(self, patches: Tensor) -> Tensor:
        """Whole numbers (N,), alike where patches (N, D) are, and as good as never elsewhere."""
        draw = torch.Generator().manual_seed(0)
        largest = LARGEST_KEY // (256 * self.code_size)
        weights = torch.randint(largest, (self.code_size,), generator=draw)
        return (patches.long() * weights.to(patches.device)).sum(1)

    def _distances(self, patches: Tensor) -> Tensor:
        return squared_distances(patches, self.book[: int(self.filled)].to(patches.dtype))


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """left (N, D), right (M, D) of whole numbers from 0 to 255 -> (N, M).

    Exact where the type holds all whole numbers up to 256^2 D.
    """
    # distances stay the same, and what is added up on the way is smaller
    left, right = left - 128, right - 128
    with torch.autocast(left.device.type, enabled=False):
        squares = left.square().sum(1, keepdim=True) + right.square().sum(1)
        return squares - 2 * (left @ right.T)


def _first_ones(rows: Tensor) -> Tensor:
    """rows (N, D) -> the different ones, in the order in which they come first."""
    different, where = torch.unique(rows, dim=0, return_inverse=True)
    first = torch.full((len(different),), len(rows), device=rows.device)
    numbers = torch.arange(len(rows), device=rows.device)
    return rows[first.scatter_reduce(0, where, numbers, "amin").sort().values]
