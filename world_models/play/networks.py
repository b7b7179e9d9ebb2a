"""V, M and C as ONNX files, each held to torch before it takes its name."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from world_models.envs.actions import ActionSpace
from world_models.models.controller import (
    Controller,
    Features,
    controller_features,
    load_parameters,
)
from world_models.models.convvae import IMAGE_SIZE
from world_models.models.mdrnn import MDRNNCell
from world_models.play.cast import Cast
from world_models.runs.files import replacing, write_json

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""How far ONNX Runtime may be from torch on any number, and the same again of its size."""
ROWS = 3
"""Rows of the example from which a network is traced; files take any number."""
ACTING = {Features.z: ("z",), Features.zh: ("z", "h"), Features.zch: ("z", "c", "h")}
"""What C reads, in this order."""


def require_onnx() -> None:
    """Without what writes and checks ONNX files it is a ValueError."""
    if any(find_spec(name) is None for name in NEEDED):
        raise ValueError(
            'stage.to=onnx needs the extra "export": pip install "world-models[export]"'
        )


@dataclass(frozen=True)
class Network:
    """One of them, an example of what it reads, and the names of what it gives."""

    name: str
    module: nn.Module
    # name -> example, rows first
    reads: dict[str, Tensor]
    gives: tuple[str, ...]


def networks_of(cast: Cast) -> Iterator[Network]:
    """V's two halves, M's step, and C where there is one; examples are always the same."""
    model, generator = cast.model, torch.Generator().manual_seed(0)
    assert model is not None
    sizes, channels = model.mdrnn.config, model.vae.config["img_channels"]

    def example(*shape: int) -> Tensor:
        return torch.rand(ROWS, *shape, generator=generator)

    z, (h, c) = example(sizes["latents"]), (example(sizes["hiddens"]) for _ in range(2))
    frames = {"frames": example(channels, IMAGE_SIZE, IMAGE_SIZE)}
    yield Network("encoder", model.vae.encoder, frames, ("mean", "log_std"))
    yield Network("decoder", model.vae.decoder, {"z": z}, ("pictures",))
    read = {"action": example(sizes["actions"]), "z": z, "h": h, "c": c}
    given = ("means", "stds", "log_weights", "reward", "done_logit", "next_h", "next_c")
    yield Network("memory", Step(model.cell), read, given)
    if cast.controller is not None:
        controller = Controller(**model.controller_config)
        load_parameters(controller, cast.controller)
        seen = ACTING[model.controller_inputs.features]
        reads = {name: {"z": z, "h": h, "c": c}[name] for name in seen}
        acting = Acting(controller, cast.env.action_space)
        yield Network("controller", acting, reads, ("action",))


class Step(nn.Module):
    """M's step with its state in plain sight."""

    def __init__(self, cell: MDRNNCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, action: Tensor, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """See `MDRNNCell.forward`."""
        *told, (h, c) = self.cell(action, z, (h, c))
        return *told, h, c


class Acting(nn.Module):
    """C with the bounds of its environment: what `ActionSpace.from_raw` gives."""

    # (2, A): the least and the most of each dimension
    bounds: Tensor
    # (A,)
    is_positive: Tensor

    def __init__(self, controller: Controller, space: ActionSpace) -> None:
        super().__init__()
        self.controller, self.space = controller, space
        bounds = np.array([space.low, space.high], np.float32)
        self.register_buffer("bounds", torch.from_numpy(bounds))
        is_positive = torch.tensor([kind == "positive" for kind in space.squash])
        self.register_buffer("is_positive", is_positive)

    def forward(self, *seen: Tensor) -> Tensor:
        """What C reads, (B, ...) each -> actions (B, A) float32, or (B,) int64."""
        raw = self.controller(controller_features(*seen))
        if self.space.kind == "discrete":
            return raw.argmax(-1) + self.space.start
        low, high = self.bounds
        tanh = torch.tanh(raw)
        affine = low + (tanh + 1) / 2 * (high - low)
        squashed = torch.where(self.is_positive, tanh.clamp(min=0) * high, affine)
        return squashed.clamp(low, high)


def write_networks(cast: Cast, folder: Path) -> dict[str, float]:
    """Write <name>.onnx of each network, and about.json; returns how far each is from torch.

    One that is further than TOLERANCE is a ValueError, and is not written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    distances: dict[str, float] = {}
    about: dict[str, Any] = {"env": cast.env.to_dict(), "networks": {}}
    for network in networks_of(cast):
        content = as_onnx(network)
        distances[network.name] = distance_from_torch(network, content)
        with replacing(folder / f"{network.name}.onnx") as file:
            file.write(content)
        about["networks"][network.name] = {
            "reads": {name: ["rows", *value.shape[1:]] for name, value in network.reads.items()},
            "gives": list(network.gives),
        }
    write_json(folder / "about.json", about)
    return distances


def as_onnx(network: Network) -> bytes:
    """The file of a network that takes any number of rows."""
    rows = {0: torch.export.Dim("rows")}
    shapes: tuple[Any, ...] = tuple(rows for _ in network.reads)
    with warnings.catch_warnings():
        # what the exporter says of itself
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.module.eval(),
            tuple(network.reads.values()),
            dynamo=True,
            verbose=False,
            input_names=list(network.reads),
            output_names=list(network.gives),
            dynamic_shapes=(shapes,) if isinstance(network.module, Acting) else shapes,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


@torch.inference_mode()
def distance_from_torch(network: Network, content: bytes) -> float:
    """The largest distance of any number that ONNX Runtime gives from torch's, on the example.

    More than TOLERANCE and as much again of a number's size is a ValueError.
    """
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    told = session.run(
        list(network.gives), {name: value.numpy() for name, value in network.reads.items()}
    )
    expected = network.module(*network.reads.values())
    expected = (expected,) if isinstance(expected, Tensor) else expected
    gaps = []
    for name, given, value in zip(network.gives, told, expected, strict=True):
        wanted = value.numpy()
        if not np.allclose(given, wanted, rtol=TOLERANCE, atol=TOLERANCE):
            raise ValueError(
                f"{network.name}.onnx is not written: its {name} is further from torch's than "
                f"{TOLERANCE}, so another version of onnxruntime may be needed"
            )
        gaps.append(float(np.abs(given - wanted).max()))
    return max(gaps)
