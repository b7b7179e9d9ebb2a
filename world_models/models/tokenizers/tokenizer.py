"""What every tokenizer can do."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

MOST_CODES = 1 << 15
"""Tokens are stored in 16 bits, of which one is the sign."""


class Tokenizer(nn.Module):
    """Turns a frame into a small map of tokens, the numbers of codes, and back.

    A token lies in [0, vocabulary). Each code has a vector of `code_size` numbers, which models of
    tokens may read in its place. Frames are (B, C, S, S) float in [0, 1].
    """

    # the arguments of the constructor
    config: dict[str, Any]
    vocabulary: int
    # rows and columns of a frame's tokens: (gh, gw)
    grid: tuple[int, int]
    code_size: int

    @property
    def table(self) -> Tensor:
        """The vectors of all codes, (vocabulary, code_size) float32, without gradient."""
        raise NotImplementedError

    def encode(self, frames: Tensor) -> Tensor:
        """frames (B, C, S, S) -> tokens (B, gh, gw) int64; frames of another shape: ValueError."""
        raise NotImplementedError

    def decode(self, tokens: Tensor) -> Tensor:
        """tokens (B, gh, gw) int64 -> frames (B, C, S, S) in [0, 1]."""
        raise NotImplementedError

    def codes(self, tokens: Tensor) -> Tensor:
        """tokens (..., gh, gw) int64 -> vectors of their codes (..., code_size, gh, gw)."""
        return functional.embedding(tokens, self.table).movedim(-1, -3)


def require_frames(frames: Tensor, channels: int, size: int) -> None:
    """Frames that are not (B, channels, size, size) are a ValueError."""
    if frames.ndim != 4 or tuple(frames.shape[1:]) != (channels, size, size):
        raise ValueError(
            f"the tokenizer takes frames (B, {channels}, {size}, {size}), not {tuple(frames.shape)}"
        )


def require_divisible(size: int, side: int, keys: str) -> None:
    """A frame that cannot be cut into cells of `side` pixels is a ValueError; `keys` set that."""
    if side < 1 or size % side:
        raise ValueError(
            f"frames of {size}x{size} cannot be cut into cells of {side}x{side} pixels: "
            f"change {keys} or env.size"
        )


def require_vocabulary(codes: int, key: str) -> None:
    """A number of codes that is not between 2 and 32,768 is a ValueError; `key` sets it."""
    if not 2 <= codes <= MOST_CODES:
        raise ValueError(f"{key} makes {codes} codes; there must be 2 to {MOST_CODES}")
