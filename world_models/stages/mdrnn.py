"""Stage mdrnn: train M, the mixture-density RNN, on the latents of V."""

import logging
from dataclasses import dataclass, field

import numpy as np
import torch

from world_models.agents.agent import WorldModel, load_world_model
from world_models.data.batch import LatentBatch
from world_models.data.datasets import LatentSequenceDataset, batches
from world_models.data.latents import LatentStore
from world_models.data.store import EpisodeRow, EpisodeStore
from world_models.envs.make import EnvSpec
from world_models.losses import mdrnn_loss
from world_models.models.mdrnn import MDRNN
from world_models.runs import seeding
from world_models.runs.folder import BUDGET, RUNTIME, Run
from world_models.runs.lineage import input_of
from world_models.runs.media import labelled_rows, save_png, save_video, side_by_side
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.schedule import EarlyStopping, plateau
from world_models.runs.training import Training

log = logging.getLogger(__name__)

TERMS = ("loss", "gmm", "bce", "mse")


@dataclass
class MDRNNConfig:
    """An epoch is as many windows of `seq_len` steps as tile the training episodes once; `grad_clip` is a norm (0: off)."""

    hidden_size: int = 256
    gmm_components: int = 5
    batch_size: int = 16
    seq_len: int = 32
    num_epochs: int = field(default=30, metadata=BUDGET)
    learning_rate: float = 1e-3
    include_reward: bool = True
    grad_clip: float = 1.0
    scheduler_patience: int = 5
    scheduler_factor: float = 0.5
    early_stopping_patience: int = 30
    sample_interval: int = field(default=5, metadata=RUNTIME)
    checkpoint_interval: int = field(default=500, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive("stage", self, "hidden_size", "gmm_components", "batch_size", "seq_len", "num_epochs")
        require_positive(
            "stage", self, "learning_rate", "early_stopping_patience", "sample_interval", "checkpoint_interval"
        )


def execute(cfg: MDRNNConfig, run: Run) -> None:
    """Train on the upstream VAE's latents; leaves `best.pt` and a dream beside the truth."""
    store, latents = open_latents(run)
    space = EnvSpec.from_dict(run.env).action_space
    train = LatentSequenceDataset(store, latents, "train", cfg.seq_len, to_model=space.to_model)
    validation = LatentSequenceDataset(store, latents, "validation", cfg.seq_len, cfg.seq_len, to_model=space.to_model)
    if not len(validation):
        log.warning("the episodes have no validation split: the training windows are watched instead")
        validation = LatentSequenceDataset(store, latents, "train", cfg.seq_len, cfg.seq_len, to_model=space.to_model)
    training = build(cfg, run, latents.latent_size, space.size)
    metrics = run.metrics(training.resume(run))
    windows = len(LatentSequenceDataset(store, latents, "train", cfg.seq_len, cfg.seq_len, to_model=space.to_model))
    with ProgressBar("mdrnn", cfg.num_epochs * -(-windows // cfg.batch_size), training.step, "windows") as bar:
        while training.epoch < cfg.num_epochs and not training.stopper.should_stop:
            train_epoch(cfg, run, training, train, windows, metrics, bar)
            finish_epoch(cfg, run, training, validation, metrics)
    show_dream(run, store)


def open_latents(run: Run) -> tuple[EpisodeStore, LatentStore]:
    """The upstream VAE's latents and the episodes they were made from, every byte checked."""
    assert run.upstream is not None
    vae = run.upstream / "checkpoints" / "best.pt"
    vae_hash = run.add_input("vae", vae)
    manifest = input_of(run.upstream, "episodes")
    run.add_input("episodes", manifest)
    store = EpisodeStore.open(manifest.parent)
    latents = LatentStore.open(run.upstream / "latents", vae=vae_hash, data=store.digest())
    store.verify()
    latents.verify()
    return store, latents


def build(cfg: MDRNNConfig, run: Run, latent_size: int, action_size: int) -> Training:
    """Model, optimizer and schedules at step 0."""
    with seeding.seeded_weights(run.seed, "mdrnn", "weights"):
        model = MDRNN(latent_size, action_size, cfg.hidden_size, cfg.gmm_components)
    model = model.to(run.device.value)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=cfg.learning_rate, alpha=0.9)
    scheduler = plateau(optimizer, cfg.scheduler_factor, cfg.scheduler_patience)
    return Training("mdrnn", model, optimizer, scheduler, EarlyStopping(cfg.early_stopping_patience))


def train_epoch(
    cfg: MDRNNConfig,
    run: Run,
    training: Training,
    data: LatentSequenceDataset,
    windows: int,
    metrics: MetricsLog,
    bar: ProgressBar,
) -> None:
    """What is left of the current epoch."""
    training.model.train()
    order = batches(len(data), cfg.batch_size, seed=run.seed, epoch=training.epoch, start=training.batch, count=windows)
    for indices in order:
        draw = seeding.torch_generator(run.seed, "mdrnn", "noise", training.step, device=run.device.value)
        loss, terms = loss_terms(training.model, data.__getitems__(indices), cfg, run, draw)
        training.update(loss, {"loss": loss, **terms}, metrics, cfg.grad_clip)
        bar.advance(1, len(indices), f"epoch {training.epoch + 1}")
        if training.step % cfg.checkpoint_interval == 0:
            training.save(run, metrics)


def loss_terms(
    model: torch.nn.Module, batch: LatentBatch, cfg: MDRNNConfig, run: Run, draw: torch.Generator
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """M's loss on latents resampled from V's posterior: pairs (z_t, a_t) -> z_{t+1}, reward_t, done_t."""
    batch = batch.to(run.device.value)
    noise = torch.randn(batch.mu.shape, generator=draw, device=batch.mu.device)
    latents = batch.mu + batch.logsigma.exp() * noise
    outputs = model(batch.actions, latents[:-1])
    return mdrnn_loss(outputs, latents[1:], batch.rewards, batch.terminated, batch.mask, cfg.include_reward)


def finish_epoch(
    cfg: MDRNNConfig, run: Run, training: Training, data: LatentSequenceDataset, metrics: MetricsLog
) -> None:
    """Validate, keep the best, save."""
    training.write_timing(metrics)
    validation = validate(cfg, run, training, data)
    metrics.write("val_metrics", {"epoch": training.epoch + 1, "step": training.step, **validation})
    log.info("epoch %d: validation loss %.4f (gmm %.3f, bce %.4f, mse %.4f)", training.epoch + 1, *validation.values())
    if training.end_epoch(validation["loss"]):
        training.save_best(run, validation)
    training.save(run, metrics)


@torch.inference_mode()
def validate(cfg: MDRNNConfig, run: Run, training: Training, data: LatentSequenceDataset) -> dict[str, float]:
    """Means over all steps of the windows; the noise is the same in every epoch."""
    training.model.eval()
    sums, steps = dict.fromkeys(TERMS, 0.0), 0.0
    draw = seeding.torch_generator(run.seed, "mdrnn", "validation", device=run.device.value)
    for indices in batches(len(data), 64, seed=0, epoch=0, shuffle=False):
        batch = data.__getitems__(indices)
        loss, terms = loss_terms(training.model, batch, cfg, run, draw)
        weight = float(batch.mask.sum())
        steps += weight
        for name, value in {"loss": loss, **terms}.items():
            sums[name] += float(value) * weight
    return {name: value / steps for name, value in sums.items()}


@dataclass(frozen=True)
class Span:
    """A stretch of an episode: M sees `context` frames before `start`, then dreams `horizon` frames."""

    row: EpisodeRow
    start: int
    context: int
    horizon: int


def show_dream(run: Run, store: EpisodeStore) -> None:
    """What happened, what V keeps of it, and M's open-loop dream of it with the same actions."""
    assert run.upstream is not None
    vae = run.upstream / "checkpoints" / "best.pt"
    world = load_world_model(vae, run.best, EnvSpec.from_dict(run.env), run.device.value)
    span = liveliest(store, store.episodes("validation") or store.rows)
    panels = dream_panels(world, store, span, run.seed)
    picks = np.unique(np.linspace(0, span.horizon - 1, 10).astype(int))
    strip = labelled_rows({name: frames[picks] for name, frames in panels.items()})
    save_png(run.path / "images" / "dream.png", strip)
    save_video(run.path / "videos" / "dream.mp4", side_by_side(panels), fps=15)


def liveliest(store: EpisodeStore, rows: list[EpisodeRow]) -> Span:
    """The stretch whose frames change most (mean standard deviation over time), of ten in each episode."""
    spans = [span for row in rows for span in _spans(row)]
    return max(spans, key=lambda span: _frames(store, span, span.start)[::5].std(0).mean())


def _spans(row: EpisodeRow) -> list[Span]:
    context = min(60, max(1, row.length // 3))
    horizon = min(50, row.length - context) or 1
    starts = np.unique(np.linspace(context, max(context, row.length - horizon), 10).astype(int))
    return [Span(row, int(start), context, horizon) for start in starts]


def _frames(store: EpisodeStore, span: Span, first: int) -> np.ndarray:
    return np.asarray(store.episode(span.row).frames[first : span.start + span.horizon])


def dream_panels(world: WorldModel, store: EpisodeStore, span: Span, seed: int) -> dict[str, np.ndarray]:
    """Frames (horizon, H, W, C) uint8: the truth, its reconstruction, the dream."""
    first = span.start - span.context
    frames = _frames(store, span, first)
    actions = np.asarray(store.episode(span.row).actions[first : span.start + span.horizon])
    truth = frames[span.context :]
    dream = world.dream(frames[: span.context], actions, span.horizon, seed=seed)
    return {"truth": truth, "seen by V": world.decode(world.encode(truth)), "dreamt by M": dream}
