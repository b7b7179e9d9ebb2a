"""Where tensors live and in which precision: `auto` becomes a fact here."""

from contextlib import AbstractContextManager
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

M = TypeVar("M", bound="nn.Module")


class Device(Enum):
    """Where models run."""

    auto = "auto"  # a GPU where one answers
    cpu = "cpu"
    cuda = "cuda"


class Workers(Enum):
    """Who does work that is spread: processes of this machine, or actors of a Ray cluster.

    The cluster is the one that RAY_ADDRESS names; unset, one of this machine alone, which ends
    with the run.
    """

    local = "local"  # processes of this machine
    ray = "ray"  # a cluster


class Precision(Enum):
    """Arithmetic of a training step; bfloat16 means autocast with float32 weights."""

    auto = "auto"  # bfloat16 where the hardware multiplies it natively
    float32 = "float32"
    bfloat16 = "bfloat16"  # autocast, weights in float32


def resolve_device(device: Device) -> Device:
    """`auto` becomes cuda where a GPU answers, else cpu; cuda without a GPU is a ValueError."""
    import torch

    if device is Device.cuda and not torch.cuda.is_available():
        raise ValueError(
            "device=cuda was asked for, but torch finds no GPU here: use device=cpu or device=auto"
        )
    if device is Device.auto:
        return Device.cuda if torch.cuda.is_available() else Device.cpu
    return device


def require_device(device: "str | torch.device") -> None:
    """A device that torch does not know, and cuda without a GPU, are ValueErrors."""
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"device={device} is none: use cpu or cuda") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device} was asked for, but torch finds no GPU here: use cpu")


def resolve_precision(precision: Precision, device: Device) -> Precision:
    """`auto` becomes bfloat16 where the hardware multiplies it natively, else float32."""
    import torch

    if precision is not Precision.auto:
        return precision
    native = torch.cuda.is_bf16_supported() if device is Device.cuda else _cpu_has_bfloat16()
    return Precision.bfloat16 if native else Precision.float32


def _cpu_has_bfloat16() -> bool:
    import torch

    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def place(model: M, device: Device, compile: bool = False) -> M:
    """Move a model to the device, its kernels channels last in memory; `compile`: see below."""
    import torch

    # torch's annotations lack the argument
    model = model.to(device.value, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile:
        compile_on_gpu(model, device)
    return model


def compile_on_gpu(model: "nn.Module", device: Device) -> None:
    """torch.compile on cuda only; in place, so that the keys of saved weights stay plain."""
    if device is Device.cuda:
        model.compile()


def autocast(precision: Precision, device: Device) -> AbstractContextManager[None]:
    """The context in which a forward pass runs."""
    import torch

    return torch.autocast(device.value, torch.bfloat16, enabled=precision is Precision.bfloat16)
