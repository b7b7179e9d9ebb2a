"""Checkpoints: files of tensors and plain values that say what they are.

They are written atomically and read without pickle's powers.
"""

import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from world_models.runs.files import replacing

log = logging.getLogger(__name__)

SCHEMA = 1


def save_checkpoint(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, strings, lists, dicts) as a checkpoint of `kind`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        torch.save({"kind": kind, "schema": SCHEMA, **content}, file)
    log.debug("saved %s", path)


def load_checkpoint(path: Path, kind: str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint.

    A missing or damaged file, another kind or schema is a ValueError that names it.
    """
    if not path.is_file():
        stage = {"agent": "controller"}.get(kind, kind)
        raise ValueError(
            f"{path} does not exist: finish the {stage} stage first, or resume its run folder"
        )
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ):
        raise ValueError(
            f"{path} is truncated or no checkpoint of ours: delete it and make it again"
        ) from None
    if not isinstance(content, dict) or "kind" not in content:
        raise ValueError(f"{path} is no checkpoint of ours: it does not say its kind")
    if content["kind"] != kind:
        raise ValueError(
            f"{path} holds a checkpoint of kind {content['kind']!r} where {kind!r} is needed"
        )
    if content["schema"] != SCHEMA:
        raise ValueError(
            f"{path} has schema {content['schema']}; this version reads schema {SCHEMA}"
        )
    return content
