"""Judging M in training, and the best M beside its baselines."""

import logging
from collections import defaultdict
from dataclasses import fields

import torch

from world_models.data.chunks import read_chunks
from world_models.data.datasets import LatentSequenceDataset
from world_models.data.latents import LatentSource
from world_models.data.store import EpisodeStore
from world_models.learning.starting import part_of
from world_models.losses import mdrnn_total
from world_models.measures.episodes import LatentEpisodes
from world_models.measures.judge import judge, summary
from world_models.measures.rare import memory_rows, rare_beside
from world_models.measures.rows import MemoryRow
from world_models.models.mdrnn import MDRNN, MDRNNCell
from world_models.runs import seeding
from world_models.runs.metrics import MetricsLog
from world_models.runs.progress import tracked
from world_models.runs.run import Run
from world_models.runs.training import Training
from world_models.stages.mdrnn.config import MDRNNConfig
from world_models.stages.mdrnn.learning import loss_terms
from world_models.stages.mdrnn.reading import VALIDATION_ROWS, online_latents, validation_order
from world_models.worlds.latent import WorldModel, vae_of

log = logging.getLogger(__name__)


@torch.inference_mode()
def validate(
    cfg: MDRNNConfig, run: Run, training: Training[MDRNN], data: LatentSequenceDataset
) -> MemoryRow:
    """The loss and its terms, means over all steps; the noise is the same in every epoch."""
    model = training.model.eval()
    sums: defaultdict[str, float] = defaultdict(float)
    steps: defaultdict[str, float] = defaultdict(float)
    draw = seeding.torch_generator(run.seed, "mdrnn", "validation", device=run.device.value)
    carried: tuple[torch.Tensor, ...] = model.get_init_hidden(VALIDATION_ROWS)
    order = list(validation_order(cfg, data))
    batches = read_chunks(data, iter(order))
    for chunks, batch in tracked("validate M", batches, len(order), "batches"):
        given = batch.to(run.device.value)
        _, terms, carried = loss_terms(cfg, model, given, chunks, carried, draw)
        for name, term in terms.items():
            weight = float((batch.next_mask if name == "gmm" else batch.mask).sum())
            sums[name] += float(term) * weight
            steps[name] += weight
    means = {name: total / max(steps[name], 1.0) for name, total in sums.items()}
    loss = mdrnn_total(**means, latents=model.latents, include_reward=cfg.include_reward)
    return MemoryRow(loss=loss, gmm=means["gmm"], bce=means["bce"], mse=means["mse"])


def judge_best(
    cfg: MDRNNConfig,
    run: Run,
    world: WorldModel,
    train: LatentSequenceDataset,
    held_out: LatentSequenceDataset,
    metrics: MetricsLog,
) -> None:
    """How good M is, beside its baselines.

    Writes likelihood.csv, open_loop.csv, calibration.csv, calibration_scores.csv and ends.csv.
    """
    log.info("judging M on %d episodes, from their first frames", len(held_out.rows))
    episodes = LatentEpisodes(train.store, train.latents, train.to_model)
    tables = judge(world, episodes, train.rows, held_out.rows, run.seed, cfg.include_reward)
    for table in fields(tables):
        for row in getattr(tables, table.name):
            metrics.write(table.name, row)
    for line in summary(tables):
        log.info(line)
    if goes_on(cfg, train.store):
        judge_rare("after", world.cell, train.latents, run, held_out, metrics)


def goes_on(cfg: MDRNNConfig, store: EpisodeStore) -> bool:
    """Whether M goes on from another's weights with more episodes."""
    return cfg.start_from is not None and store.newest > 0


def earlier_latents(run: Run, store: EpisodeStore) -> LatentSource:
    """As the V gives them from whose weights V went on; of one that is new, its own."""
    before = [*run.feeder.inputs("start_from"), run.feeder.best][0]
    device = run.device.value
    vae = vae_of(part_of(before, "vae", device), before, device)
    return online_latents(store, vae, device)


def judge_rare(
    name: str,
    cell: MDRNNCell,
    latents: LatentSource,
    run: Run,
    held_out: LatentSequenceDataset,
    metrics: MetricsLog,
) -> None:
    """Rows of rare.csv: M on frames that the first episodes hardly show, and on the usual ones."""
    rare = rare_beside(held_out.store, run.seed, run.device.value)
    episodes = LatentEpisodes(held_out.store, latents, held_out.to_model)
    for row in memory_rows(name, cell, episodes, held_out.rows, rare, run.seed):
        metrics.write("rare", row)
