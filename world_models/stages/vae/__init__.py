"""Stage vae: train V, the convolutional VAE, and encode the episodes with it."""

import logging
from dataclasses import replace

import torch

from world_models.config.stage import Product, Stage
from world_models.data.datasets import ObservationDataset, batches, to_float
from world_models.data.loading import upstream_episodes
from world_models.measures.rows import BaselineRow, BlobRow, RareVisionRow, VisionRow, VisionStepRow
from world_models.measures.vision import HeldOut, log_line
from world_models.models.convvae import ConvVAE
from world_models.runs import ranks, seeding
from world_models.runs.metrics import MetricsLog
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow, cells
from world_models.runs.run import Run
from world_models.runs.schedule import Every
from world_models.runs.threads import computing_with
from world_models.runs.training import Training
from world_models.stages.vae.best import best_model, describe, describe_blobs, encode_episodes
from world_models.stages.vae.config import VAEConfig, resolve, shared_out
from world_models.stages.vae.learning import build, flipped, loss_terms, scene
from world_models.stages.vae.pace import pace_of
from world_models.stages.vae.watching import (
    judge_baselines,
    judge_rare,
    save_reconstructions,
    validate,
)

log = logging.getLogger(__name__)

SILENT = (
    "no latent says anything yet: if that stays so, V draws one picture whatever it sees; try a "
    "smaller learning_rate (3e-4) or kl_weight"
)


def execute(cfg: VAEConfig, run: Run) -> None:
    """Train on the upstream episodes' train split.

    Leaves `best.pt`, how good it is, and `latents/` made with it.
    """
    store = upstream_episodes(run)
    train = ObservationDataset(store, "train")
    held_out = HeldOut(store)
    table = judge_baselines(cfg, run, train, held_out) if ranks.is_first() else []
    mean = scene(cfg, run, train)
    training = build(cfg, run)
    threads = torch.get_num_threads()
    if cfg.minutes is not None:
        pace = pace_of(cfg, run, train, mean)
        training.facts.update(frames_per_epoch=pace.frames, threads=pace.threads)
        threads = pace.threads
    with computing_with(threads):
        train_and_show(cfg, run, training, train, held_out, mean, table)


def train_and_show(
    cfg: VAEConfig,
    run: Run,
    training: Training[ConvVAE],
    train: ObservationDataset,
    held_out: HeldOut,
    mean: torch.Tensor | None,
    table: list[BaselineRow],
) -> None:
    """All epochs that are left, and then what the best V is like and makes of the episodes."""
    store = train.store
    metrics = run.metrics(training.resume(run))
    if "baselines" not in metrics.offsets:
        for row in table:
            metrics.write("baselines", row)
    goes_on = cfg.start_from is not None and store.newest > 0
    if goes_on and training.step == 0 and ranks.is_first():
        judge_rare("before", training.model, run, held_out, metrics)
    frames = training.facts.get("frames_per_epoch", len(train))
    batches_per_epoch = -(-frames // cfg.train_batch_size)
    with ProgressBar("vae", cfg.num_epochs * batches_per_epoch, training.step, "frames") as bar:
        while training.epoch < cfg.num_epochs and not training.stopper.should_stop:
            train_epoch(cfg, run, training, train, mean, metrics, bar)
            finish_epoch(cfg, run, training, held_out, mean, table, metrics)
    if not ranks.is_first():
        return
    model = best_model(run)
    describe(cfg, run, model, held_out, mean, table)
    if run.env.family.bright_movers:
        describe_blobs(cfg, run, model, train, held_out, metrics)
    if goes_on:
        judge_rare("after", model, run, held_out, metrics)
    encode_episodes(run, model, store)


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
        part = ranks.part(len(indices))
        frames = data.__getitems__(indices[part.rows])
        if cfg.horizontal_flip:
            draw = seeding.torch_generator(run.seed, "vae", "flip", training.step)
            frames = flipped(frames, draw, part)
        draw = seeding.torch_generator(
            run.seed, "vae", "noise", training.step, device=run.device.value
        )
        x = to_float(frames, run.device.value)
        loss, terms, _ = loss_terms(cfg, run.device, training.model, x, draw, mean, part)
        training.update(loss, {"loss": loss, **terms}, metrics, share=part.share)
        bar.advance(1, len(indices), f"epoch {training.epoch + 1}")
        if save_now(training.step):
            training.save(run, metrics)


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
    validation = ranks.from_first(
        lambda: validate(cfg, run, training.model, held_out, mean).row(cfg.kl_tolerance)
    )
    row = replace(validation, epoch=training.epoch + 1, step=training.step)
    metrics.write("val_metrics", row)
    log.info("epoch %d: %s", training.epoch + 1, log_line(validation, table))
    if validation.active == 0:
        log.warning(SILENT)
    if training.end_epoch(validation.loss):
        training.save_best(run, cells(validation))
    if training.epoch % cfg.sample_interval == 0 and ranks.is_first():
        name = f"reconstructions_{training.epoch:04d}"
        save_reconstructions(run, training.model, held_out, name)
    training.save(run, metrics)
    training.start_clock()


STAGE = Stage(
    "vae",
    VAEConfig,
    execute,
    needs=("rollout",),
    gives=Product("vae", "checkpoints/best.pt"),
    tables={
        "metrics": VisionStepRow,
        "val_metrics": VisionRow,
        "baselines": BaselineRow,
        "blobs": BlobRow,
        "rare": RareVisionRow,
        "timing": TimingRow,
    },
    resolve=resolve,
    shared_out=shared_out,
)
