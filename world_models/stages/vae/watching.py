"""Judging V, always on the same held-out frames, beside what it must beat."""

import numpy as np
import torch

from world_models.data.datasets import ObservationDataset, to_float
from world_models.figures.media import labelled_rows, save_png
from world_models.measures.rare import rare_beside, rare_in, vision_rows
from world_models.measures.rows import BaselineRow
from world_models.measures.vision import HeldOut, Judgement, moving_pixels
from world_models.measures.vision_baselines import Sample, baselines
from world_models.measures.vision_pictures import reconstructions
from world_models.models.convvae import ConvVAE
from world_models.runs import seeding
from world_models.runs.device import autocast
from world_models.runs.metrics import MetricsLog, read_rows
from world_models.runs.numbers import evenly_spaced
from world_models.runs.run import Run
from world_models.stages.vae.config import VAEConfig
from world_models.stages.vae.learning import loss_terms


def judge_baselines(
    cfg: VAEConfig, run: Run, train: ObservationDataset, held_out: HeldOut
) -> list[BaselineRow]:
    """Rows of baselines.csv; a resumed run has them already."""
    path = run.path / "baselines.csv"
    known = read_rows(path, BaselineRow) if run.last.is_file() else []
    if known:
        return known
    return baselines(Sample(train, run.seed), held_out, cfg.latent_size, run.seed, run.device.value)


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
    path = run.path / "images" / f"{name}.png"
    save_png(path, labelled_rows(reconstructions(model, frames)))
    run.show(path)
