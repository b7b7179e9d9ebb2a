"""Stage controller: search C, the linear controller, with CMA-ES on returns."""

import logging
import time

import numpy as np

from world_models.agents.agent import Agent
from world_models.config.stage import Product, Stage
from world_models.measures.search_rows import (
    DreamtRow,
    GenerationRow,
    PublishedRow,
    QuarantineRow,
    SelectionRow,
)
from world_models.runs.checkpoint import save_checkpoint
from world_models.runs.metrics import MetricsLog
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow
from world_models.runs.run import Run
from world_models.search.layout import layout_for
from world_models.search.search import RATE_KNOWN_AFTER, Search
from world_models.search.stored import load_search
from world_models.search.team import Team
from world_models.search.tracks import fresh_tracks
from world_models.stages.controller.config import (
    ControllerConfig,
    SearchedIn,
    resolve,
    search_options,
)
from world_models.stages.controller.opening import open_search, open_world
from world_models.stages.controller.players import (
    AnyDreamers,
    dreamers_of,
    open_workers,
    players_of,
    samples_of_next,
    selection_of,
)
from world_models.stages.controller.telling import log_plan, search_row, timing_row, write_reference
from world_models.worlds.latent import WorldModel
from world_models.worlds.opening import trained_on_rewards

log = logging.getLogger(__name__)


def execute(cfg: ControllerConfig, run: Run) -> None:
    """Search; leaves `agent.pt` with the best and the last mean vector."""
    models, world = open_world(cfg, run)
    stored = load_search(run.last) if run.last.is_file() else None
    search = open_search(cfg, run, world, stored)
    metrics = run.metrics(None if stored is None else dict(stored["csv_offsets"]))
    write_reference(run, search, metrics)
    dreamers = dreamers_of(cfg, run) if cfg.world is SearchedIn.dream else None
    layout = layout_for(run, -1, cfg.num_envs)
    with (
        open_workers(cfg, run, models, layout) as pool,
        ProgressBar("generations", cfg.generations, search.generation, "env steps") as bar,
    ):
        team = Team(pool, layout.slots, cfg.time_limit, metrics)
        team.warm_up(len(search.mean))
        evolve(cfg, run, search, team, dreamers, bar)
    write_agent(run, search, world)


def evolve(
    cfg: ControllerConfig,
    run: Run,
    search: Search,
    team: Team,
    dreamers: AnyDreamers | None,
    bar: ProgressBar,
) -> None:
    """Ask, play, tell until the budget is used up; now and then test, and save each time."""
    play = players_of(cfg, team, dreamers, bar)
    selection = selection_of(cfg, run, team, dreamers)
    planned = max(RATE_KNOWN_AFTER, search.generation + 1)
    while not cfg.budget.is_over(search):
        began = time.monotonic()
        candidates = search.ask()
        tracks = fresh_tracks(search, run.seed, samples_of_next(cfg, search))
        played = play(candidates, tracks)
        seconds = time.monotonic() - began
        search.tell(played.returns, played.steps, seconds, played.undisturbed)
        bar.expect(cfg.budget.total(search))
        bar.advance(1, 0, f"mean {np.nanmean(played.returns):.0f}")
        team.metrics.write("metrics", search_row(search, played))
        if search.generation == planned:
            log_plan(cfg, run, search, played.steps / seconds, seconds)
        began = time.monotonic()
        if search.generation % cfg.test_interval == 0:
            selection.test(search)
        tested = time.monotonic() - began
        team.metrics.write("timing", timing_row(search, played.steps, seconds, tested))
        save(cfg, run, search, team.metrics)
    if search.tested != search.generation:
        selection.test(search)
        save(cfg, run, search, team.metrics)


def save(cfg: ControllerConfig, run: Run, search: Search, metrics: MetricsLog) -> None:
    """Write `last.pt`."""
    place = {"inputs": run.manifest["inputs"], "csv_offsets": metrics.offsets}
    state = {"search": search_options(cfg), **search.state(), **place}
    save_checkpoint(run.last, "controller", state)


def write_agent(run: Run, search: Search, world: WorldModel) -> None:
    """Write agent.pt."""
    best = search.best
    assert best is not None, "a search ends with a test"
    controllers = {"best": best.vector.astype(np.float32), "mean": search.mean.astype(np.float32)}
    rewards = trained_on_rewards(world, run.feeder.path)
    agent = Agent(world, controllers, inputs=run.manifest["inputs"], has_reward=rewards)
    agent.save(run.path / "agent.pt")
    log.info("the agent (selection score %.1f) is in %s/agent.pt", best.score, run.name)


STAGE = Stage(
    "controller",
    ControllerConfig,
    execute,
    needs=("mdrnn",),
    gives=Product("agent", "agent.pt"),
    tables={
        "metrics": GenerationRow,
        "selection": SelectionRow,
        "dreamt": DreamtRow,
        "reference": PublishedRow,
        "quarantine": QuarantineRow,
        "timing": TimingRow,
    },
    resolve=resolve,
    evaluated_by="evaluate",
    played_in="dream",
)
