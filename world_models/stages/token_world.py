"""Stage token_world: train a world model on the tokens of the episodes."""

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from world_models.config.stage import Product, Setting, Stage
from world_models.data.loading import watched_split
from world_models.data.store import EpisodeStore
from world_models.data.token_windows import TokenSegments, TokenWindows
from world_models.data.tokens import TokenStore
from world_models.figures.media import labelled_rows, save_png
from world_models.learning.token_world import TokenWorldLearner
from world_models.learning.token_world_config import TokenWorldLearning
from world_models.measures.token_dreams import DreamWindows, count_rows, dreamt, horizon_rows
from world_models.measures.token_pictures import dream_strip
from world_models.measures.token_rows import CountRow, TokenHorizonRow, TokenStepRow, TokenWorldRow
from world_models.measures.tokens import TokenStatistics
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs import ranks
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow
from world_models.runs.run import BUDGET, RUNTIME, Run
from world_models.runs.schedule import until_next
from world_models.worlds.token_files import episodes_of, open_tokens, tokenizer_of
from world_models.worlds.tokenizing import load_tokenizer

log = logging.getLogger(__name__)

SHOWN = 4
"""Dreams in a picture."""


@dataclass
class TokenWorldConfig(TokenWorldLearning):
    """Training lasts `max_steps`; the model with the least loss on held-out steps is kept."""

    max_steps: int = field(default=2000, metadata=BUDGET)  # updates
    log_every: int = 50  # updates between two rows of metrics.csv
    val_every_steps: int = 500  # updates between two validations
    val_windows: int = 256  # held-out windows from which it dreams on
    horizon: int = 8  # frames that it dreams on from each
    # updates between two checkpoints
    checkpoint_interval: int = field(default=200, metadata=RUNTIME)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("stage", self, "max_steps", "log_every", "val_every_steps")
        require_positive("stage", self, "val_windows", "horizon", "checkpoint_interval")


def resolve(cfg: TokenWorldConfig, setting: Setting) -> TokenWorldConfig:
    """The same; sizes that do not fit the tokenizer, where there is one, are refused."""
    if setting.upstream is not None:
        path = tokenizer_of(setting.upstream)
        if path.is_file():
            cfg.check(load_tokenizer(path), setting.env.action_space.size)
    return cfg


def shared_out(cfg: TokenWorldConfig) -> dict[str, int]:
    """See Stage."""
    return {"stage.batch_size": cfg.batch_size}


@dataclass(frozen=True)
class Data:
    """What is learned from, and what is judged on."""

    train: TokenSegments
    held_out: TokenWindows
    starts: DreamWindows
    statistics: TokenStatistics
    # of which the held-out episodes are
    split: str


def execute(cfg: TokenWorldConfig, run: Run) -> None:
    """Train on the tokens of the upstream's episodes; leaves `best.pt` and how good it is."""
    path = tokenizer_of(run.feeder)
    run.add_input("tokenizer", path)
    tokenizer = load_tokenizer(path, run.env, run.device.value)
    store = EpisodeStore.at(run.pin_input("episodes", episodes_of(run.feeder)))
    tokens = open_tokens(path, tokenizer, store)
    if ranks.is_first():
        store.verify()
        tokens.verify()
    data = open_data(cfg, run, store, tokens)
    learner = TokenWorldLearner(cfg, run, tokenizer, cfg.log_every)
    metrics = run.metrics(learner.resume())
    if not run.last.is_file():
        learner.save(metrics)
    learner.training.start_clock()
    stops = cfg.val_every_steps, cfg.checkpoint_interval
    with ProgressBar("token world", cfg.max_steps, learner.step, "windows") as bar:
        while learner.step < cfg.max_steps:
            updates = until_next(learner.step, cfg.max_steps, *stops)
            learner.learn(data.train, updates, metrics, bar)
            judged = learner.step % cfg.val_every_steps == 0 or learner.step == cfg.max_steps
            if judged and ranks.is_first():
                validate(cfg, run, learner, data, tokenizer, metrics)
            learner.save(metrics)
    if not ranks.is_first():
        return
    learner.take_best()
    describe(run, learner, data, metrics)


def open_data(cfg: TokenWorldConfig, run: Run, store: EpisodeStore, tokens: TokenStore) -> Data:
    """The windows of the episodes' tokens, and how often each token is where."""
    split = watched_split(store, "windows")
    to_model = run.env.action_space.to_model

    def windows(length: int, stride: int) -> TokenWindows:
        given = (store, tokens, split, length, stride)
        return TokenWindows(*given, context=cfg.context, to_model=to_model)

    given = (store, tokens, "train", cfg.seq_len)
    return Data(
        TokenSegments(*given, context=cfg.context, to_model=to_model),
        windows(cfg.seq_len, cfg.seq_len),
        DreamWindows(windows(cfg.context - 1 + cfg.horizon, 1), cfg.val_windows),
        TokenStatistics.of(store, tokens, "train").to(run.device.value),
        split,
    )


def validate(
    cfg: TokenWorldConfig,
    run: Run,
    learner: TokenWorldLearner,
    data: Data,
    tokenizer: Tokenizer,
    metrics: MetricsLog,
) -> None:
    """Judge the model as it is now: a row, a picture of its dreams, and the best is kept."""
    training = learner.training
    if learner.step == cfg.max_steps:
        training.write_window(metrics)
    training.write_timing(metrics, cfg.batch_size)
    row = replace(learner.judge(data.held_out, data.statistics), epoch=training.epoch + 1)
    metrics.write("val_metrics", row)
    log.info("step %d: %s", learner.step, log_line(row))
    learner.keep_if_best(row)
    show_dreams(run, learner, data, tokenizer, metrics)
    training.start_clock()


def log_line(row: TokenWorldRow) -> str:
    """A judgement in a line for people."""
    return (
        f"{row.accuracy_changed:.0%} of changed tokens foreseen (unigram "
        f"{row.unigram_accuracy_changed:.0%}), {row.tokens:.3f} nats a token "
        f"(unigram {row.unigram:.3f})"
    )


def show_dreams(
    run: Run,
    learner: TokenWorldLearner,
    data: Data,
    tokenizer: Tokenizer,
    metrics: MetricsLog,
) -> None:
    """A picture of likeliest dreams beside the truth."""
    starts = data.starts
    chosen = np.unique(np.linspace(0, len(starts) - 1, SHOWN).round().astype(int))
    batch = starts.data.__getitems__(starts.items[chosen]).to(run.device.value)
    learner.model.eval()
    dreams = dreamt(learner.model, batch, starts.context, lambda logits: logits.argmax(-1))
    path = run.path / "images" / f"dream_step_{learner.step:08d}.png"
    save_png(path, labelled_rows(dream_strip(tokenizer, batch.tokens, dreams)))
    metrics.picture("dream", path)


def describe(run: Run, learner: TokenWorldLearner, data: Data, metrics: MetricsLog) -> None:
    """How far the best model's dreams are right, and what they double or lose."""
    device = run.device.value
    for row in horizon_rows(learner.model, data.starts, data.statistics, device):
        metrics.write("open_loop", replace(row, step=learner.step, split=data.split))
    rows = count_rows(learner.model, data.starts, data.statistics, device, run.seed)
    for count in rows:
        metrics.write("counts", count)
    log.info("%s", count_line(rows))


def count_line(rows: list[CountRow]) -> str:
    """What is doubled or lost, in a line for people."""
    shares = ", ".join(f"{row.drawn} {row.doubled:.1%} and {row.lost:.1%}" for row in rows)
    return f"frames with something doubled, and with something lost: {shares}"


STAGE = Stage(
    "token_world",
    TokenWorldConfig,
    execute,
    needs=("tokenizer",),
    needs_or_named=("rem",),
    gives=Product("token_world", "checkpoints/best.pt"),
    tables={
        "metrics": TokenStepRow,
        "val_metrics": TokenWorldRow,
        "open_loop": TokenHorizonRow,
        "counts": CountRow,
        "timing": TimingRow,
    },
    resolve=resolve,
    shared_out=shared_out,
    played_in="pixel",
)
