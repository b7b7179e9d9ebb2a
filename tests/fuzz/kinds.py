"""The kinds of files that we read back: how each is made, and what a reader sees of it."""

import importlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz.mutations import with_odd_bytes, with_odd_field

from world_models.agents.agent import Agent, load_agent
from world_models.data.episode import TERMINATED, Episode
from world_models.data.interchange.hdf5 import Hdf5Source, export
from world_models.data.interchange.recording import Alignment
from world_models.data.latents import LatentStore, encode_store
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.envs.actions import ActionSpace
from world_models.envs.config import Backend
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.controller import num_parameters
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN
from world_models.models.pixel_unet import PixelUNet
from world_models.runs.checkpoint import Trained, load_checkpoint, save_checkpoint
from world_models.runs.device import Device
from world_models.runs.files import sha256
from world_models.runs.folder import read_manifest
from world_models.runs.manifest import require_resumable
from world_models.runs.metrics import MetricsLog, read_rows
from world_models.runs.past import PastRun
from world_models.runs.rows import TimingRow
from world_models.runs.run import Run
from world_models.runs.schedule import EarlyStopping, plateau, warmup_cosine
from world_models.runs.sweeps import Sweep, read_sweep, write_sweep
from world_models.runs.training import Average, Training
from world_models.runs.weights import model_of
from world_models.search.evolution import Evolution
from world_models.search.search import Search
from world_models.search.space import SearchSpace
from world_models.search.stored import load_search, require_replayed
from world_models.worlds.latent import world_of
from world_models.worlds.pixel import load_pixel_predictor

SPEC = EnvSpec(
    "Counting-v0", {}, Preprocessing((0, 0, 0, 0), 16, False), 1,
    ActionSpace("discrete", 3, (), (), ()), 50,
)  # fmt: skip
VAE = "0" * 64
Change = Callable[[Path, random.Random], str]


@dataclass(frozen=True)
class Kind:
    """A kind of file: who makes one in a folder, what a reader sees of it, how it is damaged."""

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    changes: tuple[Change, ...]


def bytes_changed(path: Path, draw: random.Random) -> str:
    what, content = with_odd_bytes(path.read_bytes(), draw)
    path.write_bytes(content)
    return what


def fields_changed(*fixed: str) -> Change:
    def change(path: Path, draw: random.Random) -> str:
        what, content = with_odd_field(json.loads(path.read_text()), draw, fixed)
        path.write_text(json.dumps(content))
        return what

    return change


def tensors_changed(*fixed: str) -> Change:
    def change(path: Path, draw: random.Random) -> str:
        what, content = with_odd_field(torch.load(path, weights_only=True), draw, fixed)
        torch.save(content, path)
        return what

    return change


def lines_changed(path: Path, draw: random.Random) -> str:
    """A cell or a line of a table is taken away, doubled, or is no number."""
    lines = path.read_text().splitlines()
    number = draw.randrange(1, len(lines))
    cells = lines[number].split(",")
    cells[draw.randrange(len(cells))] = draw.choice(["", "text", "1,2", '"', "0x1", "\x00"])
    lines[number] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return f"line {number}: {lines[number]}"


def store(folder: Path) -> EpisodeStore:
    writer = StoreWriter(
        folder / "episodes",
        {
            "env": SPEC.to_dict(),
            "backend": "gymnasium",
            "policy": "counting",
            "seed": 0,
            "versions": {"numpy": "1"},
            "has_final_frame": True,
        },
    )
    for shard, lengths in enumerate([(5, 3), (4, 6)]):
        episodes = [episode(10 * shard + number, length) for number, length in enumerate(lengths)]
        writer.write_shard(shard, episodes, ["train", "validation"])
    writer.finish()
    return EpisodeStore.open(folder / "episodes")


def episode(seed: int, length: int) -> Episode:
    steps = np.arange(length + 1)
    frames = np.full((length + 1, 16, 16, 3), seed, np.uint8) + steps[:, None, None, None]
    done = np.zeros(length + 1, np.uint8)
    done[-2] = TERMINATED
    rewards = np.where(steps == length, 0, steps).astype(np.float32)
    actions = np.where(steps == length, 0, steps % 3)
    return Episode(seed, frames.astype(np.uint8), actions, rewards, done)


def seen_of_store(path: Path) -> Any:
    found = EpisodeStore.open(path.parent)
    found.require_layouts()
    found.verify()
    return found.rows, found.env, found.shards(), found.has_final_frame


def store_of_a_run(folder: Path) -> Path:
    """A store on which a run was built, whose manifest has its hash."""
    path = store(folder).folder / "manifest.json"
    entry = {"kind": "episodes", "path": "../episodes/manifest.json", "sha256": sha256(path)}
    (folder / "vae").mkdir()
    (folder / "vae/manifest.json").write_text(json.dumps({**RUN, "inputs": [entry]}))
    return path


def seen_of_the_runs_store(path: Path) -> Any:
    found = EpisodeStore.at(PastRun(path.parents[1] / "vae").input("episodes"))
    found.verify()
    return found.rows, [found.episode(row).frames.tobytes() for row in found.rows]


def seen_of_a_shard(path: Path) -> Any:
    return seen_of_the_runs_store(path.parent / "manifest.json")


def shard(folder: Path) -> Path:
    return store_of_a_run(folder).parent / "shard_00001_rewards.npy"


def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = frames.float().flatten(1)[:, :2]
    return flat, flat * 0


def latents(folder: Path) -> Path:
    return encode_store(encode, store(folder), folder / "latents", VAE)


def seen_of_latents(path: Path) -> Any:
    episodes = EpisodeStore.open(path.parents[1] / "episodes")
    found = LatentStore.open(path.parent, VAE, episodes)
    found.verify()
    return [part.tobytes() for number in found.shards() for part in found.arrays(number)]


def mark(folder: Path) -> Path:
    path = store(folder).folder
    (path / "manifest.json").unlink()
    return path / "shard_00000.json"


def seen_of_marks(path: Path) -> Any:
    manifest = {"has_final_frame": True, "env": SPEC.to_dict(), "backend": "g", "policy": "c"}
    writer = StoreWriter(path.parent, {**manifest, "seed": 0, "versions": {}})
    writer.finished_shards()
    return EpisodeStore.at(writer.finish()).rows


RUN: dict[str, Any] = {
    "schema": 1,
    "stage": "vae",
    "status": "finished",
    "created": "2026-01-01T00:00:00",
    "ended": "2026-01-01T01:00:00",
    "experiment": None,
    "env": SPEC.to_dict(),
    "seed": 0,
    "device": "cpu",
    "backend": "gymnasium",
    "inputs": [{"kind": "episodes", "path": "../a.json", "sha256": "0" * 64}],
    "resumed": [{"at": "2026-01-01", "overrides": ["threads=1"], "device": "cpu"}],
    "upstream": None,
    "threads": 1,
    "versions": {"python": "3.11"},
    "machine": {"cores": 2},
    "git": None,
    "choices": {"env": "pellet", "env_keys": []},
    "wall_seconds": 1.0,
}


def run_manifest(folder: Path) -> Path:
    (folder / "manifest.json").write_text(json.dumps(RUN))
    return folder / "manifest.json"


def seen_of_run(path: Path) -> Any:
    past = PastRun(path.parent)
    require_resumable(past.manifest, past.path)
    keys = ("inputs", "resumed", "upstream", "choices", "experiment", "threads")
    return past.stage, past.status, past.env, past.parts, [past.manifest[key] for key in keys]


def sweep_file(folder: Path) -> Path:
    jobs = [[f"seed={seed}", "stage=vae"] for seed in range(3)]
    write_sweep(
        folder, Sweep("2026-01-01", ["python"], ".", ["hydra/launcher=basic"], ["seed"], jobs)
    )
    return folder / "sweep.json"


def table(folder: Path) -> Path:
    """A table of a run that ended, with its checksum in the manifest."""
    manifest = {**RUN, "tables": []}
    run = Run(folder, 0, Device.cpu, Backend.gymnasium, SPEC, manifest=manifest)
    with run.recording():
        log = run.metrics(None)
        for step in range(8):
            log.write("timing", TimingRow(step=step, seconds=step / 3, rate=2.0))
    return folder / "timing.csv"


def seen_of_table(path: Path) -> Any:
    return read_rows(path, TimingRow)


def seen_of_table_of_a_run(path: Path) -> Any:
    manifest = read_manifest(path.parent)
    run = Run(path.parent, 0, Device.cpu, Backend.gymnasium, SPEC, manifest=manifest)
    with run.recording():
        return read_rows(path, TimingRow)


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


OPTIONS = {
    "pop_size": 4, "sigma0": 0.5, "diagonal": False, "components": None, "imitate": False,
    "features": "zh", "hidden_units": 0, "latent": "mean",
}  # fmt: skip


def begun_search() -> Search:
    return Search(SearchSpace(np.zeros(3)), Evolution(np.zeros(3), pop_size=4, sigma0=0.5, seed=0))


def search(folder: Path) -> Path:
    found = begun_search()
    for generation in range(3):
        vectors = found.ask()
        returns = -np.square(vectors - 1).sum(1, keepdims=True).repeat(2, 1)
        found.tell(returns + generation, 10, 1.0)
        found.offer(found.mean, float(returns.max()), 4, 2)
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
    return plain([found.state(), state["csv_offsets"]])


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


def hdf5(folder: Path) -> Path:
    list(export(store(folder), folder / "episodes.h5", Alignment.pre))
    shutil.rmtree(folder / "episodes")
    return folder / "episodes.h5"


def seen_of_hdf5(path: Path) -> Any:
    source = Hdf5Source(path, None, None)
    found = [vars(source.read(number)) for number in range(len(source))]
    rows = [
        [
            value.tobytes() if isinstance(value, np.ndarray) else value
            for name, value in row.items()
            if name != "place"
        ]
        for row in found
    ]
    return source.alignment, str(source.origin), source.has_final_frame, rows


FACTS = ("versions", "validation", "machine", "git", "kwargs")
"""Below these keys lies what is shown and not used."""
KINDS = [
    Kind("store manifest", store_of_a_run, seen_of_store, (fields_changed(*FACTS),)),
    Kind("store manifest, bytes", store_of_a_run, seen_of_the_runs_store, (bytes_changed,)),
    Kind("shard", shard, seen_of_a_shard, (bytes_changed,)),
    Kind("commit mark", mark, seen_of_marks, (fields_changed(*FACTS, "crc32"),)),
    Kind("latents", latents, seen_of_latents, (fields_changed(), bytes_changed)),
    Kind("run manifest", run_manifest, seen_of_run, (fields_changed(*FACTS, "max_episode_steps"),)),
    Kind("sweep.json", sweep_file, lambda path: read_sweep(path.parent), (fields_changed(),)),
    Kind("table", table, seen_of_table, (lines_changed,)),
    Kind("table of a run", table, seen_of_table_of_a_run, (lines_changed, bytes_changed)),
    Kind("best.pt of M", mdrnn, seen_of_mdrnn, (tensors_changed(*FACTS), bytes_changed)),
    Kind("best.pt of pixel", pixel, seen_of_pixel, (tensors_changed(*FACTS), bytes_changed)),
    Kind("last.pt by steps", last(True), seen_of_last(True), (tensors_changed(), bytes_changed)),
    Kind("last.pt by epochs", last(False), seen_of_last(False), (tensors_changed(), bytes_changed)),
    Kind("last.pt of a search", search, seen_of_search, (tensors_changed(), bytes_changed)),
    Kind("agent.pt", agent, seen_of_agent, (tensors_changed(*FACTS), bytes_changed)),
    Kind("HDF5", hdf5, seen_of_hdf5, (bytes_changed,)),
]  # fmt: skip
