"""Stage rem: collect, tokenizer, world model, behaviour and evaluation, epoch after epoch.

After Cohen et al. 2024 (Improving token-based world models with parallel observation prediction).
"""

import logging
from dataclasses import replace
from pathlib import Path

from world_models.agents.token_agent import TokenAgent
from world_models.config.stage import Product, Setting, Stage
from world_models.data.store import EpisodeStore
from world_models.learning.behaviour import BehaviourLearner, require_discrete
from world_models.learning.judging import judge_agent, judge_chance
from world_models.learning.token_world import TokenWorldLearner
from world_models.learning.tokenizer import build as build_tokenizer
from world_models.measures.played import BehaviourStepRow, EpochRow, PlayedRow
from world_models.measures.token_rows import TokenStepRow, TokenWorldRow
from world_models.measures.tokenizer_rows import TokenizerRow, TokenizerStepRow
from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.metrics import MetricsLog
from world_models.runs.parsing import Count
from world_models.runs.resuming import Progress
from world_models.runs.rows import TimingRow
from world_models.runs.run import Run
from world_models.stages.rem.config import RemConfig
from world_models.stages.rem.films import film
from world_models.stages.rem.replay import Replay
from world_models.stages.rem.turns import (
    Learners,
    encode,
    teach_behaviour,
    teach_tokenizer,
    teach_world,
)

log = logging.getLogger(__name__)

PLAYED = "behaviour_played"
"""Table of what the agent came to for real."""


def resolve(cfg: RemConfig, setting: Setting) -> RemConfig:
    """A copy with absolute paths; frames and actions that cannot be used are refused."""
    setting.env.require_environment()
    require_discrete(setting.env)
    cfg.tokenizer.check(setting.env.preprocessing)
    given = cfg.tokenizer.perceptual_weights
    if given is None:
        return cfg
    tokenizer = replace(cfg.tokenizer, perceptual_weights=str(Path(given).absolute()))
    return replace(cfg, tokenizer=tokenizer)


def execute(cfg: RemConfig, run: Run) -> None:
    """All epochs that are left; leaves the agent, its models, and the episodes."""
    learners, done = open_learners(cfg, run)
    replay = Replay(cfg.collect, run)
    if done == 0 and PLAYED not in learners.metrics.offsets:
        learners.metrics.write(PLAYED, judge_chance(run, cfg.episodes, cfg.num_envs))
    for epoch in range(done + 1, cfg.epochs + 1):
        replay.collect(learners.explorer(), epoch)
        run_epoch(learners, replay, epoch)
    save_agent(learners)


class _Turns(Progress):
    """last.pt of the behaviour: the epochs that are done, and its updates by then."""

    turns: Count
    turn_began: Count


def open_learners(cfg: RemConfig, run: Run) -> tuple[Learners, int]:
    """All that learns, as it was saved last, and how many epochs are done."""
    tokenizer = build_tokenizer(cfg.tokenizer, run, cfg.log_every, part="tokenizer")
    known = tokenizer.resume()
    world = TokenWorldLearner(cfg.world, run, tokenizer.model, cfg.log_every, part="world")
    grid, code_size = tokenizer.model.grid, tokenizer.model.code_size
    behaviour = BehaviourLearner(
        cfg.behaviour, run, grid, code_size, cfg.log_every, part="behaviour"
    )
    offsets = {**(known or {}), **(world.resume() or {}), **(behaviour.resume() or {})}
    done = began = 0
    if behaviour.last.is_file():
        state = load_checkpoint(behaviour.last, "actor_critic", fields=_Turns)
        done, began = state["turns"], state["turn_began"]
    behaviour.training.facts.update(turns=done, turn_began=began)
    metrics = run.metrics(offsets)
    return Learners(cfg, run, tokenizer, world, behaviour, metrics, began), done


def run_epoch(learners: Learners, replay: Replay, epoch: int) -> None:
    """Everybody's turn, on the episodes that there are now."""
    cfg, store = learners.cfg, replay.store
    judged = epoch % cfg.evaluate_every == 0 or epoch == cfg.epochs
    teach_tokenizer(learners, store, epoch, judged)
    tokens = None
    if cfg.real_steps or epoch >= min(cfg.schedule.world.first, cfg.schedule.behaviour.first):
        tokens = encode(learners, store)
        teach_world(learners, store, tokens, epoch, judged)
        teach_behaviour(learners, store, tokens, epoch, replay.first_of(epoch))
    if judged:
        film(learners, store, tokens)
    end_epoch(learners, store, replay, epoch, judged)


def end_epoch(
    learners: Learners, store: EpisodeStore, replay: Replay, epoch: int, judged: bool
) -> None:
    """What was collected, and what the agent comes to; then the epoch is done."""
    metrics, behaviour = learners.metrics, learners.behaviour
    first = replay.first_of(epoch)
    fresh = [row for row in store.episodes("train") if first is not None and row.index >= first]
    steps = replay.train_steps
    if fresh:
        returns = [row.total_return for row in fresh]
        lengths = [row.length for row in fresh]
        metrics.write("behaviour_epochs", EpochRow.of(epoch, steps, returns, lengths))
    if judged:
        judge(learners, steps, epoch, metrics)
        save_agent(learners)
    behaviour.training.facts.update(turns=epoch, turn_began=behaviour.step)
    learners.turn_began = behaviour.step
    behaviour.save(metrics)


def judge(learners: Learners, env_steps: int, epoch: int, metrics: MetricsLog) -> None:
    """Play the agent as it is now."""
    cfg, behaviour = learners.cfg, learners.behaviour
    tokenizer, model, step = learners.tokenizer.model, behaviour.model, behaviour.step
    row = judge_agent(learners.run, tokenizer, model, cfg.episodes, cfg.num_envs, step, env_steps)
    metrics.write(PLAYED, row)
    log.info(
        "epoch %d, %d steps: return %.2f (%.2f to %.2f)",
        epoch,
        env_steps,
        row.mean,
        row.low,
        row.high,
    )


def save_agent(learners: Learners) -> None:
    """Write agent.pt: the agent as it is now."""
    run = learners.run
    agent = TokenAgent(
        learners.tokenizer.model,
        learners.behaviour.model,
        run.env,
        inputs=run.manifest["inputs"],
    )
    agent.save(run.path / "agent.pt")


STAGE = Stage(
    "rem",
    RemConfig,
    execute,
    gives=Product("agent", "agent.pt"),
    tables={
        "tokenizer_metrics": TokenizerStepRow,
        "tokenizer_val_metrics": TokenizerRow,
        "tokenizer_timing": TimingRow,
        "world_metrics": TokenStepRow,
        "world_val_metrics": TokenWorldRow,
        "world_timing": TimingRow,
        "behaviour_metrics": BehaviourStepRow,
        "behaviour_epochs": EpochRow,
        "behaviour_played": PlayedRow,
        "behaviour_timing": TimingRow,
    },
    resolve=resolve,
    evaluated_by="evaluate",
    played_in="pixel",
)
