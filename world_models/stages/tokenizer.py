"""Stage tokenizer: train what turns frames into tokens, and encode the episodes with it."""

import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from pydantic import Field

from world_models.config.stage import Product, Setting, Stage
from world_models.data.datasets import ObservationDataset, to_float
from world_models.data.loading import upstream_episodes
from world_models.figures.media import labelled_rows, save_png
from world_models.learning.tokenizer import GradientLearner, build
from world_models.learning.tokenizer_config import TokenizerLearning
from world_models.learning.tokenizer_learner import KIND, TokenizerLearner, encode_episodes
from world_models.measures.codebook import copy_row, tokenizer_quality
from world_models.measures.codebook_pictures import codes_in_use, redrawn
from world_models.measures.rows import BaselineRow
from world_models.measures.tokenizer_rows import TokenizerRow, TokenizerStepRow
from world_models.measures.vision import HeldOut
from world_models.measures.vision_baselines import Sample, baselines
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs import ranks
from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.files import sha256, write_json
from world_models.runs.metrics import MetricsLog, read_rows
from world_models.runs.numbers import evenly_spaced, require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.resuming import Progress
from world_models.runs.rows import TimingRow, cells
from world_models.runs.run import BUDGET, RUNTIME, Run
from world_models.runs.schedule import until_next

log = logging.getLogger(__name__)

LOOKED_AT = 512
"""Held-out frames of which the codes in use are shown, at most."""
TIMED = 8
"""Updates that are timed, after two that are not, to turn minutes into updates."""


@dataclass
class TokenizerConfig(TokenizerLearning):
    """One of `max_steps`, `num_epochs` and `minutes` says how long vq and fsq learn.

    The rate for `minutes` is measured once, before the first update. patch looks at every training
    frame once, whatever these keys say.
    """

    # updates; null: `num_epochs` or `minutes` counts
    max_steps: int | None = field(default=2000, metadata=BUDGET)
    # passes over the training frames, in place of updates
    num_epochs: int | None = field(default=None, metadata=BUDGET)
    minutes: float | None = None  # of learning, in place of updates
    log_every: int = 50  # updates between two rows of metrics.csv
    val_every_steps: int = 500  # updates between two validations
    # updates between two checkpoints
    checkpoint_interval: int = field(default=200, metadata=RUNTIME)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("stage", self, "max_steps", "num_epochs", "minutes", "log_every")
        require_positive("stage", self, "val_every_steps", "checkpoint_interval")
        if [self.max_steps, self.num_epochs, self.minutes].count(None) != 2:
            raise ValueError(
                "give one of stage.max_steps, stage.num_epochs and stage.minutes, and set the "
                "others to null"
            )


def resolve(cfg: TokenizerConfig, setting: Setting) -> TokenizerConfig:
    """A copy in which `perceptual_weights` is an absolute path; what cannot work is refused."""
    cfg.check(setting.env.preprocessing)
    if cfg.perceptual_weights is None:
        return cfg
    return replace(cfg, perceptual_weights=str(Path(cfg.perceptual_weights).absolute()))


def shared_out(cfg: TokenizerConfig) -> dict[str, int]:
    """See Stage."""
    if not cfg.learns:
        raise ValueError("stage.kind=patch looks at each frame once: start it without torchrun")
    return {"stage.batch_size": cfg.batch_size}


def execute(cfg: TokenizerConfig, run: Run) -> None:
    """Train on the upstream episodes' train split.

    Leaves `best.pt`, how good it is, and `tokens/` made with it.
    """
    store = upstream_episodes(run)
    train = ObservationDataset(store, "train")
    held_out = HeldOut(store, cfg.val_frames)
    learner = build(cfg, run, cfg.log_every)
    table = judge_baselines(run, learner.model, train, held_out) if ranks.is_first() else []
    steps = total_steps(cfg, run, learner, train)
    metrics = run.metrics(learner.resume())
    if "baselines" not in metrics.offsets:
        for row in table:
            metrics.write("baselines", row)
        learner.save(metrics)
    learner.start_clock()
    stops = cfg.val_every_steps, cfg.checkpoint_interval
    with ProgressBar("tokenizer", steps, learner.step, "frames") as bar:
        while learner.step < steps:
            updates = until_next(learner.step, steps, *stops)
            learner.learn(train, updates, metrics, bar)
            judged = learner.step % cfg.val_every_steps == 0 or learner.step == steps
            if judged and ranks.is_first():
                validate(learner, held_out, metrics)
            learner.save(metrics)
    if not ranks.is_first():
        return
    learner.take_best()
    describe(run, learner, held_out, table)
    digest = sha256(learner.best)
    encode_episodes(learner.model, digest, store, run.path / "tokens", run.device.value)


def judge_baselines(
    run: Run, model: Tokenizer, train: ObservationDataset, held_out: HeldOut
) -> list[BaselineRow]:
    """Rows of baselines.csv: PCA of as many numbers as tokens, the mean, the frame before.

    A resumed run has them already.
    """
    known = read_rows(run.path / "baselines.csv", BaselineRow) if run.last.is_file() else []
    if known:
        return known
    rows, columns = model.grid
    sample = Sample(train, run.seed)
    pca = baselines(sample, held_out, rows * columns, run.seed, run.device.value)
    return [*pca, copy_row(held_out)]


class _Planned(Progress):
    total_steps: int = Field(ge=1, lt=1 << 62)


def total_steps(
    cfg: TokenizerConfig, run: Run, learner: TokenizerLearner, data: ObservationDataset
) -> int:
    """How many updates the whole training has; minutes become updates once."""
    if not isinstance(learner, GradientLearner):
        return learner.updates_in(1, data)
    if cfg.minutes is None:
        return cfg.max_steps or learner.updates_in(cfg.num_epochs or 1, data)
    if run.last.is_file():
        steps = int(load_checkpoint(run.last, KIND, fields=_Planned)["total_steps"])
    else:
        own_seconds = seconds_per_step(cfg, run, data)
        seconds = ranks.from_first(lambda: own_seconds)
        steps = max(1, round(60 * cfg.minutes / seconds))
        log.info("%.0f frames/s: %d updates", cfg.batch_size / seconds, steps)
    learner.training.facts["total_steps"] = steps
    return steps


def seconds_per_step(cfg: TokenizerConfig, run: Run, data: ObservationDataset) -> float:
    """Of a tokenizer that learns for a few updates, and is thrown away."""
    trial = GradientLearner(cfg, run, cfg.log_every, part="")
    optimizer = trial.training.optimizer
    clock = []
    for step in range(2 + TIMED):
        indices = torch.arange(step, step + cfg.batch_size).numpy() % len(data)
        part = ranks.part(len(indices))
        x = to_float(data.__getitems__(indices[part.rows]), run.device.value)
        loss, _, _ = trial.loss_terms(x)
        optimizer.zero_grad()
        loss.backward()
        ranks.averaged(trial.model, {}, part.share)
        optimizer.step()
        # waits for a GPU
        loss.item()
        clock.append(time.monotonic())
    return (clock[-1] - clock[1]) / TIMED


def validate(learner: TokenizerLearner, held_out: HeldOut, metrics: MetricsLog) -> None:
    """Judge the tokenizer as it is now: a row, and the best is kept."""
    learner.write_progress(metrics)
    row = replace(learner.judge(held_out).row(), step=learner.step)
    metrics.write("val_metrics", row)
    log.info("step %d: %s", learner.step, log_line(row))
    if learner.improved(row.loss):
        learner.keep(cells(row))
    learner.start_clock()


def log_line(row: TokenizerRow) -> str:
    """A judgement in a line for people."""
    pictures = f"PSNR {row.psnr:.2f} dB, {row.psnr_moving:.2f} of what moves"
    exact = f"{100 * row.exact:.0f} % of the frames exact"
    codes = f"{row.used} codes used, {row.dead} not, perplexity {row.perplexity:.1f}"
    return f"{pictures}, {exact}; {codes}"


def describe(
    run: Run,
    learner: TokenizerLearner,
    held_out: HeldOut,
    table: list[BaselineRow],
) -> None:
    """How good the best tokenizer is: `quality.json`, reconstructions and codes in use."""
    model = learner.model
    rows, columns = model.grid
    kind, found = str(learner.cfg.kind), learner.judge(held_out)
    facts = tokenizer_quality(kind, found, table, rows * columns)
    write_json(run.path / "quality.json", {"split": held_out.split, **facts})
    pictures = redrawn(model, held_out, run.device.value)
    save_png(run.path / "images" / "reconstructions.png", labelled_rows(pictures))
    count = min(LOOKED_AT, len(held_out))
    frames = held_out.data.__getitems__(evenly_spaced(len(held_out), count))
    used = codes_in_use(model, frames, run.device.value)
    save_png(run.path / "images" / "codes.png", labelled_rows(used))


STAGE = Stage(
    "tokenizer",
    TokenizerConfig,
    execute,
    needs=("rollout",),
    needs_or_named=("rem",),
    gives=Product("tokenizer", "checkpoints/best.pt"),
    tables={
        "metrics": TokenizerStepRow,
        "val_metrics": TokenizerRow,
        "baselines": BaselineRow,
        "timing": TimingRow,
    },
    resolve=resolve,
    shared_out=shared_out,
)
