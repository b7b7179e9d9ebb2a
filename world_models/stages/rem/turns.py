"""The turns of an epoch: tokenizer, world model and behaviour learn one after the other."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from world_models.agents.bursts import Bursts
from world_models.agents.token_policy import TokenPolicy
from world_models.data.datasets import ObservationDataset
from world_models.data.loading import watched_split
from world_models.data.store import EpisodeStore
from world_models.data.token_episodes import TokenEpisodes
from world_models.data.token_windows import TokenSegments, TokenWindows
from world_models.data.tokens import TokenStore
from world_models.learning.behaviour import BehaviourLearner
from world_models.learning.rollouts import ModelImagination
from world_models.learning.token_world import TokenWorldLearner
from world_models.learning.tokenizer_learner import TokenizerLearner, encode_episodes
from world_models.measures.tokens import TokenStatistics
from world_models.measures.vision import HeldOut
from world_models.models.token_choice import Drawing
from world_models.runs import seeding
from world_models.runs.metrics import MetricsLog, read_csv
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.stages.rem.config import RemConfig
from world_models.worlds.tokenizing import digest_of

log = logging.getLogger(__name__)

MOST_JUDGED = 128
"""Held-out windows on which the world model is judged."""
HELD = (2, 12)
"""Steps for which a random action is held, so that the agent comes where single ones do not get it
(temporally extended epsilon-greedy, Dabney et al. 2021)."""
TOKENIZER_TABLE, WORLD_TABLE = "tokenizer_val_metrics", "world_val_metrics"


@dataclass
class Learners:
    """All that learns in a run, and its tables."""

    cfg: RemConfig
    run: Run
    tokenizer: TokenizerLearner
    world: TokenWorldLearner
    behaviour: BehaviourLearner
    metrics: MetricsLog
    # updates of the behaviour before this epoch
    turn_began: int = 0

    @property
    def drawing(self) -> Drawing:
        """How the tokens of a frame are drawn in dreams."""
        return self.behaviour.cfg.drawing

    def explorer(self) -> TokenPolicy:
        """The agent as it collects."""
        self.tokenizer.model.eval()
        self.behaviour.model.eval()
        space, cfg = self.run.env.action_space, self.cfg.collect
        bursts = Bursts(space, cfg.bursts, HELD, stuck=0) if cfg.bursts else None
        return TokenPolicy(
            self.tokenizer.model, self.behaviour.model, space, 1.0, cfg.noise, bursts
        )


def teach_tokenizer(learners: Learners, store: EpisodeStore, epoch: int, judged: bool) -> None:
    """Its updates of an epoch that are left."""
    learner, turn = learners.tokenizer, learners.cfg.schedule.tokenizer
    data = ObservationDataset(store, "train")
    if learner.cfg.learns:
        due = turn.done_by(epoch)
    else:
        # a book of patches takes in what it has not seen, whatever the number of updates
        takes = turn.first <= epoch <= (turn.last or epoch)
        due = learner.updates_in(1, data) if takes else learner.step

    def teach(updates: int, bar: ProgressBar) -> None:
        learner.learn(data, updates, learners.metrics, bar)

    teaches = _teach(learners, f"epoch {epoch}: tokenizer", learner, due, teach)
    judged = judged and not is_judged(learners.run, TOKENIZER_TABLE, epoch)
    if judged:
        row = learner.judge(HeldOut(store, learner.cfg.val_frames)).row()
        learners.metrics.write(TOKENIZER_TABLE, replace(row, step=learner.step, epoch=epoch))
    if teaches or judged:
        learner.save(learners.metrics)


def encode(learners: Learners, store: EpisodeStore) -> TokenStore:
    """The tokens of all frames, by the tokenizer as it is now; what it encoded before is kept."""
    run, model = learners.run, learners.tokenizer.model.eval()
    digest, folder = digest_of(model), run.path / "tokens"
    encode_episodes(model, digest, store, folder, run.device.value)
    return TokenStore.open(folder, digest, store)


def teach_world(
    learners: Learners, store: EpisodeStore, tokens: TokenStore, epoch: int, judged: bool
) -> None:
    """Its updates of an epoch that are left."""
    learner, due = learners.world, learners.cfg.schedule.world.done_by(epoch)
    learner.take_codes(learners.tokenizer.model)
    to_model, cfg = learners.run.env.action_space.to_model, learner.cfg
    data = TokenSegments(
        store, tokens, "train", cfg.seq_len, context=cfg.context, to_model=to_model
    )

    def teach(updates: int, bar: ProgressBar) -> None:
        learner.learn(data, updates, learners.metrics, bar)

    teaches = _teach(learners, f"epoch {epoch}: world model", learner, due, teach)
    judged = judged and learner.step > 0 and not is_judged(learners.run, WORLD_TABLE, epoch)
    if judged:
        statistics = TokenStatistics.of(store, tokens, "train").to(learners.run.device.value)
        row = learner.judge(judged_windows(learners, store, tokens), statistics, MOST_JUDGED)
        learners.metrics.write(WORLD_TABLE, replace(row, epoch=epoch))
        learner.keep(row)
        log.info("epoch %d: %.0f %% of changed tokens foreseen", epoch, 100 * row.accuracy_changed)
    if teaches or judged:
        learner.save(learners.metrics)


def is_judged(run: Run, table: str, epoch: int) -> bool:
    """Whether a run that was cut off later has a row of this epoch already."""
    path = run.path / f"{table}.csv"
    return path.is_file() and any(row["epoch"] == str(epoch) for row in read_csv(path))


def judged_windows(learners: Learners, store: EpisodeStore, tokens: TokenStore) -> TokenWindows:
    """Windows of held-out episodes that hold each step once."""
    split = watched_split(store, "windows")
    to_model, cfg = learners.run.env.action_space.to_model, learners.world.cfg
    return TokenWindows(
        store, tokens, split, cfg.seq_len, cfg.seq_len, context=cfg.context, to_model=to_model
    )


def teach_behaviour(
    learners: Learners,
    store: EpisodeStore,
    tokens: TokenStore,
    epoch: int,
    collected: int | None,
) -> None:
    """Its updates of an epoch that are left; `collected`: the first episode that is new in it."""
    learner, cfg = learners.behaviour, learners.cfg
    model = learners.tokenizer.model.eval()
    real = _real_batches(learners, store, tokens, epoch, collected) if cfg.real_steps else []
    turn = cfg.schedule.behaviour
    imagined = turn.done_by(epoch) - turn.done_by(epoch - 1)
    began = learners.turn_began
    learners.world.model.eval()
    context = learners.world.cfg.context
    world = ModelImagination(learners.world.model, model.grid, context, learners.drawing)
    episodes = TokenEpisodes.of(store, tokens, "train")

    def teach(updates: int, bar: ProgressBar) -> None:
        for _ in range(updates):
            done = learner.step - began
            if done < len(real):
                fresh, rows = real[done]
                learner.learn_real(model, fresh, rows, learners.metrics, bar)
            else:
                learner.learn(model, world, episodes, 1, learners.metrics, bar)

    due = began + len(real) + imagined
    _teach(learners, f"epoch {epoch}: behaviour", learner, due, teach)


RealBatch = tuple[TokenEpisodes, torch.Tensor]
"""Episodes, and rows of theirs from which steps are learned from."""


def _real_batches(
    learners: Learners, store: EpisodeStore, tokens: TokenStore, epoch: int, collected: int | None
) -> list[RealBatch]:
    """Every step that was collected in this epoch, once, in batches of stretches."""
    if collected is None:
        return []
    learner = learners.behaviour
    fresh = TokenEpisodes.of(store, tokens, "train", first=collected)
    tiles = fresh.tiles(learner.cfg.horizon)
    draw = seeding.torch_generator(learners.run.seed, "rem", "real", epoch)
    order = tiles[torch.randperm(len(tiles), generator=draw)]
    return [(fresh, rows) for rows in order.split(learner.cfg.batch_size)]


def _teach(
    learners: Learners,
    label: str,
    learner: TokenizerLearner | TokenWorldLearner | BehaviourLearner,
    due: int,
    teach: Callable[[int, ProgressBar], None],
) -> bool:
    """Updates up to the step `due`, saved now and then; whether there were any."""
    if learner.step >= due:
        return False
    every = learners.cfg.checkpoint_interval
    with ProgressBar(label, due, learner.step) as bar:
        while learner.step < due:
            teach(min(due, learner.step + every) - learner.step, bar)
            if learner.step < due:
                learner.save(learners.metrics)
    return True
