"""Numbers by which a tokenizer is judged: what its pictures lose, and how it uses its codes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from world_models.measures.rows import BaselineRow
from world_models.measures.tokenizer_rows import TokenizerRow
from world_models.measures.vision import (
    PictureErrors,
    Successive,
    baseline_row,
    finite_or_none,
    moving_pixels,
)
from world_models.runs.rows import cells

COPY = "previous frame"
"""The baseline that draws a frame as the one before it."""
ITSELF = "tokenizer"


def usage_entropy(counts: Tensor) -> float:
    """The entropy in nats of codes that were counted (V,): sum of -p log p; 0 without any."""
    shares = counts.double() / counts.sum().clamp(min=1)
    return float(torch.special.entr(shares).sum())


def perplexity(counts: Tensor) -> float:
    """exp of the entropy of codes that were counted (V,): V where all are used alike, 1 for one."""
    return float(torch.tensor(usage_entropy(counts)).double().exp())


def count_codes(tokens: Tensor, vocabulary: int) -> Tensor:
    """Tokens of any shape -> how often each code is among them (V,) int64, on the CPU."""
    return torch.bincount(tokens.flatten(), minlength=vocabulary).cpu()


@dataclass
class TokenizerJudgement:
    """What frames say of a tokenizer: terms of its loss, errors of its pictures, its codes."""

    vocabulary: int
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    pictures: PictureErrors = field(default_factory=PictureErrors)
    frames: int = 0
    exact: int = 0
    # (V,) how often each code was used
    counts: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.counts = torch.zeros(self.vocabulary, dtype=torch.long)

    def add(
        self, terms: Mapping[str, Tensor], drawn: Tensor, x: Tensor, moving: Tensor, tokens: Tensor
    ) -> None:
        """A batch: means of the terms, drawn and true frames (B, C, S, S) in [0, 1], what moves.

        `moving` is (B, S, S) bool. A frame is exact where it is the true one in 8 bits.
        """
        for name, value in terms.items():
            self.sums[name] += float(value) * len(x)
        self.pictures.add(drawn.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1), moving)
        same = (255 * drawn).round() == (255 * x).round()
        self.exact += int(same.flatten(1).all(1).sum())
        self.frames += len(x)
        self.counts += count_codes(tokens, self.vocabulary)

    @property
    def used(self) -> int:
        """How many codes were used."""
        return int((self.counts > 0).sum())

    def row(self) -> TokenizerRow:
        """All of it in one row."""
        terms = {name: value / self.frames for name, value in self.sums.items()}
        return TokenizerRow(
            loss=terms["loss"],
            reconstruction=terms["reconstruction"],
            perceptual=terms.get("perceptual"),
            codebook=terms.get("codebook"),
            psnr=self.pictures.psnr,
            psnr_moving=self.pictures.psnr_moving,
            exact=self.exact / self.frames,
            perplexity=perplexity(self.counts),
            used=self.used,
            dead=self.vocabulary - self.used,
        )


def copy_row(held_out: Successive) -> BaselineRow:
    """What is lost where each frame is drawn as the one before it."""
    errors = PictureErrors()
    for frames, before in held_out:
        x, drawn = frames.float().div_(255), before.float().div_(255)
        errors.add(drawn, x, moving_pixels(frames, before))
    return baseline_row(COPY, 0, errors)


def tokenizer_quality(
    kind: str,
    found: TokenizerJudgement,
    table: Sequence[BaselineRow],
    tokens: int,
) -> dict[str, Any]:
    """All that is known of a tokenizer, in JSON's types.

    Its pictures, of so many `tokens` each, stand beside the rows of the baselines. `usage` counts
    the codes that are used, the most frequent first. NaN and infinity become None.
    """
    rows = [baseline_row(ITSELF, tokens, found.pictures), *table]
    pictures = [{name: finite_or_none(value) for name, value in cells(row).items()} for row in rows]
    return {
        "kind": kind,
        "frames": found.frames,
        "pictures": pictures,
        "tokens": tokens,
        "vocabulary": found.vocabulary,
        "used": found.used,
        "perplexity": perplexity(found.counts),
        "exact": found.exact / found.frames,
        "usage": found.counts[found.counts > 0].sort(descending=True).values.tolist(),
    }
