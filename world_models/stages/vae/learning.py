"""What is trained, and the loss on a batch of frames."""

import torch

from world_models.data.datasets import ObservationDataset
from world_models.learning.starting import begin_with
from world_models.losses import rarity, vae_loss
from world_models.measures.vision_baselines import Sample, mean_picture
from world_models.models.convvae import VAES, ConvVAE
from world_models.runs import ranks, seeding
from world_models.runs.device import Device, autocast, place
from world_models.runs.run import Run
from world_models.runs.schedule import EarlyStopping, plateau
from world_models.runs.training import Training
from world_models.stages.vae.config import VAEConfig


def build(cfg: VAEConfig, run: Run) -> Training[ConvVAE]:
    """Model, optimizer and schedules at step 0."""
    channels = run.env.preprocessing.channels
    with seeding.seeded_weights(run.seed, "vae", "weights"):
        model = VAES[cfg.model](channels, cfg.latent_size)
    if cfg.start_from is not None:
        begin_with(model, "vae", cfg.start_from, run)
    model = place(model, run.device, cfg.compile)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.learning_rate, fused=True)
    scheduler = plateau(optimizer, cfg.scheduler_factor, cfg.scheduler_patience)
    stopper = EarlyStopping(cfg.early_stopping_patience)
    # what was always so is not said
    facts = {} if cfg.model == "conv" else {"architecture": cfg.model}
    return Training("vae", model, optimizer, scheduler, stopper, facts=facts)


def scene(cfg: VAEConfig, run: Run, train: ObservationDataset) -> torch.Tensor | None:
    """The mean of the training frames, (C, H, W), where errors are weighed by it."""
    if not cfg.motion_weight:
        return None
    mean = mean_picture(Sample(train, run.seed))
    if cfg.horizontal_flip:
        mean = (mean + mean.flip(1)) / 2
    return mean.permute(2, 0, 1).to(run.device.value)


def flipped(
    frames: torch.Tensor, draw: torch.Generator, part: ranks.Part | None = None
) -> torch.Tensor:
    """frames (B, H, W, C), each mirrored left to right with probability 1/2.

    They are a `part` of a batch; None: all of it.
    """
    part = part or ranks.whole(len(frames))
    mirrored = (torch.rand(part.total, generator=draw) < 0.5)[part.rows]
    return torch.where(mirrored[:, None, None, None], frames.flip(2), frames)


def loss_terms(
    cfg: VAEConfig,
    device: Device,
    model: ConvVAE,
    x: torch.Tensor,
    draw: torch.Generator,
    mean: torch.Tensor | None = None,
    part: ranks.Part | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """x (B, C, H, W) -> the loss; its terms; mu and logsigma (B, L). See `vae_loss`.

    `mean` is what `scene` gives; x is a `part` of a batch, None: all of it.
    """
    part = part or ranks.whole(len(x))
    noise = torch.randn(part.total, cfg.latent_size, generator=draw, device=x.device)[part.rows]
    with autocast(cfg.precision, device):
        recon, mu, logsigma = model(x, noise=noise)
    mu, logsigma = mu.float(), logsigma.float()
    floor = cfg.kl_tolerance * cfg.latent_size
    extra = None if mean is None else cfg.motion_weight * rarity(x, mean)
    loss, terms = vae_loss(recon.float(), x, mu, logsigma, cfg.kl_weight, floor, extra)
    return loss, terms, (mu, logsigma)
