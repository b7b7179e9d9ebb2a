"""Stage mdrnn: train M, the mixture-density RNN, on the latents of V."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from enum import Enum

import numpy as np
import torch

from world_models.config.stage import Product, Setting, Stage
from world_models.data.batch import LatentBatch
from world_models.data.chunks import Chunks, episode_chunks, read_chunks, window_chunks
from world_models.data.datasets import LatentSequenceDataset, to_float
from world_models.data.latents import LatentSource, LatentStore, OnlineLatents
from world_models.data.loading import watched_split
from world_models.data.store import EpisodeStore
from world_models.figures.media import labelled_rows, save_png, save_video, side_by_side
from world_models.losses import mdrnn_loss, mdrnn_total
from world_models.measures.dreams import Panels, dream, dream_at_temperatures
from world_models.measures.episodes import LatentEpisodes
from world_models.measures.judge import judge, summary
from world_models.measures.rare import memory_rows, rare_beside
from world_models.measures.rows import MemoryRow
from world_models.models.convvae import ConvVAE
from world_models.models.draws import StreamDraws
from world_models.models.mdrnn import MDRNN, Masks, MDRNNCell, Mixture
from world_models.runs import seeding
from world_models.runs.checkpoint import Weights, load_checkpoint
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import (
    evenly_spaced,
    require_below_one,
    require_not_negative,
    require_positive,
)
from world_models.runs.progress import ProgressBar, tracked
from world_models.runs.rows import cells
from world_models.runs.run import BUDGET, PATH, RUNTIME, Run
from world_models.runs.schedule import EarlyStopping, Every, check_factor, plateau
from world_models.runs.starting import begin_with, starting_checkpoint
from world_models.runs.training import Training
from world_models.worlds.latent import WorldModel, load_vae, load_world_model, vae_of

log = logging.getLogger(__name__)

VALIDATION_ROWS = 64  # sequences that are validated side by side


class Sequences(Enum):
    """What a row of a batch reads."""

    windows = "windows"  # `seq_len` steps from anywhere, from a zero state
    # whole episodes, `seq_len` steps at a time, the state carried on (truncated backpropagation)
    episodes = "episodes"


class Latents(Enum):
    """Where latents come from."""

    precomputed = "precomputed"  # latents/ of the VAE's run
    online = "online"  # V encodes the frames of each batch


@dataclass
class MDRNNConfig:
    """An epoch reads each transition of the training episodes once.

    With `sequences=windows` it reads as many windows as would tile the episodes.
    """

    hidden_size: int = 256
    gmm_components: int = 5
    mixture: Mixture = Mixture.joint
    sigma_floor: float = 1e-3  # lowest standard deviation that M predicts
    sequences: Sequences = Sequences.windows
    batch_size: int = 16
    seq_len: int = 32
    # of a window: to be replaced by the one that ends its episode, if that terminated
    terminal_prob: float = 0.2
    dataset_fraction: float = 1.0  # of the training episodes, the first ones
    latents: Latents = field(default=Latents.precomputed, metadata=RUNTIME)
    num_epochs: int = field(default=30, metadata=BUDGET)
    learning_rate: float = 1e-3
    # mdrnn run folder, or its checkpoint, whose weights are the first ones
    start_from: str | None = field(default=None, metadata=PATH)
    include_reward: bool = True
    done_weight: float = 1.0  # of a step that ends its episode; any other has 1
    # probability that M does not read a number of z or h, all through a window
    dropout: float = 0.0
    grad_clip: float = 1.0  # norm; 0: off
    scheduler_patience: int = 5
    scheduler_factor: float = 0.5
    early_stopping_patience: int = 30
    untrained: bool = False  # a control: M as it was initialised
    temperature: float = field(default=1.0, metadata=RUNTIME)  # of the dreams that are shown
    sample_interval: int = field(default=5, metadata=RUNTIME)  # epochs from one dream to the next
    checkpoint_interval: int = field(default=500, metadata=RUNTIME)  # training steps

    def __post_init__(self) -> None:
        require_positive(
            "stage", self, "hidden_size", "gmm_components", "sigma_floor", "batch_size", "seq_len"
        )
        require_positive(
            "stage", self, "dataset_fraction", "num_epochs", "learning_rate", "done_weight"
        )
        require_positive(
            "stage", self, "early_stopping_patience", "sample_interval", "checkpoint_interval"
        )
        require_not_negative("stage", self, "grad_clip", "scheduler_patience", "temperature")
        require_below_one("stage", self, "dropout")
        if not 0 <= self.terminal_prob <= 1:
            raise ValueError(
                f"stage.terminal_prob is {self.terminal_prob}; it must be a probability, "
                "from 0 to 1"
            )
        if self.dataset_fraction > 1:
            raise ValueError(
                f"stage.dataset_fraction is {self.dataset_fraction}; it must be at most 1, "
                "all episodes"
            )
        if self.untrained and self.start_from is not None:
            raise ValueError(
                "stage.untrained keeps the weights that M is initialised with, and "
                "stage.start_from gives others: leave one of them out"
            )
        check_factor(self.scheduler_factor)


def resolve(cfg: MDRNNConfig, setting: Setting) -> MDRNNConfig:
    """A copy in which `start_from` is the absolute path of a checkpoint.

    Weights that do not fit are refused.
    """
    if cfg.start_from is None:
        return cfg
    needed = {
        "actions": setting.env.action_space.size,
        "hiddens": cfg.hidden_size,
        "gaussians": cfg.gmm_components,
        "mixture": cfg.mixture.value,
    }
    keys = "stage.hidden_size, stage.gmm_components and stage.mixture"
    return replace(cfg, start_from=str(starting_checkpoint(cfg.start_from, "mdrnn", needed, keys)))


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
    world = load_world_model(run.feeder.best, run.best, run.env, device=run.device.value)
    judge_best(cfg, run, world, train, validation, metrics)
    show_dreams(cfg, run, world, store)


def open_latents(cfg: MDRNNConfig, run: Run, vae: ConvVAE) -> tuple[EpisodeStore, LatentSource]:
    """The episodes that V was trained on, and their latents; every byte that is read is checked."""
    vae_hash = run.add_input("vae", run.feeder.best)
    store = EpisodeStore.at(run.pin_input("episodes", run.feeder.input("episodes")))
    if cfg.latents is Latents.online:
        store.verify()
        return store, online_latents(store, vae, run.device.value)
    latents = LatentStore.open(run.feeder.path / "latents", vae_hash, store)
    store.verify()
    latents.verify()
    return store, latents


def online_latents(store: EpisodeStore, vae: ConvVAE, device: str) -> OnlineLatents:
    """Latents as V gives them for the frames that are asked for."""

    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return vae.encoder(to_float(frames, device))

    return OnlineLatents(store, encode, vae.config["latent_size"])


def data_sets(
    cfg: MDRNNConfig, run: Run, store: EpisodeStore, latents: LatentSource
) -> tuple[LatentSequenceDataset, LatentSequenceDataset]:
    """What is trained on, and what is watched."""
    to_model = run.env.action_space.to_model
    stride = 1 if cfg.sequences is Sequences.windows else cfg.seq_len

    def of(split: str, stride: int, fraction: float) -> LatentSequenceDataset:
        return LatentSequenceDataset(
            store, latents, split, cfg.seq_len, stride, to_model=to_model, fraction=fraction
        )

    split = watched_split(store, "windows")
    fraction = 1.0 if split == "validation" else cfg.dataset_fraction
    return of("train", stride, cfg.dataset_fraction), of(split, cfg.seq_len, fraction)


def build(cfg: MDRNNConfig, run: Run, latent_size: int) -> Training[MDRNN]:
    """Model, optimizer and schedules at step 0."""
    actions = run.env.action_space.size
    sizes = (latent_size, actions, cfg.hidden_size, cfg.gmm_components)
    with seeding.seeded_weights(run.seed, "mdrnn", "weights"):
        model = MDRNN(*sizes, mixture=cfg.mixture.value, sigma_floor=cfg.sigma_floor)
    if cfg.start_from is not None:
        begin_with(model, "mdrnn", cfg.start_from, run)
    model = model.to(run.device.value)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=cfg.learning_rate, alpha=0.9)
    scheduler = plateau(optimizer, cfg.scheduler_factor, cfg.scheduler_patience)
    stopper = EarlyStopping(cfg.early_stopping_patience)
    carried = model.get_init_hidden(cfg.batch_size)
    facts = {"rewards": cfg.include_reward}
    return Training("mdrnn", model, optimizer, scheduler, stopper, carried=carried, facts=facts)


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
    if goes_on(cfg, train.store) and training.step == 0:
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
        masks = drawn_masks(cfg, run, training, len(chunks.items))
        loss, terms, training.carried = loss_terms(
            cfg, training.model, given, chunks, training.carried, draw, masks
        )
        training.update(loss, {"loss": loss, **terms}, metrics, cfg.grad_clip)
        bar.advance(len(chunks.items), note=f"epoch {training.epoch + 1}")
        if save_now(training.step):
            training.save(run, metrics)


def drawn_masks(cfg: MDRNNConfig, run: Run, training: Training[MDRNN], rows: int) -> Masks | None:
    """What M reads in the next step, another part for each row; None: all."""
    if cfg.dropout == 0:
        return None
    generator = seeding.torch_generator(
        run.seed, "mdrnn", "dropout", training.step, device=run.device.value
    )
    return training.model.masks(cfg.dropout, rows, StreamDraws(generator))


def training_order(
    cfg: MDRNNConfig, run: Run, training: Training[MDRNN], data: LatentSequenceDataset
) -> Iterator[Chunks]:
    """What is left to read in the current epoch."""
    seed, epoch, start = run.seed, training.epoch, training.batch
    if cfg.sequences is Sequences.episodes:
        return episode_chunks(data, cfg.batch_size, seed=seed, epoch=epoch, start=start)
    ends, count = cfg.terminal_prob, data.tiles
    return window_chunks(
        data, cfg.batch_size, seed=seed, epoch=epoch, start=start, count=count, terminal_prob=ends
    )


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

    Pairs (z_t, a_t) -> z_{t+1}, reward_t, done_t.
    """
    noise = torch.randn(batch.mu.shape, generator=draw, device=batch.mu.device)
    latents = batch.mu + batch.logsigma.exp() * noise
    rows, fresh = (
        torch.from_numpy(values).to(latents.device) for values in (chunks.rows, chunks.fresh)
    )
    outputs, carried = model.carry_on(batch.actions, latents[:-1], carried, rows, fresh, masks)
    targets = (latents[1:], batch.rewards, batch.terminated, batch.mask, batch.next_mask)
    loss, terms = mdrnn_loss(outputs, *targets, cfg.include_reward, cfg.done_weight)
    return loss, terms, carried


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
    validation = validate(cfg, run, training, data)
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
    if training.epoch % cfg.sample_interval == 0:
        world = WorldModel(vae, training.model, run.env)
        show_dream(cfg, run, world, data.store, f"dream_{training.epoch:04d}")
    training.save(run, metrics)
    training.start_clock()


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


def validation_order(cfg: MDRNNConfig, data: LatentSequenceDataset) -> Iterator[Chunks]:
    """All windows of the data, in the same order every time."""
    if cfg.sequences is Sequences.episodes:
        return episode_chunks(data, VALIDATION_ROWS, seed=0, epoch=0, shuffle=False)
    return window_chunks(data, VALIDATION_ROWS, seed=0, epoch=0, shuffle=False)


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
    vae = vae_of(load_checkpoint(before, "vae", device, Weights), before, device)
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


def show_dream(
    cfg: MDRNNConfig, run: Run, world: WorldModel, store: EpisodeStore, name: str
) -> None:
    """A strip of M's open-loop dream beside the truth."""
    save_strip(run, name, dream(world, store, cfg.temperature, run.seed))


def show_dreams(cfg: MDRNNConfig, run: Run, world: WorldModel, store: EpisodeStore) -> None:
    """Strips and videos of the dream beside the truth, and at several temperatures."""
    shown = {
        "dream": lambda: dream(world, store, cfg.temperature, run.seed),
        "temperatures": lambda: dream_at_temperatures(world, store, run.seed),
    }
    for name, draw in tracked("show dreams", shown.items(), len(shown), "films"):
        panels = draw()
        save_strip(run, name, panels)
        save_video(run.path / "videos" / f"{name}.mp4", side_by_side(panels), fps=15)


def save_strip(run: Run, name: str, panels: Panels) -> None:
    """Ten frames of every panel, from the first to the last."""
    picks = np.unique(evenly_spaced(len(panels["truth"]), 10, rounded=False))
    strip = labelled_rows({label: frames[picks] for label, frames in panels.items()})
    save_png(run.path / "images" / f"{name}.png", strip)


STAGE = Stage(
    "mdrnn",
    MDRNNConfig,
    execute,
    needs=("vae",),
    gives=Product("mdrnn", "checkpoints/best.pt"),
    resolve=resolve,
    played_in="dream",
)
