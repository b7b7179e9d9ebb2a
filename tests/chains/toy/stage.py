"""Stage toy: a sum over the episodes that it is fed with, a step at a time."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from world_models.config.stage import Product, Setting, Stage
from world_models.data.store import EpisodeStore
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.files import write_json
from world_models.runs.run import BUDGET, PATH, Run

log = logging.getLogger(__name__)


@dataclass
class ToyConfig:
    """`steps` rows, each `scale` times the mean length of
    the episodes and the number of the step.
    """

    scale: float = 1.0
    steps: int = field(default=3, metadata=BUDGET)
    source: str | None = field(default=None, metadata=PATH)


def resolve(cfg: ToyConfig, setting: Setting) -> ToyConfig:
    if cfg.scale == 0:
        raise ValueError(f"stage.scale is 0: {setting.env.id} would come to nothing")
    return cfg


def execute(cfg: ToyConfig, run: Run) -> None:
    fed_by_toy = run.feeder.stage == "toy"
    episodes = run.feeder.input("episodes") if fed_by_toy else episodes_of(run)
    run.add_input("episodes", episodes)
    rows = EpisodeStore.at(episodes).rows
    mean = sum(row.length for row in rows) / len(rows)
    state = load_checkpoint(run.last, "toy") if run.last.is_file() else None
    metrics = run.metrics(None if state is None else state["csv_offsets"])
    for step in range(0 if state is None else state["step"], cfg.steps):
        metrics.write("metrics", {"step": step + 1, "loss": cfg.scale * mean * (step + 1)})
        save_checkpoint(run.last, "toy", {"step": step + 1, "csv_offsets": metrics.offsets})
        tick(step)
    write_json(run.path / "toy.json", {"score": cfg.scale * mean * cfg.steps + run.seed})


def episodes_of(run: Run) -> Path:
    return run.feeder.path / "episodes" / "manifest.json"


def tick(step: int) -> None:
    """Where a test may break the run off."""


STAGE = Stage(
    "toy",
    ToyConfig,
    execute,
    needs=("rollout", "toy"),
    gives=Product("toy", "toy.json"),
    resolve=resolve,
    evaluated_by="toy",
)
