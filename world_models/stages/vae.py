"""Stage vae: train V, the convolutional VAE, and encode the episodes with it."""

import logging
import time
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from world_models.config.stage import Product, Setting, Stage
from world_models.data.datasets import ObservationDataset, batches, to_float
from world_models.data.latents import encode_store
from world_models.data.loading import upstream_episodes
from world_models.data.store import EpisodeStore
from world_models.figures.media import labelled_rows, save_png
from world_models.losses import rarity, vae_loss
from world_models.measures.blobs import ALL, blob_pictures, drawers_of, judge_blobs
from world_models.measures.rare import rare_beside, rare_in, vision_rows
from world_models.measures.rows import BaselineRow, VisionRow
from world_models.measures.vision import HeldOut, Judgement, moving_pixels, quality
from world_models.measures.vision_baselines import Sample, baselines, fit_pca, mean_picture
from world_models.measures.vision_pictures import (
    prior_samples,
    reconstructions,
    striking,
    traversals,
)
from world_models.models.convvae import IMAGE_SIZE, ConvVAE
from world_models.runs import seeding
from world_models.runs.checkpoint import Trained, load_checkpoint
from world_models.runs.device import Device, Precision, autocast, place
from world_models.runs.files import sha256, write_json
from world_models.runs.metrics import MetricsLog, read_rows
from world_models.runs.numbers import evenly_spaced, require_not_negative, require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import cells
from world_models.runs.run import BUDGET, PATH, RUNTIME, Run
from world_models.runs.schedule import EarlyStopping, Every, check_factor, plateau
from world_models.runs.starting import begin_with, starting_checkpoint
from world_models.runs.training import Training
from world_models.runs.weights import model_of

log = logging.getLogger(__name__)

FRAMES_LOOKED_AT = 64
"""Held-out frames among which one is chosen for the traversals."""

TIMED = 8
"""Steps that are timed, after two that are not, to turn minutes into frames."""


@dataclass
class VAEConfig:
    """A frame's loss is its squared error plus kl_weight * max(KL, kl_tolerance * latent_size).

    It is in nats. The error of a pixel weighs 1 + motion_weight * its distance, 0 to 1, from the
    mean of the training frames: in a scene that stands still, what moves is far from it. Patience
    counts epochs without a better validation loss; `checkpoint_interval` counts training steps.
    Where all epochs would take longer than `minutes`, each reads so many frames fewer, drawn anew:
    their number follows once from the measured rate.
    """

    latent_size: int = 32
    train_batch_size: int = 32
    num_epochs: int = field(default=10, metadata=BUDGET)
    minutes: float | None = None
    learning_rate: float = 1e-3
    kl_weight: float = 0.1  # of the original: 1
    kl_tolerance: float = 0.0  # free bits of each latent, in nats
    motion_weight: float = 0.0
    horizontal_flip: bool = False  # mirror half of the training frames, drawn anew each time
    # vae run folder, or its checkpoint, whose weights are the first ones
    start_from: str | None = field(default=None, metadata=PATH)
    scheduler_patience: int = 5
    scheduler_factor: float = 0.5
    early_stopping_patience: int = 30
    sample_interval: int = field(default=5, metadata=RUNTIME)
    checkpoint_interval: int = field(default=500, metadata=RUNTIME)
    precision: Precision = Precision.auto
    compile: bool = field(default=True, metadata=RUNTIME)  # torch.compile, on cuda only

    def __post_init__(self) -> None:
        require_positive(
            "stage",
            self,
            "latent_size",
            "train_batch_size",
            "num_epochs",
            "minutes",
            "learning_rate",
            "sample_interval",
        )
        require_positive("stage", self, "checkpoint_interval", "early_stopping_patience")
        require_not_negative("stage", self, "kl_weight", "kl_tolerance", "motion_weight")
        require_not_negative("stage", self, "scheduler_patience")
        check_factor(self.scheduler_factor)


def resolve(cfg: VAEConfig, setting: Setting) -> VAEConfig:
    """A copy in which `start_from` is the absolute path of a checkpoint.

    Weights that do not fit, and frames of another size than V's, are refused.
    """
    pre = setting.env.preprocessing
    if pre.size != IMAGE_SIZE:
        raise ValueError(
            f"stage=vae takes {IMAGE_SIZE}x{IMAGE_SIZE} frames "
            f"and these are {pre.size}x{pre.size}: "
            f"collect episodes with env.size={IMAGE_SIZE}"
        )
    if cfg.start_from is None:
        return cfg
    needed = {"img_channels": pre.channels, "latent_size": cfg.latent_size}
    keys = "stage.latent_size and env.grayscale"
    return replace(cfg, start_from=str(starting_checkpoint(cfg.start_from, "vae", needed, keys)))


def execute(cfg: VAEConfig, run: Run) -> None:
    """Train on the upstream episodes' train split.

    Leaves `best.pt`, how good it is, and `latents/` made with it.
    """
    store = upstream_episodes(run)
    train = ObservationDataset(store, "train")
    held_out = HeldOut(store)
    table = judge_baselines(cfg, run, train, held_out)
    mean = scene(cfg, run, train)
    training = build(cfg, run)
    if cfg.minutes is not None:
        training.facts["frames_per_epoch"] = frames_per_epoch(cfg, run, train, mean)
    metrics = run.metrics(training.resume(run))
    if "baselines" not in metrics.offsets:
        for row in table:
            metrics.write("baselines", row)
    goes_on = cfg.start_from is not None and store.newest > 0
    if goes_on and training.step == 0:
        judge_rare("before", training.model, run, held_out, metrics)
    frames = training.facts.get("frames_per_epoch", len(train))
    batches_per_epoch = -(-frames // cfg.train_batch_size)
    with ProgressBar("vae", cfg.num_epochs * batches_per_epoch, training.step, "frames") as bar:
        while training.epoch < cfg.num_epochs and not training.stopper.should_stop:
            train_epoch(cfg, run, training, train, mean, metrics, bar)
            finish_epoch(cfg, run, training, held_out, mean, table, metrics)
    model = best_model(run)
    describe(cfg, run, model, held_out, mean, table)
    if run.env.family.bright_movers:
        describe_blobs(cfg, run, model, train, held_out, metrics)
    if goes_on:
        judge_rare("after", model, run, held_out, metrics)
    encode_episodes(run, model, store)


def judge_baselines(
    cfg: VAEConfig, run: Run, train: ObservationDataset, held_out: HeldOut
) -> list[BaselineRow]:
    """Rows of baselines.csv; a resumed run has them already."""
    path = run.path / "baselines.csv"
    known = read_rows(path, BaselineRow) if run.last.is_file() else []
    if known:
        return known
    return baselines(Sample(train, run.seed), held_out, cfg.latent_size, run.seed, run.device.value)


def scene(cfg: VAEConfig, run: Run, train: ObservationDataset) -> torch.Tensor | None:
    """The mean of the training frames, (C, H, W), where errors are weighed by it."""
    if not cfg.motion_weight:
        return None
    mean = mean_picture(Sample(train, run.seed))
    if cfg.horizontal_flip:
        mean = (mean + mean.flip(1)) / 2
    return mean.permute(2, 0, 1).to(run.device.value)


@torch.inference_mode()
def judge_rare(name: str, model: ConvVAE, run: Run, held_out: HeldOut, metrics: MetricsLog) -> None:
    """Rows of rare.csv: V on frames that the first episodes hardly show, and on the usual ones."""
    model.eval()

    def draw(x: torch.Tensor) -> torch.Tensor:
        mu, _ = model.encoder(x.permute(0, 3, 1, 2))
        drawn: torch.Tensor = model.decoder(mu)
        return drawn.permute(0, 2, 3, 1)

    device = run.device.value
    store, rows = held_out.data.store, held_out.data.rows
    masks = rare_in(store, rows, rare_beside(store, run.seed, device))
    for row in vision_rows(name, draw, held_out, np.concatenate(masks), device):
        metrics.write("rare", row)


def build(cfg: VAEConfig, run: Run) -> Training[ConvVAE]:
    """Model, optimizer and schedules at step 0."""
    channels = run.env.preprocessing.channels
    with seeding.seeded_weights(run.seed, "vae", "weights"):
        model = ConvVAE(channels, cfg.latent_size)
    if cfg.start_from is not None:
        begin_with(model, "vae", cfg.start_from, run)
    model = place(model, run.device, cfg.compile)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.learning_rate, fused=True)
    scheduler = plateau(optimizer, cfg.scheduler_factor, cfg.scheduler_patience)
    return Training("vae", model, optimizer, scheduler, EarlyStopping(cfg.early_stopping_patience))


def frames_per_epoch(
    cfg: VAEConfig, run: Run, data: ObservationDataset, mean: torch.Tensor | None
) -> int:
    """All frames, or as many as an epoch can read in its share of `cfg.minutes`.

    That is measured once, and a resumed run keeps to it.
    """
    if run.last.is_file():
        return int(load_checkpoint(run.last, "vae")["frames_per_epoch"])
    assert cfg.minutes is not None
    seconds = seconds_per_step(cfg, run, data, mean)
    steps = max(1, round(60 * cfg.minutes / cfg.num_epochs / seconds))
    frames = min(len(data), steps * cfg.train_batch_size)
    log.info("%.0f frames/s: an epoch has %d frames", cfg.train_batch_size / seconds, frames)
    return frames


def seconds_per_step(
    cfg: VAEConfig, run: Run, data: ObservationDataset, mean: torch.Tensor | None
) -> float:
    """Of a V that is trained for TIMED batches, after two that are not timed, and thrown away."""
    with seeding.seeded_weights(run.seed, "vae", "trial"):
        trial = ConvVAE(run.env.preprocessing.channels, cfg.latent_size)
    trial = place(trial, run.device, cfg.compile)
    optimizer = torch.optim.Adam(trial.parameters(), fused=True)
    draw = seeding.torch_generator(run.seed, "vae", "trial", device=run.device.value)
    clock = []
    for step in range(2 + TIMED):
        indices = np.arange(step, step + cfg.train_batch_size) % len(data)
        x = to_float(data.__getitems__(indices), run.device.value)
        loss, _, _ = loss_terms(cfg, run.device, trial, x, draw, mean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # waits for a GPU
        loss.item()
        clock.append(time.monotonic())
    return (clock[-1] - clock[1]) / TIMED


def train_epoch(
    cfg: VAEConfig,
    run: Run,
    training: Training[ConvVAE],
    data: ObservationDataset,
    mean: torch.Tensor | None,
    metrics: MetricsLog,
    bar: ProgressBar,
) -> None:
    """What is left of the current epoch."""
    training.model.train()
    save_now = Every(cfg.checkpoint_interval)
    order = batches(
        len(data),
        cfg.train_batch_size,
        seed=run.seed,
        epoch=training.epoch,
        start=training.batch,
        count=training.facts.get("frames_per_epoch"),
    )
    for indices in order:
        frames = data.__getitems__(indices)
        if cfg.horizontal_flip:
            frames = flipped(
                frames, seeding.torch_generator(run.seed, "vae", "flip", training.step)
            )
        draw = seeding.torch_generator(
            run.seed, "vae", "noise", training.step, device=run.device.value
        )
        x = to_float(frames, run.device.value)
        loss, terms, _ = loss_terms(cfg, run.device, training.model, x, draw, mean)
        training.update(loss, {"loss": loss, **terms}, metrics)
        bar.advance(1, len(indices), f"epoch {training.epoch + 1}")
        if save_now(training.step):
            training.save(run, metrics)


def flipped(frames: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """frames (B, H, W, C), each mirrored left to right with probability 1/2."""
    mirrored = torch.rand(len(frames), generator=draw) < 0.5
    return torch.where(mirrored[:, None, None, None], frames.flip(2), frames)


def loss_terms(
    cfg: VAEConfig,
    device: Device,
    model: ConvVAE,
    x: torch.Tensor,
    draw: torch.Generator,
    mean: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """x (B, C, H, W) -> the loss; its terms; mu and logsigma (B, L). See `vae_loss`.

    `mean` is what `scene` gives.
    """
    noise = torch.randn(len(x), cfg.latent_size, generator=draw, device=x.device)
    with autocast(cfg.precision, device):
        recon, mu, logsigma = model(x, noise=noise)
    mu, logsigma = mu.float(), logsigma.float()
    floor = cfg.kl_tolerance * cfg.latent_size
    extra = None if mean is None else cfg.motion_weight * rarity(x, mean)
    loss, terms = vae_loss(recon.float(), x, mu, logsigma, cfg.kl_weight, floor, extra)
    return loss, terms, (mu, logsigma)


def finish_epoch(
    cfg: VAEConfig,
    run: Run,
    training: Training[ConvVAE],
    held_out: HeldOut,
    mean: torch.Tensor | None,
    table: list[BaselineRow],
    metrics: MetricsLog,
) -> None:
    """Validate, keep the best, save."""
    training.write_timing(metrics)
    validation = validate(cfg, run, training.model, held_out, mean).row(cfg.kl_tolerance)
    row = replace(validation, epoch=training.epoch + 1, step=training.step)
    metrics.write("val_metrics", row)
    log.info("epoch %d: %s", training.epoch + 1, log_line(validation, table))
    if training.end_epoch(validation.loss):
        training.save_best(run, cells(validation))
    if training.epoch % cfg.sample_interval == 0:
        name = f"reconstructions_{training.epoch:04d}"
        save_reconstructions(run, training.model, held_out, name)
    training.save(run, metrics)
    training.start_clock()


def log_line(validation: VisionRow, table: list[BaselineRow]) -> str:
    """A judgement in a line for people."""
    terms = (
        f"validation loss {validation.loss:.2f} "
        f"(reconstruction {validation.reconstruction:.2f}, KL {validation.kl:.2f} nats)"
    )
    beside = ", ".join(f"{row.name} {row.psnr:.2f}" for row in table)
    quality = f"PSNR {validation.psnr:.2f} dB ({beside})"
    return f"{terms}, {quality}, {validation.active} latents active"


@torch.inference_mode()
def validate(
    cfg: VAEConfig, run: Run, model: ConvVAE, held_out: HeldOut, mean: torch.Tensor | None
) -> Judgement:
    """V on all held-out frames; pictures are judged as drawn from the mean latent.

    The noise in the loss is the same in every epoch.
    """
    model.eval()
    found = Judgement()
    draw = seeding.torch_generator(run.seed, "vae", "validation", device=run.device.value)
    for frames, before in held_out:
        x = to_float(frames, run.device.value)
        loss, terms, (mu, logsigma) = loss_terms(cfg, run.device, model, x, draw, mean)
        with autocast(cfg.precision, run.device):
            drawn = model.decoder(mu)
        moving = moving_pixels(frames, before).to(x.device)
        found.pictures.add(drawn.float().permute(0, 2, 3, 1), x.permute(0, 2, 3, 1), moving)
        found.latents.add(mu, logsigma)
        found.add_terms({"loss": loss, **terms}, len(frames))
    return found


def save_reconstructions(run: Run, model: ConvVAE, held_out: HeldOut, name: str) -> None:
    """Ten held-out frames, what V draws of them, and its errors."""
    model.eval()
    frames = held_out.data.__getitems__(evenly_spaced(len(held_out), 10, rounded=False))
    save_png(run.path / "images" / f"{name}.png", labelled_rows(reconstructions(model, frames)))


def describe(
    cfg: VAEConfig,
    run: Run,
    model: ConvVAE,
    held_out: HeldOut,
    mean: torch.Tensor | None,
    table: list[BaselineRow],
) -> None:
    """How good the best V is: `quality.json`, and pictures.

    They show what V sees, what its latents mean, and what it makes up.
    """
    found = validate(replace(cfg, precision=Precision.float32), run, model, held_out, mean)
    write_json(
        run.path / "quality.json",
        {"split": held_out.split, **quality(found, table, cfg.kl_tolerance)},
    )
    save_reconstructions(run, model, held_out, "reconstructions")
    some = evenly_spaced(len(held_out), FRAMES_LOOKED_AT, rounded=False)
    frame = striking(held_out.data.__getitems__(some))
    save_png(
        run.path / "images" / "traversals.png",
        labelled_rows(*traversals(model, frame, found.latents)),
    )
    draw = seeding.torch_generator(run.seed, "vae", "prior")
    save_png(run.path / "images" / "prior.png", labelled_rows(prior_samples(model, draw)))


def describe_blobs(
    cfg: VAEConfig,
    run: Run,
    model: ConvVAE,
    train: ObservationDataset,
    held_out: HeldOut,
    metrics: MetricsLog,
) -> None:
    """Which bright moving things the best V draws, beside PCA: blobs.csv, and a picture."""
    pca = fit_pca(Sample(train, run.seed), cfg.latent_size, run.seed, run.device.value)
    drawers = drawers_of(model, pca, run.device.value)
    for row in judge_blobs(held_out, drawers):
        metrics.write("blobs", row)
        if row.pixels == ALL:
            log.info(
                "%s draws %.0f %% of %d bright moving things; %.0f %% of what it draws is there",
                row.name,
                100 * row.recall,
                row.blobs,
                100 * row.precision,
            )
    rows = blob_pictures(held_out, drawers)
    if rows:
        save_png(run.path / "images" / "blobs.png", labelled_rows(rows))


def best_model(run: Run) -> ConvVAE:
    """V with the weights of the best epoch."""
    state = load_checkpoint(run.best, "vae", run.device.value, Trained)
    return place(model_of(ConvVAE, state, run.best), run.device).eval()


def encode_episodes(run: Run, model: ConvVAE, store: EpisodeStore) -> None:
    """Write mu and logsigma of every frame that this V has not encoded yet."""

    @torch.inference_mode()
    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return model.encoder(to_float(frames, run.device.value))

    rows = store.num_frames(None) + len(store.rows) * (not store.has_final_frame)
    with ProgressBar("latents", rows, 0, "frames") as bar:
        encode_store(encode, store, run.path / "latents", sha256(run.best), progress=bar.advance)


STAGE = Stage(
    "vae",
    VAEConfig,
    execute,
    needs=("rollout",),
    gives=Product("vae", "checkpoints/best.pt"),
    resolve=resolve,
)
