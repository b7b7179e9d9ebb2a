"""Who plays candidates, and who chooses the agent among them."""

from collections import Counter
from dataclasses import replace
from functools import partial

from world_models.measures.search_rows import DreamtRow
from world_models.pools.choose import open_pool
from world_models.pools.pool import Pool
from world_models.runs.metrics import read_rows
from world_models.runs.past import PastRun
from world_models.runs.places import led_to
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.search.beside_dream import BesideDream
from world_models.search.dream_config import open_dreamers, open_frame_dreamers
from world_models.search.dreaming import Dreamers
from world_models.search.dreaming_frames import FrameDreamers
from world_models.search.fitness import Models, build_player
from world_models.search.layout import WorkerLayout
from world_models.search.noise import next_samples
from world_models.search.search import Search
from world_models.search.selection import Selection
from world_models.search.team import Players, Team, play_candidates
from world_models.stages.controller.config import ControllerConfig
from world_models.worlds.latent import load_world_model

AnyDreamers = Dreamers | FrameDreamers
"""Candidates that play in a dream, of M or of a pixel model."""


def dreamers_of(cfg: ControllerConfig, run: Run) -> AnyDreamers:
    """Candidates that play in a dream: of the upstream M, or of the pixel model that is named."""
    run.pin_input("episodes", run.feeder.input("episodes"))
    device, inputs = run.device.value, cfg.controller_inputs
    if cfg.dream.source is None:
        return open_dreamers(cfg.dream, run.feeder, device, inputs)
    source = PastRun(led_to(run.path, cfg.dream.source))
    run.add_input("pixel", source.best)
    seeing = load_world_model(run.feeder.input("vae"), run.feeder.best, run.env, inputs, device)
    return open_frame_dreamers(cfg.dream, source, seeing, cfg.num_envs)


def open_workers(cfg: ControllerConfig, run: Run, models: Models, layout: WorkerLayout) -> Pool:
    """Workers that play blocks of episodes."""
    return open_pool(
        run.workers,
        layout.workers,
        build_player,
        (models, run.backend.value, layout.slots, layout.device, layout.threads),
        most=cfg.max_workers,
        deadline=cfg.deadline,
    )


def players_of(
    cfg: ControllerConfig, team: Team, dreamers: AnyDreamers | None, bar: ProgressBar
) -> Players:
    """Who plays candidates: workers in the real environment, or all at once in a dream."""

    def advance(episodes: int, steps: int) -> None:
        bar.advance(0, steps)

    if dreamers is not None:
        return replace(dreamers, advance=advance).play_candidates
    return partial(play_candidates, replace(team, early_cut=cfg.early_cut, advance=advance))


def selection_of(
    cfg: ControllerConfig, run: Run, team: Team, dreamers: AnyDreamers | None
) -> Selection:
    """What chooses the agent: always the real environment, beside the dream where there is one."""
    real = (replace(team, hanging=Counter()), cfg.selection_episodes)
    if dreamers is None:
        return Selection(*real)
    return BesideDream(*real, dreamers, read_rows(run.path / "dreamt.csv", DreamtRow))


def samples_of_next(cfg: ControllerConfig, search: Search) -> int:
    """Episodes per candidate in the next generation."""
    most = cfg.most_samples or 0
    return next_samples(search.samples, search.reliability, most, cfg.reliability, cfg.n_samples)
