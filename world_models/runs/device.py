"""Where tensors live and in which precision: `auto` becomes a fact here. Where work is spread."""

from contextlib import AbstractContextManager
from enum import Enum

import torch


class Device(Enum):
    """Where models run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Workers(Enum):
    """Processes of this machine, or actors of a Ray cluster.

    The cluster is that which RAY_ADDRESS names. Unset: one of this machine alone, which ends
    with the run.
    """

    local = "local"
    ray = "ray"


class Precision(Enum):
    """Arithmetic of a training step; bfloat16 means autocast with float32 weights."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


def resolve_device(device: Device) -> Device:
    """`auto` becomes cuda where a GPU answers, else cpu; an explicit cuda without a GPU is a ValueError."""
    if device is Device.cuda and not torch.cuda.is_available():
        raise ValueError(
            "device=cuda was asked for, but torch finds no GPU here: use device=cpu or device=auto"
        )
    if device is Device.auto:
        return Device.cuda if torch.cuda.is_available() else Device.cpu
    return device


def resolve_precision(precision: Precision, device: Device) -> Precision:
    """`auto` becomes bfloat16 where the hardware multiplies it natively, else float32."""
    if precision is not Precision.auto:
        return precision
    native = torch.cuda.is_bf16_supported() if device is Device.cuda else _cpu_has_bfloat16()
    return Precision.bfloat16 if native else Precision.float32


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(precision: Precision, device: Device) -> AbstractContextManager[None]:
    """The context in which a forward pass runs."""
    return torch.autocast(device.value, torch.bfloat16, enabled=precision is Precision.bfloat16)
