"""The columns of the tables of a tokenizer, and the words that stand above them."""

from dataclasses import dataclass

from world_models.measures.rows import StepRow, ValidationRow
from world_models.runs.rows import column


@dataclass(frozen=True, kw_only=True)
class TokenizerStepRow(StepRow):
    """metrics.csv of a tokenizer that learns."""

    # error of the pictures, pixels in -1 to 1 [squared]
    reconstruction: float = column("Squared error of the pictures")
    # distance of features of a network of one's choice, where the loss has it [1]
    perceptual: float | None = column("How different the pictures look", default=None)
    # distance of features and their codes, where codes are learned [squared]
    codebook: float | None = column("Features and their codes: squared distance", default=None)
    # how many codes there would be if all in use were used alike [codes]
    perplexity: float = column("Perplexity of the codes in use")


@dataclass(frozen=True, kw_only=True)
class TokenizerRow(ValidationRow):
    """val_metrics.csv of a tokenizer: the terms of its loss, its pictures, its codes."""

    # error of the pictures, pixels from -1 to 1 [squared]
    reconstruction: float = column("Squared error of the pictures")
    # distance of features of a network of one's choice, where the loss has it [1]
    perceptual: float | None = column("How different the pictures look", default=None)
    # distance of features and their codes, where codes are learned [squared]
    codebook: float | None = column("Features and their codes: squared distance", default=None)
    # from the squared error of all held-out frames together [dB]
    psnr: float = column("PSNR of held-out frames, dB")
    # the same, of pixels that differ from the frame before [dB]
    psnr_moving: float = column("PSNR of the pixels that move, dB")
    # frames that come back without any error [share]
    exact: float
    # how many codes there would be if all in use were used alike [codes]
    perplexity: float = column("Perplexity of the codes in use")
    # that held-out frames use [codes]
    used: int
    # that none of them uses [codes]
    dead: int
