"""What comes of the best V: how good it is, pictures, and the latents of the episodes."""

import logging
from dataclasses import replace

import torch

from world_models.data.datasets import ObservationDataset, to_float
from world_models.data.latents import encode_store
from world_models.data.store import EpisodeStore
from world_models.figures.media import labelled_rows, save_png
from world_models.measures.blobs import ALL, blob_pictures, drawers_of, judge_blobs
from world_models.measures.rows import BaselineRow
from world_models.measures.vision import HeldOut, quality
from world_models.measures.vision_baselines import Sample, fit_pca
from world_models.measures.vision_pictures import prior_samples, striking, traversals
from world_models.models.convvae import ConvVAE
from world_models.runs import seeding
from world_models.runs.checkpoint import Trained, load_checkpoint
from world_models.runs.device import Precision, place
from world_models.runs.files import sha256, write_json
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.runs.weights import model_of
from world_models.stages.vae.config import VAEConfig
from world_models.stages.vae.watching import save_reconstructions, validate
from world_models.worlds.latent import vae_kind

log = logging.getLogger(__name__)


FRAMES_LOOKED_AT = 64
"""Held-out frames among which one is chosen for the traversals."""


def best_model(run: Run) -> ConvVAE:
    """V with the weights of the best epoch."""
    state = load_checkpoint(run.best, "vae", run.device.value, Trained)
    return place(model_of(vae_kind(state, run.best), state, run.best), run.device).eval()


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


def encode_episodes(run: Run, model: ConvVAE, store: EpisodeStore) -> None:
    """Write mu and logsigma of every frame that this V has not encoded yet."""

    @torch.inference_mode()
    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return model.encoder(to_float(frames, run.device.value))

    rows = store.num_frames(None) + len(store.rows) * (not store.has_final_frame)
    with ProgressBar("latents", rows, 0, "frames") as bar:
        encode_store(encode, store, run.path / "latents", sha256(run.best), progress=bar.advance)
