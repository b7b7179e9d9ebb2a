"""Checkpoints and agents: how each is made, and what a reader sees of it."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz.folders import RUN, SPEC

from world_models.agents.agent import Agent, load_agent
from world_models.envs.config import Backend
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.controller import num_parameters
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN
from world_models.models.pixel_unet import PixelUNet
from world_models.models.tokenizers.patch import PatchTokenizer
from world_models.runs.checkpoint import Trained, load_checkpoint, save_checkpoint
from world_models.runs.device import Device
from world_models.runs.metrics import MetricsLog
from world_models.runs.run import Run
from world_models.runs.schedule import EarlyStopping, plateau, warmup_cosine
from world_models.runs.training import Average, Training
from world_models.runs.weights import model_of
from world_models.search.evolution import Evolution
from world_models.search.noise import next_samples
from world_models.search.search import Search
from world_models.search.stored import load_search, require_replayed
from world_models.worlds.latent import world_of
from world_models.worlds.pixel import load_pixel_predictor
from world_models.worlds.tokenizing import load_tokenizer


class Small(torch.nn.Linear):
    """A model of eight weights."""

    def __init__(self, inputs: int = 3, outputs: int = 2) -> None:
        super().__init__(inputs, outputs)
        self.config = {"inputs": inputs, "outputs": outputs}


def training(by_steps: bool) -> Training[Small]:
    torch.manual_seed(0)
    model = Small()
    kind = torch.optim.Adam if by_steps else torch.optim.RMSprop
    optimizer = kind(model.parameters(), lr=0.1)
    scheduler = warmup_cosine(optimizer, 20, 0.2) if by_steps else plateau(optimizer, 0.5, 1)
    average = Average(model, 0.9) if by_steps else None
    carried = () if by_steps else (torch.zeros(2, 4),)
    stopper = EarlyStopping(3)
    return Training("toy", model, optimizer, scheduler, stopper, average=average, carried=carried)


def a_run(path: Path) -> Run:
    manifest = {"stage": "toy", "inputs": RUN["inputs"]}
    return Run(path, 0, Device.cpu, Backend.gymnasium, SPEC, manifest=manifest)


def last(by_steps: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        run, begun, log = a_run(folder), training(by_steps), MetricsLog(folder)
        for step in range(6):
            x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
            loss = begun.model(x).square().mean()
            begun.update(loss, {"loss": loss}, log)
            if not by_steps and step == 3:
                begun.end_epoch(float(loss.detach()))
        begun.save(run, log)
        return begun.last(run)

    return make


def seen_of_last(by_steps: bool) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        run, begun = a_run(path.parents[1]), training(by_steps)
        offsets = begun.resume(run)
        state = [begun.model.state_dict(), begun.optimizer.state_dict(), begun.stopper.state_dict()]
        place = [begun.epoch, begun.batch, begun.step, begun.window, begun.carried, begun.names]
        schedule = begun.scheduler.state_dict()
        schedule.pop("_last_lr")
        schedule.pop("_step_count", None)
        average = None if begun.average is None else begun.average.state_dict()
        return plain([offsets, state, place, schedule, average])

    return read


def plain(value: Any) -> Any:
    """Tensors as bytes, so that two can be compared."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if callable(value) or isinstance(value, float) else value


def trained_content(model: Any) -> dict[str, Any]:
    content = {"config": model.config, "model": model.state_dict(), "epoch": 2, "step": 9}
    return {**content, "inputs": RUN["inputs"], "validation": {"loss": 1.0}}


def mdrnn(folder: Path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(folder / "best.pt", "mdrnn", trained_content(MDRNN(2, 1, 3, 2)))
    return folder / "best.pt"


def seen_of_mdrnn(path: Path) -> Any:
    state = load_checkpoint(path, "mdrnn", fields=Trained)
    model = model_of(MDRNN, state, path)
    return plain([model.state_dict(), model.config, state["step"], state["epoch"]])


def pixel(folder: Path) -> Path:
    torch.manual_seed(0)
    model = PixelUNet(3, 3, context=2, past_actions=1, widths=[4, 4], condition=4)
    facts = {"architecture": "pixel_unet", "env": SPEC.to_dict(), "val_ratio": None}
    facts |= {"view": {"size": None, "grayscale": False}, "total_steps": 9}
    facts |= {"baselines": {"mean": torch.rand(3, 16, 16), "fade": torch.rand(4)}}
    save_checkpoint(folder / "best.pt", "pixel", {**trained_content(model), **facts})
    return folder / "best.pt"


def seen_of_pixel(path: Path) -> Any:
    found = load_pixel_predictor(path)
    facts = [found.env, found.view, found.val_ratio, found.step, found.model.config]
    return plain([found.model.state_dict(), found.mean, found.fade, facts])


def tokenizer(folder: Path) -> Path:
    model = PatchTokenizer(3, 16, patch_size=4, vocabulary=20)
    model.fit(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    facts = {"architecture": "patch", "env": SPEC.to_dict()}
    save_checkpoint(folder / "best.pt", "tokenizer", {**trained_content(model), **facts})
    return folder / "best.pt"


def seen_of_tokenizer(path: Path) -> Any:
    found = load_tokenizer(path, SPEC)
    tokens = found.encode(torch.zeros(1, 3, 16, 16))
    return plain([found.state_dict(), tokens, found.decode(tokens)])


OPTIONS = {
    "pop_size": 4, "sigma0": 0.5, "diagonal": False, "imitate": False,
    "features": "zh", "hidden_units": 0, "latent": "mean",
}  # fmt: skip


def begun_search() -> Search:
    return Search(Evolution(np.zeros(3), pop_size=4, sigma0=0.5, seed=0))


def search(folder: Path) -> Path:
    found = begun_search()
    for generation in range(3):
        vectors = found.ask()
        returns = -np.square(vectors - 1).sum(1, keepdims=True).repeat(2, 1)
        found.tell(returns + generation, 10, 1.0)
        found.offer(found.mean, float(returns.max()))
        found.tested = generation + 1
    place = {"inputs": RUN["inputs"], "csv_offsets": {"metrics": 3}}
    save_checkpoint(folder / "last.pt", "controller", {"search": OPTIONS, **found.state(), **place})
    return folder / "last.pt"


def seen_of_search(path: Path) -> Any:
    state, found = load_search(path), begun_search()
    if state["search"] != OPTIONS or len(state["start"]) != 3:
        raise ValueError(f"{path} is a search of other options")
    found.restore(state)
    require_replayed(found.evolution.mean, state, path)
    return plain([used_of(found), state["csv_offsets"]])


def used_of(found: Search) -> dict[str, Any]:
    """What a search goes on with: of returns their order, of reliability what follows from it."""
    state = found.state()
    for segment in state["segments"]:
        segment["history"] = [np.argsort(returns).tolist() for returns in segment["history"]]
    state["reliability"] = next_samples(found.samples, found.reliability, 16, 0.5, 1)
    return state


def agent(folder: Path) -> Path:
    torch.manual_seed(0)
    spec = EnvSpec(**{**vars(SPEC), "preprocessing": Preprocessing((0, 0, 0, 0), 64, True)})
    world = world_of(ConvVAE(1, 2), MDRNN(2, 3, 3, 2), spec, _inputs(), "here")
    parameters = num_parameters(**world.controller_config)
    Agent(world, {"best": np.ones(parameters, np.float32)}).save(folder / "agent.pt", half=True)
    return folder / "agent.pt"


def _inputs() -> Any:
    return importlib.import_module("world_models.models.controller").ControllerInputs()


def seen_of_agent(path: Path) -> Any:
    found = load_agent(path)
    parts = [found.world.vae.state_dict(), found.world.mdrnn.state_dict(), found.controllers]
    return plain(parts[:2]), {k: v.tolist() for k, v in found.controllers.items()}, found.env
