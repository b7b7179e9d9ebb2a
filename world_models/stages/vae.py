"""Stage vae: train V, the convolutional VAE, and encode the episodes with it."""

import logging
from dataclasses import dataclass, field

import numpy as np
import torch

from world_models.data.datasets import ObservationDataset, batches, to_float
from world_models.data.latents import encode_store
from world_models.data.store import EpisodeStore
from world_models.losses import vae_terms
from world_models.models.convvae import ConvVAE
from world_models.runs import seeding
from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.device import Precision, autocast
from world_models.runs.files import sha256
from world_models.runs.folder import BUDGET, RUNTIME, Run
from world_models.runs.media import labelled_rows, save_png
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.schedule import EarlyStopping, plateau
from world_models.runs.training import Training

log = logging.getLogger(__name__)


@dataclass
class VAEConfig:
    """Patience counts epochs without a better validation loss; `checkpoint_interval` counts training steps."""

    latent_size: int = 32
    train_batch_size: int = 32
    num_epochs: int = field(default=10, metadata=BUDGET)
    learning_rate: float = 1e-3
    scheduler_patience: int = 5
    scheduler_factor: float = 0.5
    early_stopping_patience: int = 30
    sample_interval: int = field(default=5, metadata=RUNTIME)
    checkpoint_interval: int = field(default=500, metadata=RUNTIME)
    precision: Precision = Precision.auto

    def __post_init__(self) -> None:
        require_positive(
            "stage", self, "latent_size", "train_batch_size", "num_epochs", "learning_rate", "sample_interval"
        )
        require_positive("stage", self, "checkpoint_interval", "early_stopping_patience")


def execute(cfg: VAEConfig, run: Run) -> None:
    """Train on the upstream episodes' train split; leaves `best.pt`, and `latents/` made with it."""
    store = open_episodes(run)
    train, validation = ObservationDataset(store, "train"), ObservationDataset(store, "validation")
    if not len(validation):
        log.warning("the episodes have no validation split: the training frames are watched instead")
    training = build(cfg, run)
    metrics = run.metrics(training.resume(run))
    batches_per_epoch = -(-len(train) // cfg.train_batch_size)
    with ProgressBar("vae", cfg.num_epochs * batches_per_epoch, training.step, "frames") as bar:
        while training.epoch < cfg.num_epochs and not training.stopper.should_stop:
            train_epoch(cfg, run, training, train, metrics, bar)
            finish_epoch(cfg, run, training, validation if len(validation) else train, metrics)
    model = best_model(run)
    save_pictures(run, model, validation if len(validation) else train, "reconstructions")
    encode_episodes(run, model, store)


def open_episodes(run: Run) -> EpisodeStore:
    """The upstream's episodes, every byte checked; frames that V cannot take are refused."""
    assert run.upstream is not None
    store = EpisodeStore.open(run.upstream / "episodes")
    run.add_input("episodes", run.upstream / "episodes" / "manifest.json")
    store.verify()
    size = run.env["preprocessing"]["size"]
    if size != 64:
        raise ValueError(f"stage=vae takes 64x64 frames and these are {size}x{size}: collect episodes with env.size=64")
    return store


def build(cfg: VAEConfig, run: Run) -> Training:
    """Model, optimizer and schedules at step 0."""
    channels = 1 if run.env["preprocessing"]["grayscale"] else 3
    with seeding.seeded_weights(run.seed, "vae", "weights"):
        model = ConvVAE(channels, cfg.latent_size)
    model = model.to(run.device.value, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.learning_rate, fused=True)
    scheduler = plateau(optimizer, cfg.scheduler_factor, cfg.scheduler_patience)
    return Training("vae", model, optimizer, scheduler, EarlyStopping(cfg.early_stopping_patience))


def train_epoch(
    cfg: VAEConfig, run: Run, training: Training, data: ObservationDataset, metrics: MetricsLog, bar: ProgressBar
) -> None:
    """What is left of the current epoch."""
    training.model.train()
    for indices in batches(len(data), cfg.train_batch_size, seed=run.seed, epoch=training.epoch, start=training.batch):
        draw = seeding.torch_generator(run.seed, "vae", "noise", training.step, device=run.device.value)
        terms = loss_terms(training.model, data.__getitems__(indices), cfg, run, draw)
        training.update(terms["loss"], terms, metrics)
        bar.advance(1, len(indices), f"epoch {training.epoch + 1}")
        if training.step % cfg.checkpoint_interval == 0:
            training.save(run, metrics)


def loss_terms(
    model: torch.nn.Module, frames: torch.Tensor, cfg: VAEConfig, run: Run, draw: torch.Generator
) -> dict[str, torch.Tensor]:
    """Loss, reconstruction and KL in nats per frame, for frames (B, H, W, C) uint8."""
    x = to_float(frames, run.device.value)
    with autocast(cfg.precision, run.device):
        recon, mu, logsigma = model(x, generator=draw)
    reconstruction, kl = vae_terms(recon.float(), x, mu.float(), logsigma.float())
    terms = {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}
    return {name: term / len(frames) for name, term in terms.items()}


def finish_epoch(cfg: VAEConfig, run: Run, training: Training, data: ObservationDataset, metrics: MetricsLog) -> None:
    """Validate, keep the best, save."""
    training.write_timing(metrics)
    validation = validate(cfg, run, training, data)
    metrics.write("val_metrics", {"epoch": training.epoch + 1, "step": training.step, **validation})
    log.info("epoch %d: validation loss %.2f (reconstruction %.2f, KL %.2f)", training.epoch + 1, *validation.values())
    if training.end_epoch(validation["loss"]):
        training.save_best(run, validation)
    if training.epoch % cfg.sample_interval == 0:
        save_pictures(run, training.model, data, f"reconstructions_{training.epoch:04d}")
    training.save(run, metrics)


@torch.inference_mode()
def validate(cfg: VAEConfig, run: Run, training: Training, data: ObservationDataset) -> dict[str, float]:
    """Mean terms over all frames; the noise is the same in every epoch."""
    training.model.eval()
    sums: dict[str, float] = {"loss": 0.0, "reconstruction": 0.0, "kl": 0.0}
    draw = seeding.torch_generator(run.seed, "vae", "validation", device=run.device.value)
    for indices in batches(len(data), 256, seed=0, epoch=0, shuffle=False):
        terms = loss_terms(training.model, data.__getitems__(indices), cfg, run, draw)
        for name in sums:
            sums[name] += float(terms[name]) * len(indices)
    return {name: value / len(data) for name, value in sums.items()}


@torch.inference_mode()
def save_pictures(run: Run, model: torch.nn.Module, data: ObservationDataset, name: str) -> None:
    """Originals above their reconstructions (from the mean latent)."""
    model.eval()
    frames = data.__getitems__(np.linspace(0, len(data) - 1, 10).astype(int))
    mu, _ = model.encoder(to_float(frames, run.device.value))  # type: ignore[operator]
    recon = model.decoder(mu).permute(0, 2, 3, 1)  # type: ignore[operator]
    pictures = (recon * 255).round().to(torch.uint8).cpu().numpy()
    save_png(run.path / "images" / f"{name}.png", labelled_rows({"frame": frames.numpy(), "reconstruction": pictures}))


def best_model(run: Run) -> ConvVAE:
    """V with the weights of the best epoch."""
    state = load_checkpoint(run.best, "vae", run.device.value)
    model = ConvVAE(**state["config"]).to(run.device.value, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.load_state_dict(state["model"])
    return model.eval()


def encode_episodes(run: Run, model: ConvVAE, store: EpisodeStore) -> None:
    """Write mu and logsigma of every frame, keyed by the hashes of V and of the data."""

    @torch.inference_mode()
    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return model.encoder(to_float(frames, run.device.value))

    key = {"vae": sha256(run.best), "data": store.digest()}
    rows = store.num_frames(None) + len(store.rows) * (not store.has_final_frame)
    with ProgressBar("latents", rows, 0, "frames") as bar:
        encode_store(encode, store, run.path / "latents", key, progress=bar.advance)
