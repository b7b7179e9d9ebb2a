"""Checkpoints: files of tensors and plain values that say what they are.

They are written atomically, and read without pickle's powers: the archive is checked before it is
unpacked, and every tensor and field before it is used.
"""

import io
import logging
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from world_models.runs.device import require_device
from world_models.runs.files import replacing, require_regular
from world_models.runs.parsing import Count, Input, Stored, require
from world_models.runs.signals import whole_write

log = logging.getLogger(__name__)

SCHEMA = 1
NOT_A_CHECKPOINT = "is truncated or no checkpoint of ours: delete it and make it again"
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RuntimeError, AssertionError, MemoryError, struct.error),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)
"""What reading an archive that is damaged may raise: its parts are read by many hands."""
PLAIN_NAMES = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16")),
    *(f"torch {kind}Storage" for kind in ("Long", "Int", "Short", "Char", "Byte", "Bool")),
)
"""All that a checkpoint of tensors and plain values names in its pickle."""


class Weights(Stored):
    """A model: the arguments of its constructor, and its weights."""

    config: dict[str, Any]
    model: dict[str, torch.Tensor]


class Trained(Weights):
    """best.pt: weights, when they were kept, and on which files they rest."""

    epoch: Count
    step: Count
    inputs: list[Input]


def save_checkpoint(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, strings, lists, dicts) as a checkpoint of `kind`.

    It is packed in memory first: torch's writer swallows a signal, and has words of its own for a
    full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    with whole_write(), replacing(path) as file:
        torch.save({"kind": kind, "schema": SCHEMA, **content}, packed)
        file.write(packed.getbuffer())
    log.debug("saved %s", path)


def load_checkpoint(
    path: Path,
    kind: str,
    device: str | torch.device = "cpu",
    fields: type[Stored] = Stored,
) -> dict[str, Any]:
    """Read a checkpoint.

    A missing or damaged file, another kind or schema, a tensor that is not finite, and content that
    does not fit `fields` are ValueErrors that name it. So is a device that is not there.
    """
    return load_one_of(path, {kind: fields}, device)


def load_one_of(
    path: Path, kinds: Mapping[str, type[Stored]], device: str | torch.device = "cpu"
) -> dict[str, Any]:
    """Read a checkpoint of one of several kinds, each with its fields; its "kind" says which.

    Otherwise as `load_checkpoint`.
    """
    require_device(device)
    first = next(iter(kinds))
    if not path.exists():
        stage = {"agent": "controller"}.get(first, first)
        raise ValueError(
            f"{path} does not exist: finish the {stage} stage first, or resume its run folder"
        )
    size = require_regular(path)
    content = _unpacked(path, size, device)
    _require_kind(path, content, list(kinds))
    _require_sound_tensors(path, content)
    require(kinds[content["kind"]], content, path)
    return content


def _unpacked(path: Path, size: int, device: str | torch.device) -> Any:
    try:
        _require_intact(path, size)
        return torch.load(path, map_location=device, weights_only=True)
    except UNREADABLE as error:
        log.debug("%s: %r", path, error)
        raise ValueError(f"{path} {NOT_A_CHECKPOINT}") from None


def _require_intact(path: Path, size: int) -> None:
    """Every byte as it was written, by torch's checksums, and no name beyond the plain ones.

    Records are not compressed, so they are no larger than the file.
    """
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        stored = all(record.compress_type == zipfile.ZIP_STORED for record in records)
        if not stored or sum(record.file_size for record in records) > size:
            raise ValueError("records that torch did not write")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} differs")
        for record in records:
            if record.filename.endswith("data.pkl"):
                _require_plain(archive.read(record))


def _require_plain(pickled: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            raise ValueError(f"the pickle has {opcode.name}")
        if opcode.name == "GLOBAL" and argument not in PLAIN_NAMES:
            raise ValueError(f"the pickle names {argument}")


def _require_kind(path: Path, content: Any, kinds: list[str]) -> None:
    if not isinstance(content, dict) or "kind" not in content:
        raise ValueError(f"{path} is no checkpoint of ours: it does not say its kind")
    if content["kind"] not in kinds:
        needed = " or ".join(map(repr, kinds))
        raise ValueError(
            f"{path} holds a checkpoint of kind {str(content['kind'])!r} where {needed} is needed"
        )
    if content.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} has schema {content.get('schema')}; this version reads schema {SCHEMA}"
        )


def _require_sound_tensors(path: Path, content: Any) -> None:
    """No tensor is larger than what is stored of it, and every number is finite."""
    for place, tensor in _tensors(content):
        strided = tensor.layout is torch.strided and not tensor.is_quantized
        if not strided or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ValueError(f"{path} is damaged: {place} is no plain array")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(
                f"{path} holds NaN or infinite numbers in {place}: what it was made by went wrong, "
                "so make it again"
            )


def _tensors(content: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors with their places; what is there twice is looked at once."""
    waiting: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield place, value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{place}.{key}".removeprefix("."), item) for key, item in items]
