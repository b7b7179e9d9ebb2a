"""A trained tokenizer, as its checkpoint holds it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from world_models.data.datasets import to_float
from world_models.envs.spec import EnvSpec
from world_models.models.tokenizers.fsq import FSQTokenizer
from world_models.models.tokenizers.patch import PatchTokenizer
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.models.tokenizers.vq import VQTokenizer
from world_models.runs.checkpoint import Trained, load_checkpoint
from world_models.runs.parsing import Text, damaged
from world_models.runs.stored_env import spec_of
from world_models.runs.weights import model_of

TOKENIZERS: dict[str, type[Tokenizer]] = {
    "vq": VQTokenizer,
    "fsq": FSQTokenizer,
    "patch": PatchTokenizer,
}


class TrainedTokenizer(Trained):
    """best.pt of a tokenizer."""

    architecture: Text
    env: dict[str, Any]


def load_tokenizer(path: Path, env: EnvSpec | None = None, device: str = "cpu") -> Tokenizer:
    """Read a tokenizer's `best.pt`, in eval mode; another file is a ValueError.

    So is one whose frames are not those of `env`, where that is given.
    """
    state = load_checkpoint(path, "tokenizer", device, TrainedTokenizer)
    tokenizer = model_of(kind_of(state["architecture"], path), state, path)
    _require_fit(tokenizer, spec_of(state["env"], path), path)
    if env is not None:
        require_same_frames(tokenizer, env, path)
    if isinstance(tokenizer, PatchTokenizer):
        _require_filled(tokenizer, path)
    return tokenizer.eval().to(device)


def kind_of(name: str, path: Path, field: str = "architecture") -> type[Tokenizer]:
    """The kind of a stored tokenizer; one that is not known here is a ValueError."""
    if name not in TOKENIZERS:
        raise ValueError(
            f"{path} cannot be read: {field} is {name!r:.40}, and known are "
            f"{', '.join(TOKENIZERS)}; import the module that adds it"
        )
    return TOKENIZERS[name]


def require_same_frames(tokenizer: Tokenizer, env: EnvSpec, path: Path) -> None:
    """A tokenizer of frames of another size, or with other channels, is a ValueError."""
    found = (tokenizer.config["size"], tokenizer.config["img_channels"])
    needed = (env.preprocessing.size, env.preprocessing.channels)
    if found != needed:
        raise ValueError(
            f"{path} is for frames of size {found[0]} with {found[1]} channels, and those of "
            f"{env.id} have size {needed[0]} and {needed[1]}: set env.size and env.grayscale as "
            "the tokenizer was trained"
        )


def _require_fit(tokenizer: Tokenizer, env: EnvSpec, path: Path) -> None:
    pre = env.preprocessing
    found = (tokenizer.config["size"], tokenizer.config["img_channels"])
    if found != (pre.size, pre.channels):
        raise damaged(path, "config is not of the frames of its env")


def _require_filled(tokenizer: PatchTokenizer, path: Path) -> None:
    filled = int(tokenizer.filled)
    if not 0 < filled <= tokenizer.vocabulary:
        raise damaged(path, f"filled is {filled} in a book of {tokenizer.vocabulary} patches")


def token_encoder(tokenizer: Tokenizer, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function of stored frames (B, H, W, C) uint8 that gives their tokens (B, gh, gw)."""

    @torch.no_grad()
    def encode(frames: torch.Tensor) -> torch.Tensor:
        return tokenizer.encode(to_float(frames, device))

    return encode


def digest_of(model: Tokenizer) -> str:
    """SHA-256 of weights: a tokenizer that has not changed need not encode again."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
