"""What stands in an exported page, read without its scripts; and scripts run in Chromium."""

import base64
import json
import re
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from world_models.models.mdrnn import MDRNNCell
from world_models.worlds.latent import WorldModel

TYPES = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]


def element(page: str, name: str) -> str:
    found = re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found is not None, name
    return found[1]


def facts_in(page: str) -> dict[str, Any]:
    return json.loads(element(page, "facts"))


def arrays_in(page: str) -> dict[str, np.ndarray]:
    """Every array as single precision."""
    content = base64.b64decode(element(page, "weights"))
    found = {}
    for row in facts_in(page)["arrays"]:
        shape = tuple(row["shape"])
        own = np.frombuffer(content, TYPES[row["type"]], int(np.prod(shape)), row["at"])
        found[row["name"]] = own.reshape(shape).astype(np.float32)
    for name in [name for name in found if f"{name}.scale" in found]:
        found[name] = found[name] * found[f"{name}.scale"]
    return found


def as_exported(model: WorldModel, arrays: dict[str, np.ndarray]) -> WorldModel:
    """V and M with the weights as the page has them."""
    vae, mdrnn = deepcopy(model.vae), deepcopy(model.mdrnn)
    given = {name: torch.from_numpy(array) for name, array in arrays.items()}
    decoder = vae.decoder
    pairs = [(decoder.fc.weight, given["v.0"].T), (decoder.fc.bias, given["v.0.bias"])]
    for number in range(1, 5):
        layer = getattr(decoder, f"deconv{number}")
        pairs.append((layer.weight, given[f"v.{number}"].permute(0, 3, 1, 2)))
        pairs.append((layer.bias, given[f"v.{number}.bias"]))
    pairs += [(mdrnn.rnn.weight_ih_l0, given["m.x"].T), (mdrnn.rnn.weight_hh_l0, given["m.h"].T)]
    pairs += [(mdrnn.rnn.bias_ih_l0, given["m.bias"])]
    pairs += [(mdrnn.gmm_linear.weight, given["m.head"].T)]
    pairs += [(mdrnn.gmm_linear.bias, given["m.head.bias"])]
    with torch.no_grad():
        for parameter, value in pairs:
            parameter.copy_(value)
        mdrnn.rnn.bias_hh_l0.zero_()
    exported = WorldModel(vae, mdrnn, model.env, model.controller_inputs)
    assert isinstance(exported.cell, MDRNNCell)
    return exported


def in_chromium(html: str, folder: Path, fragment: str = "", *more: str) -> str:
    """The document once its scripts have run."""
    path = folder / "page.html"
    path.write_text(html)
    profile = f"--user-data-dir={folder / 'profile'}"
    command = ["chromium", *FLAGS, profile, *more, "--dump-dom", f"file://{path}{fragment}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout
