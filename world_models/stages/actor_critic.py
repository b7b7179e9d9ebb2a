"""Stage actor_critic: an agent learns in a world of tokens that is trained already."""

import logging
from dataclasses import dataclass, field

from world_models.agents.token_agent import TokenAgent
from world_models.config.stage import Product, Setting, Stage
from world_models.data.store import EpisodeStore
from world_models.data.token_episodes import TokenEpisodes
from world_models.learning.behaviour import (
    BehaviourLearner,
    BehaviourLearning,
    require_discrete,
)
from world_models.learning.judging import judge_agent, judge_chance
from world_models.learning.rollouts import ModelImagination
from world_models.measures.played import BehaviourStepRow, PlayedRow
from world_models.models.actor_critic import ActorCritic
from world_models.models.token_choice import Drawing
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.checkpoint import Trained, load_checkpoint
from world_models.runs.folder import display_path
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow, cells
from world_models.runs.run import BUDGET, RUNTIME, Run
from world_models.runs.schedule import until_next
from world_models.runs.weights import model_of
from world_models.worlds.opening import dreamer_files, load_dreamer
from world_models.worlds.token_files import episodes_of, open_tokens, tokenizer_of

log = logging.getLogger(__name__)


@dataclass
class ActorCriticConfig(BehaviourLearning):
    """Training lasts `max_steps` updates; what scores best in the environment is the agent."""

    max_steps: int = field(default=2000, metadata=BUDGET)  # updates
    log_every: int = 50  # updates between two rows of metrics.csv
    val_every_steps: int = 500  # updates between two tests
    episodes: int = 32  # of a test, played for real on the selection seeds
    num_envs: int = 8  # environments in which these are played side by side
    # updates between two checkpoints
    checkpoint_interval: int = field(default=200, metadata=RUNTIME)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("stage", self, "max_steps", "log_every", "val_every_steps", "episodes")
        require_positive("stage", self, "num_envs", "checkpoint_interval")


def resolve(cfg: ActorCriticConfig, setting: Setting) -> ActorCriticConfig:
    """The same; actions that are not numbered, and an upstream without a world, are refused."""
    setting.env.require_environment()
    require_discrete(setting.env)
    if setting.upstream is not None:
        dreamer_files(setting.upstream)
    return cfg


def execute(cfg: ActorCriticConfig, run: Run) -> None:
    """Learn from stored beginnings; leaves `best.pt` and `agent.pt`."""
    device = run.device.value
    tokenizer, world = open_world(run, cfg.drawing)
    episodes = open_episodes(run, tokenizer)
    learner = BehaviourLearner(cfg, run, tokenizer.grid, tokenizer.code_size, cfg.log_every)
    metrics = run.metrics(learner.resume())
    if "played" not in metrics.offsets:
        metrics.write("played", judge_chance(run, cfg.episodes, cfg.num_envs))
        learner.save(metrics)
    stops = cfg.val_every_steps, cfg.checkpoint_interval
    with ProgressBar("actor-critic", cfg.max_steps, learner.step, "frames") as bar:
        while learner.step < cfg.max_steps:
            updates = until_next(learner.step, cfg.max_steps, *stops)
            learner.learn(tokenizer, world, episodes, updates, metrics, bar)
            if learner.step % cfg.val_every_steps == 0 or learner.step == cfg.max_steps:
                validate(cfg, run, learner, tokenizer, episodes.num_steps, metrics)
            learner.save(metrics)
    best = load_checkpoint(run.best, "actor_critic", device, Trained)
    model = model_of(ActorCritic, best, run.best).to(device)
    TokenAgent(tokenizer, model, run.env, inputs=run.manifest["inputs"]).save(run.path / "agent.pt")
    log.info("the agent is in %s/agent.pt", run.name)


def open_world(run: Run, drawing: Drawing) -> tuple[Tokenizer, ModelImagination]:
    """The upstream's world model, and the tokenizer whose tokens it reads."""
    device = run.device.value
    files = dreamer_files(run.feeder)
    for kind, path in files.inputs.items():
        run.add_input(kind, path)
    dreamer, tokenizer = load_dreamer(files, run.env, device)
    return tokenizer, ModelImagination(dreamer.model, dreamer.grid, dreamer.context, drawing)


def open_episodes(run: Run, tokenizer: Tokenizer) -> TokenEpisodes:
    """The training episodes on which the upstream's world model was trained, as tokens."""
    store = EpisodeStore.at(run.pin_input("episodes", episodes_of(run.feeder)))
    tokens = open_tokens(tokenizer_of(run.feeder), tokenizer, store)
    tokens.verify()
    if not store.episodes("train"):
        raise ValueError(f"{display_path(store.folder)} has no training episodes: collect some")
    return TokenEpisodes.of(store, tokens, "train")


def validate(
    cfg: ActorCriticConfig,
    run: Run,
    learner: BehaviourLearner,
    tokenizer: Tokenizer,
    env_steps: int,
    metrics: MetricsLog,
) -> None:
    """Play the agent as it is now: a row, and the best is kept."""
    training = learner.training
    if learner.step == cfg.max_steps:
        training.write_window(metrics)
    training.write_timing(metrics, cfg.batch_size * cfg.horizon)
    row = judge_agent(
        run, tokenizer, learner.model, cfg.episodes, cfg.num_envs, learner.step, env_steps
    )
    metrics.write("played", row)
    log.info("step %d: return %.2f (%.2f to %.2f)", row.step, row.mean, row.low, row.high)
    # of equal returns the last: a policy goes on to improve where scores cannot tell
    if training.stopper.best is None or -row.mean <= training.stopper.best:
        training.stopper.best = -row.mean
        training.save_best(run, cells(row))
    training.start_clock()


STAGE = Stage(
    "actor_critic",
    ActorCriticConfig,
    execute,
    needs=("token_world",),
    needs_or_named=("rem",),
    gives=Product("agent", "agent.pt"),
    tables={
        "metrics": BehaviourStepRow,
        "played": PlayedRow,
        "timing": TimingRow,
    },
    resolve=resolve,
    evaluated_by="evaluate",
    played_in="pixel",
)
