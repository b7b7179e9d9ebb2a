"""Stage controller: search C, the linear controller, with CMA-ES on returns."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from world_models.agents.agent import Agent
from world_models.agents.rollout import Score
from world_models.config.stage import Product, Setting, Stage
from world_models.data.store import EpisodeStore
from world_models.measures.search_rows import GenerationRow
from world_models.models.controller import (
    ControllerInputs,
    Features,
    Latent,
    num_features,
    num_parameters,
)
from world_models.pools.choose import open_pool
from world_models.pools.pool import DEADLINE, Pool, WorkerError
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.folder import BUDGET, PATH, RUNTIME, Run
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import require_positive
from world_models.runs.past import PastRun, part_folder
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow
from world_models.runs.seeding import Purpose, fresh_seeds
from world_models.search.components import Components, check_components, principal_components
from world_models.search.evolution import Evolution, Segment
from world_models.search.fitness import (
    Block,
    Models,
    block_size,
    build_player,
    candidate_blocks,
    play_what_can_be,
    require_most,
    set_aside,
    unplayable,
)
from world_models.search.imitation import explained, imitate
from world_models.search.layout import layout_for
from world_models.search.noise import fitness, heat_of, next_samples
from world_models.search.observed import observe
from world_models.search.reference import published
from world_models.search.search import SETTLED, Budget, Pace, Search
from world_models.search.selection import Selection
from world_models.worlds.latent import WorldModel, load_world_model

log = logging.getLogger(__name__)


@dataclass
class ControllerConfig:
    """The search ends after `generations`, `env_steps` or `minutes`, or when the agent's score reaches `target_return`.

    `minutes` of playing candidates becomes a number of environment steps, from the rate measured once
    (search/search.py: Budget); tests come on top. Every candidate plays `n_samples` episodes, all candidates of a
    generation on the same fresh tracks; with several `heats`, those of a heat do, and heats are put level
    (search/noise.py), so that a generation is judged on more tracks for the same episodes.
    Where `n_samples` grows to `most_samples`, it does so once ranks are less reliable than `reliability`.
    Each `test_interval` generations the mean vector and the best candidate play `selection_episodes` fixed tracks, and
    once more at the end; the best of all is the agent. The best of many noisy scores promises too much: with several
    `finalists`, these play twice as many other tracks of the same kind at the end, and the best over all of them is it.
    (A search that is extended after its end keeps what it tested then, which an uninterrupted one would not have done.)
    """

    features: Features = Features.zh
    hidden_units: int = 0  # tanh units between features and action; 0: the linear controller
    latent: Latent = Latent.mean
    # search in so many leading principal components of what C sees; null: in C's own weights
    components: int | None = None
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
    heats: int = 1  # groups of candidates that play different tracks
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
    # the best-tested controllers; more than one play twice as many other selection tracks at the
    # end
    finalists: int = 1
    num_envs: int = 16  # environments that a worker steps side by side; on cuda, for each core
    # 0: this process; never more than there are cores
    max_workers: int = field(default=32, metadata=RUNTIME)
    # seconds without a step, then a worker is replaced
    deadline: float = field(default=DEADLINE, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive(
            "stage",
            self,
            "components",
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
            "finalists",
            "num_envs",
            "deadline",
        )
        if self.pop_size < 2:
            raise ValueError(
                f"stage.pop_size is {self.pop_size}; CMA-ES needs at least 2 candidates"
            )
        if not 1 <= self.heats <= self.pop_size // 2:
            raise ValueError(
                f"stage.heats is {self.heats}; each heat needs 2 candidates or more of stage.pop_size={self.pop_size}"
            )
        if self.imitate and self.hidden_units:
            raise ValueError(
                f"stage.imitate is for the linear controller, and stage.hidden_units is {self.hidden_units}"
            )
        if self.generations is None and self.minutes is None and self.env_steps is None:
            raise ValueError(
                "stage.generations, stage.env_steps and stage.minutes are all null: give the search an end"
            )
        if not 0 <= self.reliability <= 1:
            raise ValueError(
                f"stage.reliability is {self.reliability}; it must lie between 0 and 1"
            )
        for name in ("max_workers", "early_cut", "hidden_units", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"stage.{name} is {getattr(self, name)}; it must be 0 or more")
        if self.most_samples is not None and not 2 <= self.n_samples <= self.most_samples:
            raise ValueError(
                f"stage.most_samples is {self.most_samples} and stage.n_samples {self.n_samples}: the number of episodes "
                "can grow from 2 or more (their halves are compared) to no fewer than that"
            )

    @property
    def controller_inputs(self) -> ControllerInputs:
        """How C is built upon V and M."""
        return ControllerInputs(self.features, self.hidden_units, self.latent)

    @property
    def budget(self) -> Budget:
        """What ends the search."""
        return Budget(self.generations, self.env_steps, self.minutes, self.target_return)


def resolve(cfg: ControllerConfig, setting: Setting) -> ControllerConfig:
    """A copy in which `start_from` is an absolute path.

    A search that cannot go on here, and more components than C sees features, are refused.
    """
    if setting.upstream is not None:
        sizes = load_checkpoint(setting.upstream.best, "mdrnn")["config"]
        features = num_features(sizes["latents"], sizes["hiddens"], cfg.features.value)
        check_components(cfg.components, features)
    if cfg.start_from is None:
        return cfg
    path = part_folder(Path(cfg.start_from).absolute(), "controller")
    found, ours = load_search(path / "checkpoints" / "last.pt")["search"], search_options(cfg)
    if found != ours:
        raise ValueError(
            f"stage.start_from={path} searched with {_words(found)} and this run has {_words(ours)}: they must agree"
        )
    return replace(cfg, start_from=str(path))


def load_search(path: Path) -> dict[str, Any]:
    """The content of a controller's `last.pt`; one that this version cannot go on from is a ValueError."""
    state = load_checkpoint(path, "controller")
    if "start" not in state:
        raise ValueError(
            f"{path} was written by an earlier version, which kept its search otherwise: start it anew"
        )
    return state


def search_options(cfg: ControllerConfig) -> dict[str, Any]:
    """What two searches must share for one to go on where the other ended."""
    options = {
        "pop_size": cfg.pop_size,
        "sigma0": cfg.sigma0,
        "diagonal": cfg.diagonal,
        "components": cfg.components,
    }
    return {**options, "imitate": cfg.imitate, **cfg.controller_inputs.to_dict()}


def _words(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def execute(cfg: ControllerConfig, run: Run) -> None:
    """Search; leaves `agent.pt` with the best and the last mean vector."""
    models, world = open_world(cfg, run)
    search = first_state(cfg, run, world)
    metrics = run.metrics(resume(run, search))
    if "reference" not in metrics.offsets and not search.evolution.ancestors:
        for theirs in published(run.env.id):
            metrics.write("reference", theirs)
    evolution = search.evolution
    layout = layout_for(run, -1, cfg.num_envs)
    args = (models, run.backend.value, layout.slots, layout.device, layout.threads)
    with (
        open_pool(
            run.workers,
            layout.workers,
            build_player,
            args,
            most=cfg.max_workers,
            deadline=cfg.deadline,
        ) as pool,
        ProgressBar("controller", cfg.generations, evolution.generation, "env steps") as bar,
    ):
        selection = Selection(
            pool, metrics, cfg.selection_episodes, cfg.finalists, layout.slots, cfg.time_limit
        )
        warm_up(pool, len(search.mean))
        # of a search that goes on, after its first generation here
        planned = max(SETTLED, evolution.generation + 1)
        while not cfg.budget.is_over(search):
            timing = one_generation(cfg, run, search, pool, layout.slots, metrics, bar)
            if evolution.generation == planned:
                tell_plan(cfg, run, search, timing)
            began = time.monotonic()
            if evolution.generation % cfg.test_interval == 0:
                selection.test(search)
            test_seconds = round(time.monotonic() - began, 3)
            metrics.write("timing", replace(timing, test_seconds=test_seconds))
            save(cfg, run, search, metrics)
        if search.tested != evolution.generation:
            selection.test(search)
            save(cfg, run, search, metrics)
        if cfg.finalists > 1 and search.decided != evolution.generation:
            selection.decide(search)
            save(cfg, run, search, metrics)
    write_agent(run, search, world)


def open_world(cfg: ControllerConfig, run: Run) -> tuple[Models, WorldModel]:
    """M from the upstream run, and the very V on whose latents it was trained."""
    mdrnn, vae = run.feeder.best, run.feeder.input("vae")
    run.add_input("mdrnn", mdrnn)
    run.add_input("vae", vae)
    models = Models(
        run.env.to_dict(), vae=vae, mdrnn=mdrnn, controller_inputs=cfg.controller_inputs
    )
    return models, load_world_model(vae, mdrnn, run.env, cfg.controller_inputs)


def open_beginning(
    cfg: ControllerConfig, run: Run, world: WorldModel
) -> tuple[np.ndarray, Components | None]:
    """The first mean vector, and the axes of the search if it has any: this run's, else those of the search that goes on
    here, else made from M's episodes where they are needed."""
    for last in (
        run.last,
        None if cfg.start_from is None else Path(cfg.start_from) / "checkpoints" / "last.pt",
    ):
        if last is not None and last.is_file():
            state = load_search(last)
            axes = state["components"]
            return state["start"].numpy(), None if axes is None else Components.from_state(axes)
    parameters = num_parameters(**world.controller_config)
    if cfg.components is None and not cfg.imitate:
        return np.zeros(parameters), None
    check_components(cfg.components, world.num_features)
    episodes = run.feeder.input("episodes")
    run.add_input("episodes", episodes)
    observed = observe(world, EpisodeStore.open(episodes.parent))
    features, components, space = observed.features, None, world.env.action_space
    if cfg.components is not None:
        components = principal_components(features, cfg.components, cfg.hidden_units or space.size)
        seen = (features - components.mean) @ components.axes
        log.info(
            "the search is in %d components of the %d features that C sees; they hold %.1f %% of the variance",
            *(cfg.components, features.shape[1], 100 * seen.var(0).sum() / features.var(0).sum()),
        )
        features, parameters = seen, components.size(parameters)
    if not cfg.imitate:
        return np.zeros(parameters), components
    start = imitate(features, observed.actions, space)
    shares = ", ".join(
        f"{100 * share:.0f} %" for share in explained(start, features, observed.actions, space)
    )
    log.info(
        "the search begins at the controller that imitates M's episodes: it explains %s of their actions",
        shares,
    )
    return start, components


def first_state(cfg: ControllerConfig, run: Run, world: WorldModel) -> Search:
    """A search at its first generation; with `start_from`, after the last one of that run, as it was when this one began."""
    start, components = open_beginning(cfg, run, world)
    parameters = num_parameters(**world.controller_config)
    size = parameters if components is None else components.size(parameters)
    ancestors: list[Segment] = []
    if run.last.is_file():
        ancestors = [Segment(**segment) for segment in load_search(run.last)["segments"][:-1]]
    elif cfg.start_from is not None:
        path = Path(cfg.start_from) / "checkpoints" / "last.pt"
        theirs = {item["sha256"] for item in PastRun(Path(cfg.start_from)).manifest["inputs"]}
        if not all(
            item["sha256"] in theirs
            for item in run.manifest["inputs"]
            if item["kind"] != "start_from"
        ):
            log.warning(
                "%s searched with another V or M: its parameters may mean little here",
                cfg.start_from,
            )
        run.add_input("start_from", path)
        state = load_search(path)
        if len(start) != size:
            raise ValueError(
                f"stage.start_from={cfg.start_from} searched {len(start)} parameters; here C has {size}"
            )
        ancestors = [Segment(**segment) for segment in state["segments"]]
    evolution = Evolution(
        start,
        pop_size=cfg.pop_size,
        sigma0=cfg.sigma0,
        diagonal=cfg.diagonal,
        seed=run.seed,
        weight_decay=cfg.weight_decay,
        ancestors=ancestors,
    )
    return Search(evolution, components, cfg.heats)


def warm_up(pool: Pool, size: int) -> None:
    """One step in each worker, so that no measured generation waits for processes to start and models to load, and an
    environment that nobody can play ends the run at once: a WorkerError."""
    blocks = [
        Block(np.zeros((1, size), np.float32), (seed,), max_steps=1)
        for seed in range(max(2, pool.size))
    ]
    scores = play_what_can_be(pool, blocks, lambda episodes, steps: None)
    if all(score.failure for score in scores):
        raise WorkerError(f"the environment cannot be played: {scores[-1].failure}")


def one_generation(
    cfg: ControllerConfig,
    run: Run,
    search: Search,
    pool: Pool,
    width: int,
    metrics: MetricsLog,
    bar: ProgressBar,
) -> TimingRow:
    """Ask, play every candidate on the fresh tracks of its heat, tell; returns what it took."""
    began, warm, setbacks, evolution = time.monotonic(), pool.warm, pool.setbacks, search.evolution
    generation = evolution.generation
    samples = next_samples(
        search.samples, search.reliability, cfg.most_samples or 0, cfg.reliability, cfg.n_samples
    )
    scores = play_candidates(
        cfg, run, search, samples, pool, width, metrics, lambda steps: bar.advance(0, steps)
    )
    returns = np.array([score.total_return for score in scores]).reshape(cfg.pop_size, samples)
    steps, seconds = sum(score.length for score in scores), time.monotonic() - began
    search.tell(returns, steps, seconds, calm=warm and pool.setbacks == setbacks)
    bar.expect(cfg.budget.total(search))
    bar.advance(1, 0, f"mean {np.nanmean(returns):.0f}")
    metrics.write(
        "metrics",
        row(search, fitness(returns, cfg.heats), [score for score in scores if not score.failure]),
    )
    return TimingRow(
        generation=generation + 1,
        seconds=round(seconds, 3),
        rate=round(steps / seconds, 1),
    )


def play_candidates(
    cfg: ControllerConfig,
    run: Run,
    search: Search,
    samples: int,
    pool: Pool,
    width: int,
    metrics: MetricsLog,
    advance: Callable[[int], None],
) -> list[Score]:
    """Scores of the next population, candidate by candidate, each on `samples` fresh tracks of its heat.

    A track that none of them could play gives way to another, once; half of the episodes lost are a WorkerError.
    """
    labels, generation = search.evolution.labels, search.evolution.generation + 1
    seeds = fresh_seeds(Purpose.search, cfg.heats * samples, run.seed, "generation", *labels)
    tracks = np.reshape(seeds, (cfg.heats, samples))[heat_of(cfg.pop_size, cfg.heats)].flatten()
    players, candidates = np.repeat(np.arange(cfg.pop_size), samples), search.ask()

    def play(rows: np.ndarray) -> list[Score]:
        size = block_size(len(rows), width, pool.size)
        vectors, seeds = candidates[players[rows]], tracks[rows][:, None]
        blocks = candidate_blocks(vectors, seeds, size, cfg.time_limit, cfg.early_cut)
        played = play_what_can_be(pool, blocks, lambda episodes, steps: advance(steps))
        set_aside(played, [str(player) for player in players[rows]], generation, metrics)
        return played

    scores = play(np.arange(len(tracks)))
    closed = unplayable(scores)
    others = fresh_seeds(Purpose.search, len(closed), run.seed, "generation", *labels, "instead")
    for track, other in zip(closed, others, strict=True):
        log.warning(
            "generation %d: no candidate could play track %d; they play %d instead",
            generation,
            track,
            other,
        )
        rows = np.flatnonzero(tracks == track)
        tracks[rows] = other
        for row, score in zip(rows, play(rows), strict=True):
            scores[row] = score
    require_most(scores, generation)
    return scores


def tell_plan(cfg: ControllerConfig, run: Run, search: Search, timing: TimingRow) -> None:
    """Log what the budget comes to, at the pace of the generation that `timing` is of."""
    # a test's episodes over a generation's
    share = cfg.selection_episodes / (cfg.pop_size * search.samples[-1])
    finals = 2 * cfg.finalists * share if cfg.finalists > 1 else 0.0
    pace = Pace(timing.rate, timing.seconds, 2 * share / cfg.test_interval, finals)
    log.info("plan: %s", cfg.budget.plan(search, run.env.id, pace))


def row(search: Search, returns: np.ndarray, scores: list[Score]) -> GenerationRow:
    """A row of metrics.csv."""
    return GenerationRow(
        generation=search.evolution.generation,
        episodes=sum(search.samples) * len(returns),
        env_steps=search.env_steps,
        best=float(returns.max()),
        mean=float(returns.mean()),
        median=float(np.median(returns)),
        worst=float(returns.min()),
        std=float(returns.std()),
        sigma=search.evolution.sigma,
        length=float(np.mean([score.length for score in scores])),
        n_samples=search.samples[-1],
        reliability=search.reliability[-1],
    )


def resume(run: Run, search: Search) -> dict[str, int] | None:
    """Replay the search that `last.pt` holds, where there is one; returns its CSV offsets."""
    if not run.last.is_file():
        return None
    state = load_search(run.last)
    search.restore(state)
    return dict(state["csv_offsets"])


def save(cfg: ControllerConfig, run: Run, search: Search, metrics: MetricsLog) -> None:
    """Write `last.pt`."""
    place = {"inputs": run.manifest["inputs"], "csv_offsets": metrics.offsets}
    save_checkpoint(
        run.last, "controller", {"search": search_options(cfg), **search.state(), **place}
    )


def write_agent(run: Run, search: Search, world: WorldModel) -> None:
    """Write agent.pt."""
    best, score = search.agent
    controllers = {"best": best.astype(np.float32), "mean": search.mean.astype(np.float32)}
    Agent(world, controllers, inputs=run.manifest["inputs"]).save(run.path / "agent.pt")
    log.info("the agent (selection score %.1f) is in %s/agent.pt", score, run.name)


STAGE = Stage(
    "controller",
    ControllerConfig,
    execute,
    needs=("mdrnn",),
    gives=Product("agent", "agent.pt"),
    resolve=resolve,
    evaluated_by="evaluate",
)
