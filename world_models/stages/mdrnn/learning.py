"""What is trained, and the loss on a batch of latents."""

import torch

from world_models.data.batch import LatentBatch
from world_models.data.chunks import Chunks
from world_models.learning.starting import begin_with
from world_models.losses import mdrnn_loss
from world_models.models.draws import StreamDraws
from world_models.models.mdrnn import MDRNN, Masks
from world_models.runs import ranks, seeding
from world_models.runs.run import Run
from world_models.runs.schedule import EarlyStopping, plateau
from world_models.runs.training import Training
from world_models.stages.mdrnn.config import MDRNNConfig


def build(cfg: MDRNNConfig, run: Run, latent_size: int) -> Training[MDRNN]:
    """Model, optimizer and schedules at step 0."""
    actions = run.env.action_space.size
    sizes = (latent_size, actions, cfg.hidden_size, cfg.gmm_components)
    with seeding.seeded_weights(run.seed, "mdrnn", "weights"):
        mixture, floor = cfg.mixture.value, cfg.sigma_floor
        model = MDRNN(*sizes, mixture=mixture, sigma_floor=floor, cell=cfg.cell)
    if cfg.start_from is not None:
        begin_with(model, "mdrnn", cfg.start_from, run)
    model = model.to(run.device.value)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=cfg.learning_rate, alpha=0.9)
    scheduler = plateau(optimizer, cfg.scheduler_factor, cfg.scheduler_patience)
    stopper = EarlyStopping(cfg.early_stopping_patience)
    carried = model.get_init_hidden(cfg.batch_size)
    facts = {"rewards": cfg.include_reward}
    return Training("mdrnn", model, optimizer, scheduler, stopper, carried=carried, facts=facts)


def drawn_masks(
    cfg: MDRNNConfig, run: Run, training: Training[MDRNN], part: ranks.Part
) -> Masks | None:
    """What M reads in the next step, another share of it for each row; None: all."""
    if cfg.dropout == 0:
        return None
    generator = seeding.torch_generator(
        run.seed, "mdrnn", "dropout", training.step, device=run.device.value
    )
    drawn = training.model.masks(cfg.dropout, part.total, StreamDraws(generator))
    return Masks(*(mask[part.rows] for mask in drawn))


def loss_terms(
    cfg: MDRNNConfig,
    model: MDRNN,
    batch: LatentBatch,
    chunks: Chunks,
    carried: tuple[torch.Tensor, ...],
    draw: torch.Generator,
    masks: Masks | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[torch.Tensor, ...]]:
    """M's loss on latents drawn from V's posterior, its terms, and the state (h, c) to carry on.

    Pairs (z_t, a_t) -> z_{t+1}, reward_t, done_t. `masks` are those of these chunks.
    """
    part = chunks.part
    steps, _, size = batch.mu.shape
    noise = torch.randn((steps, part.total, size), generator=draw, device=batch.mu.device)
    noise = noise[:, part.rows]
    latents = batch.mu + batch.logsigma.exp() * noise
    rows, fresh = (
        torch.from_numpy(values).to(latents.device) for values in (chunks.rows, chunks.fresh)
    )
    outputs, carried = model.carry_on(batch.actions, latents[:-1], carried, rows, fresh, masks)
    targets = (latents[1:], batch.rewards, batch.terminated, batch.mask, batch.next_mask)
    counts = part.counts(batch.mask, batch.next_mask) if chunks.own else (None, None)
    loss, terms = mdrnn_loss(outputs, *targets, cfg.include_reward, cfg.done_weight, counts)
    return loss, terms, carried
