"""Stage controller: search C, the linear controller, with CMA-ES on returns."""

import logging
import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from world_models.agents.agent import Agent, WorldModel, load_world_model
from world_models.agents.evolution import Evolution
from world_models.agents.fitness import Block, Models, build_player, candidate_blocks, play_blocks, single_blocks
from world_models.agents.rollout import Score
from world_models.agents.workers import WorkerPool
from world_models.envs.make import EnvSpec
from world_models.models.controller import num_parameters
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.folder import BUDGET, RUNTIME, Run
from world_models.runs.lineage import input_of
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import num_cores, require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.seeding import Purpose, fixed_seeds, fresh_seeds
from world_models.runs.statistics import Summary, summarize

log = logging.getLogger(__name__)


@dataclass
class ControllerConfig:
    """The search ends after `generations`, after `minutes`, or when the mean vector reaches `target_return`.

    `minutes` of playing candidates becomes a number of environment steps, from the rate measured once, in the first
    generation; tests of the mean vector come on top. Every candidate plays
    `n_samples` episodes, all candidates of a generation on the same fresh tracks. Each `test_interval` generations the
    mean vector plays `selection_episodes` fixed tracks, and once more at the end; the best mean so far is the agent.
    (A search that is extended after its end keeps that last test, which an uninterrupted one would not have made.)
    """

    pop_size: int = 64
    n_samples: int = 4
    generations: int | None = field(default=100, metadata=BUDGET)
    minutes: float | None = field(default=None, metadata=BUDGET)
    sigma0: float = 0.1
    target_return: float | None = field(default=None, metadata=BUDGET)
    time_limit: int | None = 1000
    early_cut: int = 0  # steps without a positive reward after which a search episode is cut (0: never)
    test_interval: int = 5
    selection_episodes: int = 16
    num_envs: int = 16  # environments that a worker steps side by side
    max_workers: int = field(default=32, metadata=RUNTIME)  # 0: this process; never more than there are cores

    def __post_init__(self) -> None:
        require_positive("stage", self, "n_samples", "generations", "minutes", "sigma0", "time_limit")
        require_positive("stage", self, "test_interval", "selection_episodes", "num_envs")
        if self.pop_size < 2:
            raise ValueError(f"stage.pop_size is {self.pop_size}; CMA-ES needs at least 2 candidates")
        if self.generations is None and self.minutes is None:
            raise ValueError("stage.generations and stage.minutes are both null: give the search an end")
        if self.max_workers < 0 or self.early_cut < 0:
            raise ValueError("stage.max_workers and stage.early_cut must be 0 or more")


@dataclass
class Search:
    """Where the search stands: all that, with the returns told so far, makes it go on as if never stopped."""

    evolution: Evolution
    history: list[list[float]] = field(default_factory=list)  # mean return of each candidate, per generation
    env_steps: int = 0
    rate: float | None = None  # environment steps per second in the first generation of the run
    best: np.ndarray | None = None
    best_score: float = -np.inf
    tested: int = -1  # generation of the last test


def execute(cfg: ControllerConfig, run: Run) -> None:
    """Search; leaves `agent.pt` with the best and the last mean vector."""
    models, world = open_world(run)
    size = num_parameters(**world.controller_config)
    evolution = Evolution(size, pop_size=cfg.pop_size, sigma0=cfg.sigma0, seed=run.seed)
    search = Search(evolution)
    metrics = run.metrics(resume(run, search))
    workers = min(cfg.max_workers, num_cores())
    with (
        WorkerPool(workers, build_player, (models, run.backend, cfg.num_envs, run.device.value)) as pool,
        ProgressBar("controller", cfg.generations, evolution.generation, "env steps") as bar,
    ):
        warm_up(pool, size)
        while not is_over(cfg, search):
            one_generation(cfg, run, search, pool, metrics, bar)
            if evolution.generation % cfg.test_interval == 0:
                test_mean(cfg, search, pool, metrics)
            save(run, search, metrics)
        if search.tested != evolution.generation:
            test_mean(cfg, search, pool, metrics)
            save(run, search, metrics)
    write_agent(run, search, world)


def open_world(run: Run) -> tuple[Models, WorldModel]:
    """M from the upstream run, and the very V on whose latents it was trained."""
    assert run.upstream is not None
    mdrnn, vae = run.upstream / "checkpoints" / "best.pt", input_of(run.upstream, "vae")
    run.add_input("mdrnn", mdrnn)
    run.add_input("vae", vae)
    models = Models(run.env, vae=vae, mdrnn=mdrnn)
    return models, load_world_model(vae, mdrnn, EnvSpec.from_dict(run.env))


def is_over(cfg: ControllerConfig, search: Search) -> bool:
    """Whether a budget is used up or the target reached."""
    generation = search.evolution.generation
    out_of_generations = cfg.generations is not None and generation >= cfg.generations
    budget = budget_steps(cfg, search)
    out_of_steps = budget is not None and search.env_steps >= budget
    on_target = cfg.target_return is not None and search.best_score >= cfg.target_return
    return out_of_generations or out_of_steps or on_target


def budget_steps(cfg: ControllerConfig, search: Search) -> int | None:
    """`minutes` in environment steps; None without such a budget, or before the rate is known."""
    if cfg.minutes is None or search.rate is None:
        return None
    return math.ceil(search.rate * 60 * cfg.minutes)


def warm_up(pool: WorkerPool, size: int) -> None:
    """One step in each worker, so that no measured generation waits for processes to start and models to load."""
    blocks = [Block(np.zeros((1, size), np.float32), (0,), max_steps=1)] * max(1, len(pool.pids))
    play_blocks(pool, blocks, lambda episodes, steps: None)


def one_generation(
    cfg: ControllerConfig, run: Run, search: Search, pool: WorkerPool, metrics: MetricsLog, bar: ProgressBar
) -> None:
    """Ask, play every candidate on the same fresh tracks, tell."""
    began, evolution = time.monotonic(), search.evolution
    generation = evolution.generation
    seeds = fresh_seeds(Purpose.search, cfg.n_samples, run.seed, "generation", generation)
    blocks = candidate_blocks(evolution.ask(), seeds, cfg.num_envs, cfg.time_limit, cfg.early_cut)
    scores = play_blocks(pool, blocks, lambda episodes, steps: bar.advance(0, steps))
    returns = np.array([score.total_return for score in scores]).reshape(cfg.pop_size, cfg.n_samples).mean(1)
    if not np.isfinite(returns).all():
        raise ValueError(
            f"{run.env['id']} gave a return that is NaN or infinite in generation {generation + 1}: its rewards are broken"
        )
    evolution.tell(returns.tolist())
    search.history.append(returns.tolist())
    steps = sum(score.length for score in scores)
    search.env_steps += steps
    seconds = time.monotonic() - began
    search.rate = search.rate or steps / seconds
    bar.expect(expected_generations(cfg, search))
    bar.advance(1, 0, f"mean {returns.mean():.0f}")
    metrics.write("metrics", row(search, returns, scores))
    metrics.write(
        "timing", {"generation": generation + 1, "seconds": round(seconds, 3), "rate": round(steps / seconds, 1)}
    )


def expected_generations(cfg: ControllerConfig, search: Search) -> int:
    """How many generations the budget allows, at the steps per generation so far."""
    limits = [cfg.generations] if cfg.generations is not None else []
    budget = budget_steps(cfg, search)
    if budget is not None:
        limits.append(math.ceil(budget * len(search.history) / search.env_steps))
    return min(limits)


def row(search: Search, returns: np.ndarray, scores: list[Score]) -> dict[str, Any]:
    """A row of metrics.csv."""
    return {
        "generation": search.evolution.generation,
        "episodes": search.evolution.generation * len(scores),
        "env_steps": search.env_steps,
        "best": float(returns.max()),
        "mean": float(returns.mean()),
        "median": float(np.median(returns)),
        "worst": float(returns.min()),
        "std": float(returns.std()),
        "sigma": search.evolution.sigma,
        "length": float(np.mean([score.length for score in scores])),
    }


def test_mean(cfg: ControllerConfig, search: Search, pool: WorkerPool, metrics: MetricsLog) -> None:
    """Play the mean vector on the selection tracks and keep it if it is the best so far."""
    mean, generation = search.evolution.mean, search.evolution.generation
    seeds = fixed_seeds(Purpose.selection, cfg.selection_episodes)
    width = min(cfg.num_envs, -(-cfg.selection_episodes // 2))
    scores = play_blocks(pool, single_blocks(mean, seeds, width, cfg.time_limit), lambda episodes, steps: None)
    summary = summarize([score.total_return for score in scores])
    if summary.mean > search.best_score:
        search.best, search.best_score = mean, summary.mean
    search.tested = generation
    report(generation, summary, search)
    values = {"mean": summary.mean, "std": summary.std, "low": summary.low, "high": summary.high}
    metrics.write("selection", {"generation": generation, **values, "best": search.best_score})


def report(generation: int, summary: Summary, search: Search) -> None:
    """Say how the mean vector does."""
    interval = f"{summary.low:.1f} to {summary.high:.1f}"
    log.info(
        "generation %d: mean vector %.1f (95%% interval %s), best %.1f",
        generation,
        summary.mean,
        interval,
        search.best_score,
    )


def resume(run: Run, search: Search) -> dict[str, int] | None:
    """Replay the search that `last.pt` holds, where there is one; returns its CSV offsets."""
    if not run.last.is_file():
        return None
    state = load_checkpoint(run.last, "controller")
    search.evolution.replay(state["history"])
    search.history = state["history"]
    search.env_steps, search.rate = state["env_steps"], state["rate"]
    search.best = None if state["best"] is None else state["best"].numpy()
    search.best_score, search.tested = state["best_score"], state["tested"]
    return dict(state["csv_offsets"])


def save(run: Run, search: Search, metrics: MetricsLog) -> None:
    """Write `last.pt`."""
    content = {
        "history": search.history,
        "env_steps": search.env_steps,
        "rate": search.rate,
        "best": None if search.best is None else torch.from_numpy(search.best),
        "best_score": float(search.best_score),
        "tested": search.tested,
        "mean": torch.from_numpy(search.evolution.mean),
        "inputs": run.manifest["inputs"],
        "csv_offsets": metrics.offsets,
    }
    save_checkpoint(run.last, "controller", content)


def write_agent(run: Run, search: Search, world: WorldModel) -> None:
    """Write agent.pt."""
    assert search.best is not None
    controllers = {"best": search.best.astype(np.float32), "mean": search.evolution.mean.astype(np.float32)}
    Agent(world, controllers).save(run.path / "agent.pt", run.manifest["inputs"])
    log.info("the agent (selection score %.1f) is in %s/agent.pt", search.best_score, run.name)
