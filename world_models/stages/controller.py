"""Stage controller: search C, the linear controller, with CMA-ES on returns."""

import logging
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from world_models.agents.agent import Agent
from world_models.config.stage import Product, Setting, Stage
from world_models.data.store import EpisodeStore
from world_models.measures.search_rows import DreamtRow, GenerationRow
from world_models.models.controller import (
    ControllerInputs,
    Features,
    Latent,
    num_parameters,
)
from world_models.pools.choose import open_pool
from world_models.pools.pool import DEADLINE, Pool
from world_models.runs.checkpoint import save_checkpoint
from world_models.runs.files import sha256
from world_models.runs.metrics import MetricsLog, read_rows
from world_models.runs.numbers import require_not_negative, require_positive
from world_models.runs.past import PastRun, part_folder
from world_models.runs.places import led_to
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow
from world_models.runs.run import BUDGET, PATH, RUNTIME, Run
from world_models.search.beside_dream import BesideDream
from world_models.search.budget import Budget, Pace
from world_models.search.dream_config import DreamConfig, open_dreamers, open_frame_dreamers
from world_models.search.dreaming import Dreamers
from world_models.search.dreaming_frames import FrameDreamers
from world_models.search.evolution import Evolution, Segment
from world_models.search.fitness import Models, build_player
from world_models.search.imitation import imitating_start
from world_models.search.layout import WorkerLayout, layout_for
from world_models.search.noise import fitness, next_samples
from world_models.search.observed import observe
from world_models.search.reference import published
from world_models.search.search import RATE_KNOWN_AFTER, Search
from world_models.search.selection import Selection
from world_models.search.stored import load_search, require_replayed
from world_models.search.team import Played, Players, Team, play_candidates
from world_models.search.tracks import fresh_tracks
from world_models.worlds.dreaming import Reward
from world_models.worlds.latent import WorldModel, load_world_model
from world_models.worlds.opening import trained_on_rewards

log = logging.getLogger(__name__)


Sleepers = Dreamers | FrameDreamers


class SearchedIn(Enum):
    """Where candidates play; tests are always in the real environment."""

    real = "real"
    dream = "dream"


@dataclass
class ControllerConfig:
    """The search ends after `generations`, `env_steps` or `minutes`, or at `target_return`.

    `minutes` of playing candidates becomes a number of environment steps, at a rate that is
    measured once (search/budget.py); tests come on top. In a dream its steps are counted.

    Every candidate plays `n_samples` episodes, all candidates of a generation on the same fresh
    tracks. `n_samples` grows up to `most_samples` once ranks are less reliable than `reliability`.

    Each `test_interval` generations, and at the end, the mean vector and the best candidate play
    `selection_episodes` fixed tracks. The best of all is the agent.
    A search that is extended after its end keeps what it tested then.
    """

    # keys of earlier versions, and the values with which they did nothing
    RETIRED: ClassVar[dict[str, Any]] = {"components": None, "heats": 1, "finalists": 1}

    world: SearchedIn = SearchedIn.real
    # how candidates dream where `world` is dream
    dream: DreamConfig = field(default_factory=DreamConfig)
    features: Features = Features.zh
    hidden_units: int = 0  # tanh units between features and action; 0: the linear controller
    latent: Latent = Latent.mean
    # begin at the controller that does most nearly what was done in M's episodes, and not at zero
    imitate: bool = False
    pop_size: int = 64
    sigma0: float = 0.1
    diagonal: bool = False  # adapt variances alone (sep-CMA-ES)
    # taken off a return, times the squared length of the parameter vector
    weight_decay: float = 0.0
    # controller run folder whose search goes on here: mean, step size and covariance
    start_from: str | None = field(default=None, metadata=PATH)
    n_samples: int = 4
    most_samples: int | None = None
    reliability: float = 0.3  # 0: ranks are noise, 1: exact
    generations: int | None = field(default=100, metadata=BUDGET)
    env_steps: int | None = field(default=None, metadata=BUDGET)
    minutes: float | None = field(default=None, metadata=BUDGET)
    target_return: float | None = field(default=None, metadata=BUDGET)
    time_limit: int | None = 1000
    # steps without a positive reward after which a search episode is cut (0: never)
    early_cut: int = 0
    test_interval: int = 5
    selection_episodes: int = 16
    num_envs: int = 16  # environments that a worker steps side by side; on cuda, for each core
    # 0: this process; never more than there are cores
    max_workers: int = field(default=32, metadata=RUNTIME)
    # seconds without a step, then a worker is replaced
    deadline: float = field(default=DEADLINE, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive(
            "stage",
            self,
            "n_samples",
            "generations",
            "env_steps",
            "minutes",
            "sigma0",
            "time_limit",
        )
        require_positive(
            "stage",
            self,
            "test_interval",
            "selection_episodes",
            "num_envs",
            "deadline",
        )
        require_not_negative(
            "stage", self, "max_workers", "early_cut", "hidden_units", "weight_decay"
        )
        self._check_search()
        self._check_episodes()

    def _check_search(self) -> None:
        if self.pop_size < 2:
            raise ValueError(
                f"stage.pop_size is {self.pop_size}; CMA-ES needs at least 2 candidates"
            )
        if self.imitate and self.hidden_units:
            raise ValueError(
                "stage.imitate is for the linear controller, and stage.hidden_units is "
                f"{self.hidden_units}"
            )
        if self.generations is None and self.minutes is None and self.env_steps is None:
            raise ValueError(
                "stage.generations, stage.env_steps and stage.minutes are all null: give the "
                "search an end"
            )

    def _check_episodes(self) -> None:
        if self.world is SearchedIn.dream and self.early_cut:
            raise ValueError(
                f"stage.early_cut is {self.early_cut}: it cuts episodes of the real environment, "
                "and stage.world=dream has none; set stage.dream.max_steps"
            )
        if not 0 <= self.reliability <= 1:
            raise ValueError(
                f"stage.reliability is {self.reliability}; it must lie between 0 and 1"
            )
        if self.most_samples is not None and not 2 <= self.n_samples <= self.most_samples:
            raise ValueError(
                f"stage.most_samples is {self.most_samples} and stage.n_samples {self.n_samples}: "
                "the number of episodes can grow from 2 or more (their halves are compared) to no "
                "fewer than that"
            )

    @property
    def dreams_of_rewards(self) -> bool:
        """Whether candidates live by what M's reward head says."""
        of_m = self.world is SearchedIn.dream and self.dream.source is None
        return of_m and self.dream.reward is Reward.head

    @property
    def controller_inputs(self) -> ControllerInputs:
        """How C is built upon V and M."""
        return ControllerInputs(self.features, self.hidden_units, self.latent)

    @property
    def budget(self) -> Budget:
        """What ends the search."""
        return Budget(self.generations, self.env_steps, self.minutes, self.target_return)


def resolve(cfg: ControllerConfig, setting: Setting) -> ControllerConfig:
    """A copy in which `start_from` and `dream.source` are absolute paths.

    A search that cannot go on here is refused.
    """
    if cfg.dream.source is not None:
        source = part_folder(Path(cfg.dream.source).absolute(), "pixel")
        cfg = replace(cfg, dream=replace(cfg.dream, source=str(source)))
    if cfg.start_from is None:
        return cfg
    path = part_folder(Path(cfg.start_from).absolute(), "controller")
    found = load_search(path / "checkpoints" / "last.pt")["search"]
    ours = search_options(cfg)
    if found != ours:
        raise ValueError(
            f"stage.start_from={path} searched with {_words(found)} "
            f"and this run has {_words(ours)}: they must agree"
        )
    return replace(cfg, start_from=str(path))


def search_options(cfg: ControllerConfig) -> dict[str, Any]:
    """What two searches must share for one to go on where the other ended."""
    options = {
        "pop_size": cfg.pop_size,
        "sigma0": cfg.sigma0,
        "diagonal": cfg.diagonal,
        "imitate": cfg.imitate,
    }
    return {**options, **cfg.controller_inputs.to_dict()}


def _words(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def execute(cfg: ControllerConfig, run: Run) -> None:
    """Search; leaves `agent.pt` with the best and the last mean vector."""
    models, world = open_world(cfg, run)
    stored = load_search(run.last) if run.last.is_file() else None
    search = open_search(cfg, run, world, stored)
    metrics = run.metrics(None if stored is None else dict(stored["csv_offsets"]))
    write_reference(run, search, metrics)
    dreamers = sleeping(cfg, run) if cfg.world is SearchedIn.dream else None
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
    dreamers: Sleepers | None,
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


def players_of(
    cfg: ControllerConfig, team: Team, dreamers: Sleepers | None, bar: ProgressBar
) -> Players:
    """Who plays candidates: workers in the real environment, or all at once in a dream."""

    def advance(episodes: int, steps: int) -> None:
        bar.advance(0, steps)

    if dreamers is not None:
        return replace(dreamers, advance=advance).play_candidates
    return partial(play_candidates, replace(team, early_cut=cfg.early_cut, advance=advance))


def selection_of(
    cfg: ControllerConfig, run: Run, team: Team, dreamers: Sleepers | None
) -> Selection:
    """What chooses the agent: always the real environment, beside the dream where there is one."""
    real = (replace(team, hanging=Counter()), cfg.selection_episodes)
    if dreamers is None:
        return Selection(*real)
    return BesideDream(*real, dreamers, read_rows(run.path / "dreamt.csv", DreamtRow))


def sleeping(cfg: ControllerConfig, run: Run) -> Sleepers:
    """Candidates that play in a dream: of the upstream M, or of the pixel model that is named."""
    run.pin_input("episodes", run.feeder.input("episodes"))
    device, inputs = run.device.value, cfg.controller_inputs
    if cfg.dream.source is None:
        return open_dreamers(cfg.dream, run.feeder, device, inputs)
    source = PastRun(led_to(run.path, cfg.dream.source))
    run.add_input("pixel", source.best)
    seeing = load_world_model(run.feeder.input("vae"), run.feeder.best, run.env, inputs, device)
    return open_frame_dreamers(cfg.dream, source, seeing, cfg.num_envs)


def open_world(cfg: ControllerConfig, run: Run) -> tuple[Models, WorldModel]:
    """M from the upstream run, and the very V on whose latents it was trained."""
    mdrnn, vae = run.feeder.best, run.feeder.input("vae")
    run.add_input("mdrnn", mdrnn)
    run.add_input("vae", vae)
    models = Models(
        run.env.to_dict(), vae=vae, mdrnn=mdrnn, controller_inputs=cfg.controller_inputs
    )
    return models, load_world_model(vae, mdrnn, run.env, cfg.controller_inputs)


def open_search(
    cfg: ControllerConfig, run: Run, world: WorldModel, stored: dict[str, Any] | None
) -> Search:
    """The search that `stored` holds; without it, one that begins.

    With `start_from` it begins after the last generation of that run, as it is now.
    """
    theirs = adopted(cfg, run, world) if stored is None and cfg.start_from is not None else None
    if stored is not None:
        ancestors = stored["segments"][:-1]
    else:
        ancestors = [] if theirs is None else theirs["segments"]
    begun = stored if stored is not None else theirs
    if stored is not None:
        require_same_search(cfg, world, stored, run.last)
    evolution = Evolution(
        start_of(cfg, run, world) if begun is None else begun["start"].numpy(),
        pop_size=cfg.pop_size,
        sigma0=cfg.sigma0,
        diagonal=cfg.diagonal,
        seed=run.seed,
        weight_decay=cfg.weight_decay,
        ancestors=[Segment(**segment) for segment in ancestors],
    )
    search = Search(evolution)
    if stored is not None:
        search.restore(stored)
        require_replayed(search.evolution.mean, stored, run.last)
    return search


def adopted(cfg: ControllerConfig, run: Run, world: WorldModel) -> dict[str, Any]:
    """The search that goes on here; one among other parameters is a ValueError.

    With an M that was trained further, from the one that it searched with, its parameters still
    mean what they did, or nearly so.
    """
    assert cfg.start_from is not None
    folder = led_to(run.path, cfg.start_from)
    theirs = {item["sha256"] for item in PastRun(folder).manifest["inputs"]}
    if not theirs & {sha256(run.feeder.best), *hashes(run.feeder.manifest, "start_from")}:
        log.warning("%s searched with another V or M: its parameters may mean little here", folder)
    path = folder / "checkpoints" / "last.pt"
    run.add_input("start_from", path)
    state = load_search(path)
    found, size = len(state["start"]), num_parameters(**world.controller_config)
    if found != size:
        raise ValueError(
            f"stage.start_from={folder} searched {found} parameters; here C has {size}"
        )
    return state


def hashes(manifest: dict[str, Any], kind: str) -> list[str]:
    """The SHA-256 of a run's inputs of a kind."""
    return [item["sha256"] for item in manifest["inputs"] if item["kind"] == kind]


def require_same_search(
    cfg: ControllerConfig, world: WorldModel, stored: dict[str, Any], path: Path
) -> None:
    """A stored search of other options or sizes than this run's is a ValueError."""
    found, ours = stored["search"], search_options(cfg)
    if found != ours:
        raise ValueError(f"{path} searched with {_words(found)}, this run with {_words(ours)}")
    size, needed = len(stored["start"]), num_parameters(**world.controller_config)
    if size != needed:
        raise ValueError(f"{path} searched {size} parameters; here C has {needed}")


def start_of(cfg: ControllerConfig, run: Run, world: WorldModel) -> np.ndarray:
    """The first mean vector: zeros, or the controller that imitates M's episodes."""
    if not cfg.imitate:
        return np.zeros(num_parameters(**world.controller_config))
    episodes = run.pin_input("episodes", run.feeder.input("episodes"))
    observed = observe(world, EpisodeStore.at(episodes))
    return imitating_start(observed.features, observed.actions, world.env.action_space)


def write_reference(run: Run, search: Search, metrics: MetricsLog) -> None:
    """Write down where the published search stood, once, beside a search from the beginning."""
    if "reference" not in metrics.offsets and not search.evolution.ancestors:
        for row in published(run.env.id):
            metrics.write("reference", row)


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


def samples_of_next(cfg: ControllerConfig, search: Search) -> int:
    """Episodes per candidate in the next generation."""
    most = cfg.most_samples or 0
    return next_samples(search.samples, search.reliability, most, cfg.reliability, cfg.n_samples)


def search_row(search: Search, played: Played) -> GenerationRow:
    """A row of metrics.csv: of the generation that was told last."""
    returns = fitness(played.returns)
    return GenerationRow(
        generation=search.generation,
        episodes=sum(search.samples) * len(returns),
        env_steps=search.env_steps,
        best=float(returns.max()),
        mean=float(returns.mean()),
        median=float(np.median(returns)),
        worst=float(returns.min()),
        std=float(returns.std()),
        sigma=search.evolution.sigma,
        length=played.mean_length,
        n_samples=search.samples[-1],
        reliability=search.reliability[-1],
    )


def timing_row(search: Search, steps: int, seconds: float, tested: float) -> TimingRow:
    """A row of timing.csv: a generation of so many steps, and the test after it, in seconds."""
    return TimingRow(
        generation=search.generation,
        seconds=round(seconds, 3),
        rate=round(steps / seconds, 1),
        test_seconds=round(tested, 3),
    )


def log_plan(cfg: ControllerConfig, run: Run, search: Search, rate: float, seconds: float) -> None:
    """Log what the budget comes to at the pace of one generation."""
    # a test's episodes over a generation's
    share = cfg.selection_episodes / (cfg.pop_size * search.samples[-1])
    pace = Pace(rate, seconds, 2 * share / cfg.test_interval)
    if cfg.world is SearchedIn.dream:
        # what real tests take is not known from a generation in a dream
        pace = Pace(rate, seconds, None)
    log.info("plan: %s", cfg.budget.plan(search, run.env.id, pace))


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
    resolve=resolve,
    evaluated_by="evaluate",
    played_in="dream",
)
