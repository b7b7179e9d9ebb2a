"""Tokenizers from their checkpoints: of every kind, and what does not fit is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.tokenizers.fsq import FSQTokenizer
from world_models.models.tokenizers.patch import PatchTokenizer
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.models.tokenizers.vq import VQTokenizer
from world_models.runs.checkpoint import save_checkpoint
from world_models.worlds.tokenizing import load_tokenizer, token_encoder


def spec(size: int = 16) -> EnvSpec:
    frames = Preprocessing((0, 0, 0, 0), size, False)
    return EnvSpec("Squares-v0", {}, frames, 1, ActionSpace("discrete", 3, (), (), ()), 50)


def made(kind: str) -> Tokenizer:
    torch.manual_seed(0)
    layers = {"base_channels": 8, "downsamplings": 2}
    if kind == "vq":
        return VQTokenizer(3, 16, **layers, vocabulary=9, code_size=4)
    if kind == "fsq":
        return FSQTokenizer(3, 16, [4, 3], **layers)
    model = PatchTokenizer(3, 16, 4, 20)
    model.fit(torch.rand(1, 3, 16, 16))
    return model


def saved(model: Tokenizer, kind: str, path: Path, **changes: Any) -> Path:
    content = {"config": model.config, "model": model.state_dict(), "epoch": 0, "step": 1}
    facts = {"inputs": [], "architecture": kind, "env": spec().to_dict()}
    save_checkpoint(path, "tokenizer", {**content, **facts, **changes})
    return path


@pytest.mark.parametrize("kind", ["vq", "fsq", "patch"])
def test_it_is_what_was_saved(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    found = load_tokenizer(saved(model, kind, tmp_path / "best.pt"), spec())
    assert type(found) is type(model) and not found.training
    frames = torch.randint(256, (3, 16, 16, 3), dtype=torch.uint8)
    x = frames.permute(0, 3, 1, 2) / 255
    assert torch.equal(token_encoder(found, "cpu")(frames), model.encode(x))
    assert torch.equal(found.table, model.table)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model, path = made("vq"), tmp_path / "best.pt"
    with pytest.raises(ValueError, match=r"is for frames of size 16 .* have size 32 and 3: set"):
        load_tokenizer(saved(model, "vq", path), spec(32))
    with pytest.raises(ValueError, match="config is not of the frames of its env"):
        load_tokenizer(saved(model, "vq", path, env=spec(32).to_dict()))
    with pytest.raises(ValueError, match="architecture is 'other'"):
        load_tokenizer(saved(model, "other", path))
    with pytest.raises(ValueError, match="filled is 0 in a book of 20 patches"):
        load_tokenizer(saved(PatchTokenizer(3, 16, 4, 20), "patch", path))
