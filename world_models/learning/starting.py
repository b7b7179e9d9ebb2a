"""Weights that training begins with: those of another run, or of an agent."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from world_models.agents.agent import AgentFile
from world_models.agents.trained import packaged
from world_models.runs.checkpoint import Weights, load_one_of
from world_models.runs.past import part_folder
from world_models.runs.places import led_to
from world_models.runs.run import Run
from world_models.runs.weights import load_weights


def starting_checkpoint(start_from: str, kind: str, needed: dict[str, Any], keys: str) -> Path:
    """The absolute path of the checkpoint that `stage.start_from` names, by itself or its run.

    It may be an agent's file, too, or the name of an agent that comes with the package: `kind` is
    then its part. A model of another kind, or of other sizes, than `needed` is a ValueError; `keys`
    are those that set them.
    """
    path = packaged(start_from) or Path(start_from).absolute()
    if path.is_dir():
        path = part_folder(path, kind) / "checkpoints" / "best.pt"
    part = part_of(path, kind)
    facts = {"model": part.get("architecture", "conv"), **part["config"]}
    found = {name: facts.get(name) for name in needed}
    if found != needed:
        raise ValueError(
            f"stage.start_from={path} does not fit: it has {_words(found)} "
            f"and this run {_words(needed)}; set {keys} as they were there"
        )
    return path


def part_of(path: Path, kind: str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Config and weights of a model, in a checkpoint of its own or in an agent's file.

    Those of a packed agent, in half precision, come in single precision.
    """
    content = load_one_of(path, {kind: Weights, "agent": AgentFile}, device)
    if content["kind"] == kind:
        return content
    part: dict[str, Any] = content[kind]
    return {**part, "model": {name: value.float() for name, value in part["model"].items()}}


def _words(config: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items())


def begin_with(model: nn.Module, kind: str, start_from: str, run: Run) -> None:
    """Copy the weights of a checkpoint into a new model, and note it as an input of the run.

    `start_from` is a path, a relative one as seen from the run's folder. A run that has a
    checkpoint of its own needs the other no more.
    """
    if run.last.is_file():
        return
    path = led_to(run.path, start_from)
    weights = part_of(path, kind)["model"]
    run.add_input("start_from", path)
    load_weights(model, weights, path)
