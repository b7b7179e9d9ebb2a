"""What a tokenizer is and how it learns, as a user sets it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import torch

from world_models.envs.preprocess import Preprocessing
from world_models.learning.perceptual_weights import require_weight_files
from world_models.models.perceptual import PerceptualKind
from world_models.models.tokenizers.fsq import FSQTokenizer
from world_models.models.tokenizers.patch import PatchTokenizer
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.choices import one_of, require_known
from world_models.runs.device import Precision
from world_models.runs.numbers import require_not_negative, require_positive
from world_models.runs.run import PATH, RUNTIME
from world_models.worlds.tokenizing import TOKENIZERS


class TokenizerKind(StrEnum):
    """How frames become tokens."""

    vq = "vq"  # a VQ-VAE
    fsq = "fsq"  # a finite scalar quantiser
    patch = "patch"  # a book of patches


@dataclass
class TokenizerLearning:
    """Keys of another kind than `kind` are not read.

    The loss of vq and fsq is the squared error of pictures in [-1, 1], plus `perceptual_scale`
    times how different they look, plus, of vq, (features - codes)^2 from both sides.
    """

    # how frames become tokens
    kind: str = field(default="vq", metadata=one_of(TOKENIZERS, TokenizerKind))
    vocabulary: int = 512  # codes of vq, patches of patch at most
    code_size: int = 128  # of vq: numbers of a code
    commitment: float = 1.0  # of vq: weight with which features are drawn to their codes
    levels: list[int] = field(default_factory=lambda: [8, 8, 8])  # of fsq: of each number of a code
    base_channels: int = 16  # of vq and fsq: channels of the first block
    downsamplings: int = 3  # of vq and fsq: a token for 2^n x 2^n pixels
    patch_size: int = 8  # of patch: pixels of its side
    # of patch: one is new where it differs from all others by more: root mean square, of 255
    threshold: float = 0.0
    perceptual: PerceptualKind = PerceptualKind.multiscale  # what says how different pictures look
    perceptual_scale: float = 1.0  # weight of that in the loss
    # folder with the weights of lpips
    perceptual_weights: str | None = field(default=None, metadata=PATH)
    # what a pixel's squared error weighs more, times its distance (0 to 1) from the batch's mean
    motion_weight: float = 0.0
    batch_size: int = 64  # frames of an update
    learning_rate: float = 3e-4  # of AdamW
    weight_decay: float = 0.01  # of AdamW
    grad_clip: float = 10.0  # largest norm of a gradient; 0: any
    val_frames: int = 1024  # held-out frames that are judged, at most
    precision: Precision = Precision.auto  # arithmetic of an update
    compile: bool = field(default=True, metadata=RUNTIME)  # torch.compile, on cuda only

    def __post_init__(self) -> None:
        require_known("stage", self)
        require_positive("stage", self, "vocabulary", "code_size", "base_channels", "patch_size")
        require_positive("stage", self, "downsamplings", "batch_size", "learning_rate")
        require_positive("stage", self, "val_frames")
        require_not_negative("stage", self, "commitment", "threshold", "perceptual_scale")
        require_not_negative("stage", self, "motion_weight")
        require_not_negative("stage", self, "weight_decay", "grad_clip")

    def check(self, frames: Preprocessing) -> None:
        """What cannot work on these frames, and weights that are not there, are ValueErrors."""
        with torch.device("meta"):
            make_tokenizer(self, frames)
        if self.learns and self.perceptual is PerceptualKind.lpips:
            require_weight_files(self.perceptual_weights)

    @property
    def learns(self) -> bool:
        """Whether it has weights; `patch` only looks."""
        return not issubclass(TOKENIZERS[self.kind], PatchTokenizer)


def make_tokenizer(cfg: TokenizerLearning, frames: Preprocessing) -> Tokenizer:
    """A new tokenizer of the kind and size that the keys say; its weights are torch's to draw.

    A kind that was added takes the keys of the one that it extends.
    """
    kind: Any = TOKENIZERS[cfg.kind]
    channels, size = frames.channels, frames.size
    made: Tokenizer
    if issubclass(kind, PatchTokenizer):
        made = kind(channels, size, cfg.patch_size, cfg.vocabulary, cfg.threshold)
        return made
    layers = {"base_channels": cfg.base_channels, "downsamplings": cfg.downsamplings}
    if issubclass(kind, FSQTokenizer):
        made = kind(channels, size, list(cfg.levels), **layers)
        return made
    codes = {"vocabulary": cfg.vocabulary, "code_size": cfg.code_size}
    made = kind(channels, size, **layers, **codes, commitment=cfg.commitment)
    return made
