"""The columns of the tables of a tokenizer, and the words that stand above them."""

from dataclasses import dataclass

from world_models.measures.rows import StepRow, ValidationRow
from world_models.runs.rows import column


@dataclass(frozen=True, kw_only=True)
class TokenizerStepRow(StepRow):
    """metrics.csv of a tokenizer that learns."""

    reconstruction: float = column("Squared error of the pictures")
    # where the loss has such a term
    perceptual: float | None = column("How different the pictures look", default=None)
    codebook: float | None = column("Features and their codes: squared distance", default=None)
    perplexity: float = column("Perplexity of the codes in use")


@dataclass(frozen=True, kw_only=True)
class TokenizerRow(ValidationRow):
    """val_metrics.csv of a tokenizer: the terms of its loss, its pictures, its codes."""

    reconstruction: float = column("Squared error of the pictures")
    perceptual: float | None = column("How different the pictures look", default=None)
    codebook: float | None = column("Features and their codes: squared distance", default=None)
    psnr: float = column("PSNR of held-out frames, dB")
    psnr_moving: float = column("PSNR of the pixels that move, dB")
    # share of the frames that come back without any error
    exact: float
    perplexity: float = column("Perplexity of the codes in use")
    # codes that held-out frames use, and those that none of them uses
    used: int
    dead: int
