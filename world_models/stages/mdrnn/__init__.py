"""Stage mdrnn: train M, the mixture-density RNN, on the latents of V."""

import logging
from dataclasses import replace

from world_models.config.stage import Product, Stage
from world_models.data.chunks import read_chunks
from world_models.data.datasets import LatentSequenceDataset
from world_models.measures.rows import (
    CalibrationBin,
    EndRow,
    HeadScore,
    LikelihoodRow,
    MemoryRow,
    MemoryStepRow,
    OpenLoopRow,
    RareMemoryRow,
)
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN, MDRNNCell
from world_models.runs import ranks, seeding
from world_models.runs.metrics import MetricsLog
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow, cells
from world_models.runs.run import Run
from world_models.runs.schedule import Every
from world_models.runs.training import Training
from world_models.stages.mdrnn.config import MDRNNConfig, resolve, shared_out
from world_models.stages.mdrnn.learning import build, drawn_masks, loss_terms
from world_models.stages.mdrnn.reading import data_sets, open_latents, training_order
from world_models.stages.mdrnn.showing import show_dream, show_dreams
from world_models.stages.mdrnn.watching import (
    earlier_latents,
    goes_on,
    judge_best,
    judge_rare,
    validate,
)
from world_models.worlds.latent import WorldModel, load_vae, load_world_model

log = logging.getLogger(__name__)


def execute(cfg: MDRNNConfig, run: Run) -> None:
    """Train on V's latents; leaves `best.pt`, how good it is, and a dream beside the truth."""
    vae = load_vae(run.feeder.best, run.device.value)
    store, latents = open_latents(cfg, run, vae)
    train, validation = data_sets(cfg, run, store, latents)
    training = build(cfg, run, latents.latent_size)
    if cfg.untrained:
        metrics = keep_untrained(cfg, run, training, validation)
    else:
        metrics = train_on(cfg, run, training, train, validation, vae)
    if not ranks.is_first():
        return
    world = load_world_model(run.feeder.best, run.best, run.env, device=run.device.value)
    judge_best(cfg, run, world, train, validation, metrics)
    show_dreams(cfg, run, world, store)


def keep_untrained(
    cfg: MDRNNConfig, run: Run, training: Training[MDRNN], validation: LatentSequenceDataset
) -> MetricsLog:
    """Leave the initial weights, judged but never changed, as the run's checkpoints."""
    log.info("untrained: M keeps its initial weights, seed %d", run.seed)
    run.manifest["untrained"] = True
    run.save_manifest()
    metrics = run.metrics(None)
    losses = validate(cfg, run, training, validation)
    metrics.write("val_metrics", replace(losses, epoch=0, step=0))
    training.save_best(run, cells(losses))
    training.save(run, metrics)
    return metrics


def train_on(
    cfg: MDRNNConfig,
    run: Run,
    training: Training[MDRNN],
    train: LatentSequenceDataset,
    validation: LatentSequenceDataset,
    vae: ConvVAE,
) -> MetricsLog:
    """All epochs that are left."""
    metrics = run.metrics(training.resume(run))
    if goes_on(cfg, train.store) and training.step == 0 and ranks.is_first():
        cell = MDRNNCell.from_mdrnn(training.model)
        judge_rare("before", cell, earlier_latents(run, train.store), run, validation, metrics)
    done = training.epoch * train.tiles + training.batch * cfg.batch_size
    with ProgressBar("mdrnn", cfg.num_epochs * train.tiles, done, "windows") as bar:
        while training.epoch < cfg.num_epochs and not training.stopper.should_stop:
            train_epoch(cfg, run, training, train, metrics, bar)
            finish_epoch(cfg, run, training, validation, vae, metrics)
    return metrics


def train_epoch(
    cfg: MDRNNConfig,
    run: Run,
    training: Training[MDRNN],
    data: LatentSequenceDataset,
    metrics: MetricsLog,
    bar: ProgressBar,
) -> None:
    """What is left of the current epoch."""
    training.model.train()
    save_now = Every(cfg.checkpoint_interval)
    for chunks, batch in read_chunks(data, training_order(cfg, run, training, data)):
        draw = seeding.torch_generator(
            run.seed, "mdrnn", "noise", training.step, device=run.device.value
        )
        given = batch.to(run.device.value)
        masks = drawn_masks(cfg, run, training, chunks.part)
        loss, terms, training.carried = loss_terms(
            cfg, training.model, given, chunks, training.carried, draw, masks
        )
        share = chunks.part.share
        training.update(loss, {"loss": loss, **terms}, metrics, cfg.grad_clip, share)
        bar.advance(chunks.part.total, note=f"epoch {training.epoch + 1}")
        if save_now(training.step):
            training.save(run, metrics)


def finish_epoch(
    cfg: MDRNNConfig,
    run: Run,
    training: Training[MDRNN],
    data: LatentSequenceDataset,
    vae: ConvVAE,
    metrics: MetricsLog,
) -> None:
    """Validate, keep the best, show a dream now and then, save."""
    training.write_timing(metrics)
    validation = ranks.from_first(lambda: validate(cfg, run, training, data))
    row = replace(validation, epoch=training.epoch + 1, step=training.step)
    metrics.write("val_metrics", row)
    log.info(
        "epoch %d: validation loss %.4f (gmm %.3f, bce %.4f, mse %.4f)",
        training.epoch + 1,
        validation.loss,
        validation.gmm,
        validation.bce,
        validation.mse,
    )
    if training.end_epoch(validation.loss):
        training.save_best(run, cells(validation))
    if training.epoch % cfg.sample_interval == 0 and ranks.is_first():
        world = WorldModel(vae, training.model, run.env)
        show_dream(cfg, run, world, data.store, f"dream_{training.epoch:04d}")
    training.save(run, metrics)
    training.start_clock()


STAGE = Stage(
    "mdrnn",
    MDRNNConfig,
    execute,
    needs=("vae",),
    gives=Product("mdrnn", "checkpoints/best.pt"),
    tables={
        "metrics": MemoryStepRow,
        "val_metrics": MemoryRow,
        "likelihood": LikelihoodRow,
        "open_loop": OpenLoopRow,
        "calibration": CalibrationBin,
        "calibration_scores": HeadScore,
        "ends": EndRow,
        "rare": RareMemoryRow,
        "timing": TimingRow,
    },
    resolve=resolve,
    shared_out=shared_out,
    played_in="dream",
)
