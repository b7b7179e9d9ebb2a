"""A dream as one HTML file: V's decoder, M, C and where to begin, as page/ reads them."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from world_models.envs.keys import RELEASE, Chords, Keyboard, Levers
from world_models.models.controller import layer_sizes
from world_models.models.convvae import IMAGE_SIZE
from world_models.play.cast import Cast
from world_models.play.packing import Packed, pack
from world_models.worlds.latent import WorldModel
from world_models.worlds.memory import LatentState

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("arrays.js", "model.js", "hands.js", "keys.js", "app.js")
DECONVOLUTIONS = 4


def page_of(cast: Cast, starts: LatentState) -> str:
    """The whole file, for a cast that has V and M; dreams begin at `starts`, (N, ...) each."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    packed = pack(arrays_of(cast, starts))
    loader = FileSystemLoader(PAGE)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("template.html").render(
        name=cast.env.folder_name,
        size=IMAGE_SIZE,
        latents=starts.z.shape[1],
        style=(PAGE / "style.css").read_text(),
        facts=_as_script(facts_of(cast, packed)),
        weights=base64.b64encode(packed.content).decode(),
        scripts=[(PAGE / name).read_text() for name in SCRIPTS],
    )


def _as_script(facts: dict[str, Any]) -> str:
    """JSON that cannot end the element in which it stands."""
    return json.dumps(facts).replace("<", "\\u003c")


def facts_of(cast: Cast, packed: Packed) -> dict[str, Any]:
    """Sizes, the action space, keys, and where each array lies."""
    model = cast.model
    assert model is not None and cast.latent is not None
    inputs = model.controller_inputs.to_dict()
    return {
        **model.mdrnn.config,
        "channels": model.vae.config["img_channels"],
        "features": inputs["features"],
        "has_reward": cast.latent.has_reward,
        "has_agent": cast.controller is not None,
        "space": cast.env.action_space.to_dict(),
        "keyboard": keyboard_of(cast.env.family.keys(cast.env)),
        "arrays": packed.table,
    }


def keyboard_of(keyboard: Keyboard) -> dict[str, Any]:
    """A table of keys as plain values."""
    keys = [vars(key) for key in keyboard.keys]
    if isinstance(keyboard, Chords):
        chords = [[sorted(held), action] for held, action in keyboard.chords.items()]
        return {"kind": "chords", "keys": keys, "chords": chords, "idle": keyboard.idle}
    assert isinstance(keyboard, Levers), keyboard
    levers = [{**vars(lever), "key": lever.key.name} for lever in keyboard.levers]
    moved = {"levers": levers, "rests": keyboard.rests, "release": RELEASE}
    return {"kind": "levers", "keys": keys, **moved}


def arrays_of(cast: Cast, starts: LatentState) -> dict[str, np.ndarray]:
    """All weights as matrices (inputs, outputs) with their biases, and z, h, c of the starts."""
    model = cast.model
    assert model is not None
    found = {**_of_v(model), **_of_m(model)}
    if cast.controller is not None:
        found |= _of_c(model, cast.controller)
    return found | {f"start.{name}": _plain(value) for name, value in starts._asdict().items()}


def _of_v(model: WorldModel) -> dict[str, np.ndarray]:
    """A deconvolution's outputs are (row, column, channel) of its kernel."""
    decoder = model.vae.decoder
    found = {"v.0": _plain(decoder.fc.weight.T), "v.0.bias": _plain(decoder.fc.bias)}
    for number in range(1, DECONVOLUTIONS + 1):
        layer = getattr(decoder, f"deconv{number}")
        found[f"v.{number}"] = _plain(layer.weight.permute(0, 2, 3, 1))
        found[f"v.{number}.bias"] = _plain(layer.bias)
    return found


def _of_m(model: WorldModel) -> dict[str, np.ndarray]:
    """The LSTM's outputs are its gates: input, forget, cell, output."""
    cell = model.cell
    return {
        "m.x": _plain(cell.rnn.weight_ih.T),
        "m.h": _plain(cell.rnn.weight_hh.T),
        "m.bias": _plain(cell.rnn.bias_ih + cell.rnn.bias_hh),
        "m.head": _plain(cell.gmm_linear.weight.T),
        "m.head.bias": _plain(cell.gmm_linear.bias),
    }


def _of_c(model: WorldModel, vector: np.ndarray) -> dict[str, np.ndarray]:
    """C's layers, one or two, from its parameters in the order of `flatten_parameters`."""
    found, start = {}, 0
    for number, (inputs, outputs) in enumerate(layer_sizes(**model.controller_config)):
        end = start + inputs * outputs
        found[f"c.{number}"] = vector[start:end].reshape(outputs, inputs).T
        found[f"c.{number}.bias"] = vector[end : end + outputs]
        start = end + outputs
    return found


def _plain(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())
