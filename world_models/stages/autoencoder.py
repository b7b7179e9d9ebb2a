"""Stage autoencoder: train a convolutional autoencoder.

Its latents are a small picture with a spread near 1.
"""

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch

from world_models.config.stage import Product, Setting, Stage
from world_models.data.datasets import ObservationDataset
from world_models.data.loading import (
    DataConfig,
    endless_batches,
    loader,
    upstream_episodes,
    watched_split,
)
from world_models.data.view import View
from world_models.figures.media import labelled_rows, save_png
from world_models.losses import VarianceForm, autoencoder_loss, variance_terms
from world_models.measures.pixel import similarity
from world_models.measures.rows import AutoencoderRow, AutoencoderStepRow
from world_models.measures.vision import psnr
from world_models.measures.vision_baselines import Sample, mean_picture
from world_models.measures.vision_pictures import compared
from world_models.models.conv_autoencoder import ALLOWED_FACTORS, NORM_GROUPS, ConvAutoencoder
from world_models.runs import seeding
from world_models.runs.device import Device, Precision, autocast, place
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import (
    evenly_spaced,
    require_below_one,
    require_not_negative,
    require_positive,
)
from world_models.runs.progress import ProgressBar, tracked
from world_models.runs.rows import TimingRow, cells
from world_models.runs.run import RUNTIME, Run
from world_models.runs.schedule import Best, Every, warmup_cosine
from world_models.runs.training import Training, adamw

log = logging.getLogger(__name__)

FRAMES_AT_ONCE = 64
"""Held-out frames judged side by side."""
SHOWN = 10
"""Held-out frames in the picture of reconstructions."""


@dataclass
class AutoencoderConfig:
    """Training lasts `num_epochs` passes over the frames, but no more than `max_steps` steps.

    The loss is Huber's (delta 1) of the pictures plus var_reg_lambda * (Var(z) - var_target)^2;
    `var_form` says whose variance.
    """

    factor: int = 8  # sides of the picture over sides of the latent map: 8 or 16
    latent_channels: int = 16  # numbers at each place of the latent map
    base_channels: int = 64  # channels of the first block; each one after it has twice as many
    image_size: int | None = None  # pixels of a side, to which frames are resized; null: as stored
    grayscale: bool = False  # see frames in grey
    data: DataConfig = field(default_factory=lambda: DataConfig(batch_size=128))
    # weight of the variance beside the Huber loss; 1e-4, with the scalar form, leaves the latents
    # as they are
    var_reg_lambda: float = 0.01
    var_target: float = 1.0  # variance that the latents are held near
    var_form: VarianceForm = VarianceForm.per_channel  # whose variance that is
    num_epochs: int = 10  # passes over the training frames
    max_steps: int | None = None  # training steps at most; null: no limit
    learning_rate: float = 3e-4  # of AdamW, after the warm-up
    weight_decay: float = 0.01  # of AdamW
    warmup: float = 0.05  # share of the steps in which the learning rate rises
    grad_clip: float = 1.0  # largest norm of a gradient; 0: any
    precision: Precision = Precision.auto  # arithmetic of a training step
    compile: bool = field(default=True, metadata=RUNTIME)  # torch.compile, on cuda only
    log_every: int = 100  # training steps between two rows of metrics.csv
    val_every_steps: int = 500  # training steps between two validations
    val_frames: int = 1024  # held-out frames of a validation
    # training steps between two checkpoints
    checkpoint_interval: int = field(default=200, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive(
            "stage",
            self,
            "latent_channels",
            "image_size",
            "num_epochs",
            "max_steps",
            "learning_rate",
        )
        require_positive(
            "stage", self, "log_every", "val_every_steps", "val_frames", "checkpoint_interval"
        )
        if self.factor not in ALLOWED_FACTORS:
            allowed = ", ".join(map(str, ALLOWED_FACTORS))
            raise ValueError(f"stage.factor is {self.factor}; it must be one of {allowed}")
        if self.base_channels < NORM_GROUPS or self.base_channels % NORM_GROUPS:
            raise ValueError(
                f"stage.base_channels is {self.base_channels}; it must be a multiple of "
                f"{NORM_GROUPS}, above 0"
            )
        require_not_negative(
            "stage", self, "var_reg_lambda", "var_target", "weight_decay", "grad_clip"
        )
        require_below_one("stage", self, "warmup")

    @property
    def variance(self) -> tuple[VarianceForm, float, float]:
        """What the variance term is made of."""
        return self.var_form, self.var_reg_lambda, self.var_target

    @property
    def view(self) -> View:
        """How stored frames are seen."""
        return View(self.image_size, self.grayscale)


def resolve(cfg: AutoencoderConfig, setting: Setting) -> AutoencoderConfig:
    """The same; what only a GPU has is refused without one."""
    cfg.data.check(setting.env, setting.device)
    return cfg


@dataclass(frozen=True)
class HeldOutFrames:
    """Watched frames, evenly spread, and the error of the training frames' mean on them."""

    frames: torch.Tensor  # (N, H, W, C) uint8, as stored
    mean_mse: float


def execute(cfg: AutoencoderConfig, run: Run) -> None:
    """Train on the upstream episodes' train split; leaves `best.pt` and how good it is."""
    store = upstream_episodes(run, cfg.data.val_ratio)
    train = ObservationDataset(store, "train")
    watched = ObservationDataset(store, watched_split(store, "frames"))
    held_out = hold_out(cfg, run, train, watched)
    per_epoch = max(1, len(train) // cfg.data.batch_size)
    steps = cfg.num_epochs * per_epoch
    if cfg.max_steps is not None:
        steps = min(steps, cfg.max_steps)
    training = build(cfg, run, steps)
    metrics = run.metrics(training.resume(run))
    judge_now = Every(cfg.val_every_steps, last=steps)
    save_now = Every(cfg.checkpoint_interval)
    order = endless_batches(len(train), cfg.data.batch_size, seed=run.seed, start=training.step)
    with ProgressBar("autoencoder", steps, training.step, "frames") as bar:
        for frames in loader(cfg.data, train, islice(order, steps - training.step)):
            loss, terms, _ = loss_terms(cfg, run.device, training.model.train(), frames)
            training.epoch = training.step // per_epoch
            training.update(loss, {"loss": loss, **terms}, metrics, cfg.grad_clip)
            bar.advance(1, len(frames), f"epoch {training.epoch + 1}")
            judged = judge_now(training.step)
            if judged:
                validate(cfg, run, training, held_out, metrics)
            if judged or save_now(training.step):
                training.save(run, metrics)
            if judged:
                training.start_clock()


def hold_out(
    cfg: AutoencoderConfig, run: Run, train: ObservationDataset, judged: ObservationDataset
) -> HeldOutFrames:
    """The frames on which every validation looks."""
    chosen = np.unique(evenly_spaced(len(judged), min(cfg.val_frames, len(judged))))
    frames = judged.__getitems__(chosen)
    mean = (mean_picture(Sample(train, run.seed)) * 255).round().byte()
    seen_mean = cfg.view(mean[None], "cpu")
    total = 0.0
    for part in frames.split(FRAMES_AT_ONCE):
        squares = (cfg.view(part, "cpu") - seen_mean).square()
        total += float(squares.flatten(1).mean(1).sum())
    return HeldOutFrames(frames, total / len(frames))


def build(cfg: AutoencoderConfig, run: Run, steps: int) -> Training[ConvAutoencoder]:
    """Model, optimizer and schedule at step 0."""
    channels = cfg.view.channels(run.env.preprocessing.channels)
    with seeding.seeded_weights(run.seed, "autoencoder", "weights"):
        model = ConvAutoencoder(channels, cfg.factor, cfg.latent_channels, cfg.base_channels)
    model = place(model, run.device, cfg.compile)
    optimizer = adamw(model, cfg.learning_rate, cfg.weight_decay)
    scheduler = warmup_cosine(optimizer, steps, cfg.warmup)
    facts = {"env": run.env.to_dict(), "view": cfg.view.to_dict()}
    return Training("autoencoder", model, optimizer, scheduler, Best(), cfg.log_every, facts=facts)


def loss_terms(
    cfg: AutoencoderConfig, device: Device, model: ConvAutoencoder, frames: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """frames (B, H, W, C) uint8 -> the loss; its terms; what it is made of.

    The last are "x" and "recon" (B, C, H, W) and "z" (B, L, h, w).
    """
    x = cfg.view(frames, device.value)
    with autocast(cfg.precision, device):
        recon, z = model(x)
    loss, terms = autoencoder_loss(recon, x, z, *cfg.variance)
    return loss, terms, {"x": x, "recon": recon.float(), "z": z.float()}


@torch.inference_mode()
def validate(
    cfg: AutoencoderConfig,
    run: Run,
    training: Training[ConvAutoencoder],
    held_out: HeldOutFrames,
    metrics: MetricsLog,
) -> None:
    """Judge the model on the held-out frames: a row, a picture; keep the best."""
    training.write_window(metrics)
    training.write_timing(metrics)
    model = training.model.eval()
    means, latents = _judged(cfg, run.device, model, held_out.frames)
    row = _row(cfg, training.step, means, latents, held_out)
    metrics.write("val_metrics", row)
    log.info(
        "step %d: PSNR %.2f dB (mean image %.2f), SSIM %.3f, variance of the latents %.3f",
        training.step,
        row.val_psnr,
        row.mean_psnr,
        row.val_ssim,
        row.val_latent_var,
    )
    save_reconstructions(
        cfg, run, model, held_out.frames, f"reconstructions_step_{training.step:08d}"
    )
    if training.stopper.update(row.val_loss):
        validation = {name: value for name, value in cells(row).items() if name.startswith("val_")}
        training.save_best(run, validation)


def _judged(
    cfg: AutoencoderConfig, device: Device, model: ConvAutoencoder, frames: torch.Tensor
) -> tuple[dict[str, float], torch.Tensor]:
    """Means over all frames (N, H, W, C), by name, and all latents (N, L, h, w)."""
    sums: defaultdict[str, float] = defaultdict(float)
    latents = []
    parts = frames.split(FRAMES_AT_ONCE)
    for part in tracked("validate the autoencoder", parts, len(parts), "batches"):
        _, terms, found = loss_terms(cfg, device, model, part)
        x, recon, z = found["x"], found["recon"], found["z"]
        values = {
            "recon_loss": terms["recon_loss"],
            "mse": (recon - x).square().mean(),
            "ssim": similarity(recon[:, None], x[:, None]).mean(),
            "latent_mean_norm": z.flatten(2).mean(2).norm(dim=1).mean(),
        }
        for name, value in values.items():
            sums[name] += float(value) * len(part)
        latents.append(z)
    return {name: value / len(frames) for name, value in sums.items()}, torch.cat(latents)


def _row(
    cfg: AutoencoderConfig,
    step: int,
    means: dict[str, float],
    latents: torch.Tensor,
    held_out: HeldOutFrames,
) -> AutoencoderRow:
    """A row of val_metrics.csv from means over all frames, and all their latents (N, L, h, w)."""
    penalty, variance = variance_terms(latents, *cfg.variance)
    return AutoencoderRow(
        step=step,
        val_loss=means["recon_loss"] + float(penalty),
        val_recon_loss=means["recon_loss"],
        val_var_reg_loss=float(penalty),
        val_mse=means["mse"],
        val_psnr=psnr(means["mse"]),
        val_ssim=means["ssim"],
        val_latent_var=float(variance),
        val_latent_mean_norm=means["latent_mean_norm"],
        mean_mse=held_out.mean_mse,
        mean_psnr=psnr(held_out.mean_mse),
    )


def save_reconstructions(
    cfg: AutoencoderConfig, run: Run, model: ConvAutoencoder, frames: torch.Tensor, name: str
) -> None:
    """Some held-out frames, what the model draws of them, and its errors."""
    shown = frames[evenly_spaced(len(frames), SHOWN)]
    *_, found = loss_terms(cfg, run.device, model, shown)
    path = run.path / "images" / f"{name}.png"
    save_png(path, labelled_rows(compared(found["x"], found["recon"])))
    run.show(path)


STAGE = Stage(
    "autoencoder",
    AutoencoderConfig,
    execute,
    needs=("rollout",),
    gives=Product("autoencoder", "checkpoints/best.pt"),
    tables={
        "metrics": AutoencoderStepRow,
        "val_metrics": AutoencoderRow,
        "timing": TimingRow,
    },
    resolve=resolve,
)
