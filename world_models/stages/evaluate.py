"""Stage evaluate: score the agent on the final-test seeds, beside a random one, and film it."""

import logging
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from world_models.agents.agent import Agent
from world_models.agents.quarantine import Quarantine, play_all
from world_models.agents.rollout import Score
from world_models.agents.sequences import PlanConfig
from world_models.agents.token_agent import TokenAgent
from world_models.agents.trained import load_player
from world_models.config.stage import Product, Setting, Stage
from world_models.data.store import EpisodeStore
from world_models.data.tables import SetAsideRow
from world_models.envs.spec import EnvSpec
from world_models.figures.media import save_video, side_by_side
from world_models.measures.pixel_evaluation import evaluate_pixel_world
from world_models.measures.rows import CalibrationBin, HeadScore, HorizonRow
from world_models.pools.choose import open_pool
from world_models.pools.pool import DEADLINE, Pool
from world_models.runs.files import write_json
from world_models.runs.numbers import num_workers, require_positive
from world_models.runs.past import part_folder
from world_models.runs.progress import ProgressBar, tracked
from world_models.runs.provenance import versions
from world_models.runs.rows import TimingRow
from world_models.runs.run import PATH, RUNTIME, Run
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.runs.statistics import summarize
from world_models.search.fitness import (
    Block,
    Models,
    build_player,
    film_episodes,
    single_blocks,
)
from world_models.search.layout import WorkerLayout, layout_for
from world_models.worlds.pixel import load_pixel_predictor

log = logging.getLogger(__name__)

MOST_FILMED = 500
"""Frames of a video: of a longer episode only every second one is shown, and so on."""


class Which(Enum):
    """Which of the agent's controllers plays."""

    best = "best"  # that with the best selection score
    mean = "mean"  # the mean vector at the end of the search


@dataclass
class EvaluateConfig:
    """`num_envs` environments side by side in each worker; `workers` and `deadline` as for rollout.

    An upstream pixel model is judged on `windows` held-out windows, rolled on for `horizon` frames.
    """

    episodes: int = 100  # that the agent plays, on seeds that nothing else uses
    which: Which = Which.best  # which controller of the search plays
    num_envs: int = 8  # environments that a worker steps side by side; on cuda, for each core
    # processes that play (-1: one per core, 0: this one)
    workers: int = field(default=-1, metadata=RUNTIME)
    # seconds without a step, then a worker is replaced
    deadline: float = field(default=DEADLINE, metadata=RUNTIME)
    # run folder whose episodes a pixel model is judged on; null: those it was trained from
    source: str | None = field(default=None, metadata=PATH)
    windows: int = 256  # held-out windows on which a pixel model is judged
    horizon: int = 32  # frames that a pixel model goes on for
    fps: int = 10  # frames per second of a pixel model's videos
    # how the agent plans at each step (plan.method=icem or cem)
    plan: PlanConfig = field(default_factory=PlanConfig)

    def __post_init__(self) -> None:
        require_positive(
            "stage", self, "episodes", "num_envs", "deadline", "windows", "horizon", "fps"
        )
        num_workers(self.workers)

    @property
    def random_episodes(self) -> int:
        """How many of the episodes the random policy plays, too: its mean needs fewer."""
        return min(self.episodes, max(4, self.episodes // 4))


def resolve(cfg: EvaluateConfig, setting: Setting) -> EvaluateConfig:
    """A copy with an absolute `source`.

    Episodes of another environment, and an agent that cannot plan where it should, are ValueErrors.
    """
    if setting.fed_by != "pixel":
        setting.env.require_environment()
    if cfg.plan.method is not None:
        require_planner(setting)
    if cfg.source is None:
        return cfg
    if setting.fed_by != "pixel":
        raise ValueError(
            "stage.source is of no use: it is for a pixel model, and here an agent plays"
        )
    spec = setting.env
    path = part_folder(Path(cfg.source).absolute(), "rollout")
    store = EpisodeStore.open(path / "episodes")
    if not store.episodes("validation"):
        raise ValueError(
            f"stage.source={cfg.source} has no validation episodes: "
            "collect some with stage.val_fraction"
        )
    theirs, ours = _shown(store.env), _shown(spec)
    differing = [name for name in ours if theirs.get(name) != ours[name]]
    if differing:
        raise ValueError(
            f"stage.source={cfg.source} holds episodes of another environment than the model's, "
            f"{spec.id}: "
            f"{differing[0]} is {theirs.get(differing[0])} and not {ours[differing[0]]}"
        )
    return replace(cfg, source=str(path))


def require_planner(setting: Setting) -> None:
    """What is to plan is an agent whose M predicts rewards, as far as it is there already."""
    if setting.fed_by == "pixel":
        raise ValueError(
            "stage.plan is of no use: it is for an agent, and here a pixel model is judged"
        )
    path = setting.agent
    if path is None and setting.upstream is not None:
        path = setting.upstream.path / "agent.pt"
    if path is not None:
        load_player(path).require_reward()


def _shown(spec: EnvSpec) -> dict[str, Any]:
    """What decides how an environment looks and what actions do.

    Which levels are played, and for how long, does not.
    """
    env, left_out = spec.to_dict(), (*spec.level_kwargs, "max_episode_steps")
    kwargs = {name: value for name, value in env["kwargs"].items() if name not in left_out}
    parts = {name: env[name] for name in ("id", "preprocessing", "frame_skip", "action_space")}
    return {**parts, **{f"env.{name}": value for name, value in kwargs.items()}}


def execute(cfg: EvaluateConfig, run: Run) -> None:
    """Write `scores.json` and videos.

    They show the agent's best, median and worst episode, or what a pixel model predicts.
    """
    path = run.agent
    if path is None:
        if run.feeder.stage == "pixel":
            evaluate_pixels(cfg, run)
            return
        path = run.feeder.path / "agent.pt"
    run.add_input("agent", path)
    agent = load_player(path, cfg.which.value, run.device.value)
    if cfg.plan.method is not None:
        agent.require_reward()
    seeds = fixed_seeds(Purpose.final_test, cfg.episodes)
    models = Models(run.env.to_dict(), agent=path)
    vector = agent.vector
    layout = layout_for(run, cfg.workers, cfg.num_envs)
    args = (models, run.backend.value, layout.slots, layout.device, layout.threads)
    with (
        open_pool(run.workers, layout.workers, build_player, args, deadline=cfg.deadline) as pool,
        ProgressBar("evaluate", num_played(cfg)) as bar,
    ):
        metrics = run.metrics(None)
        quarantine = Quarantine(metrics, len(seeds))
        scores: list[Score] = []
        if cfg.plan.method is not None:
            blocks = planned_blocks(cfg, vector, seeds, layout)
            scores = play_all(pool, blocks, bar.advance, quarantine)
            metrics.write("timing", timing_row(bar))
        blocks = [
            *single_blocks(vector, seeds, layout.slots),
            *single_blocks(None, seeds[: cfg.random_episodes], layout.slots),
        ]
        scores += play_all(pool, blocks, bar.advance, quarantine)
        write_json(run.path / "scores.json", score_table(cfg, run, scores))
        film(cfg, run, agent, vector, scores[: cfg.episodes], pool)


def num_played(cfg: EvaluateConfig) -> int:
    """Episodes of all players; where the agent plans, C alone plays its episodes, too."""
    players = 1 if cfg.plan.method is None else 2
    return players * cfg.episodes + cfg.random_episodes


def planned_blocks(
    cfg: EvaluateConfig, vector: np.ndarray, seeds: list[int], layout: WorkerLayout
) -> list[Block]:
    """The episodes in which the agent plans: one a job, but for a GPU, where rows plan together."""
    width = 1 if layout.device == "cpu" else layout.slots
    return single_blocks(vector, seeds, width, plan=cfg.plan)


def timing_row(bar: ProgressBar) -> TimingRow:
    """How fast planning plays, in steps of the environment."""
    return TimingRow(step=int(bar.work), seconds=round(bar.seconds, 3), rate=round(bar.rate, 3))


def evaluate_pixels(cfg: EvaluateConfig, run: Run) -> None:
    """Judge an upstream pixel model on episodes that it was not trained on."""
    path = run.feeder.best
    if cfg.source is None:
        episodes = run.feeder.input("episodes")
    else:
        episodes = Path(cfg.source) / "episodes" / "manifest.json"
    run.add_input("pixel", path)
    store = EpisodeStore.at(run.pin_input("episodes", episodes))
    world = load_pixel_predictor(path, run.device.value)
    store = world.split(store) if cfg.source is None else store
    evaluate_pixel_world(
        run.path, run.metrics(None), world, store, cfg.windows, cfg.horizon, cfg.fps
    )


def score_table(cfg: EvaluateConfig, run: Run, played: list[Score]) -> dict[str, Any]:
    """The content of scores.json, of what the agent played, where it plans C alone, and random."""
    scores, random = played[: cfg.episodes], played[-cfg.random_episodes :]
    planned: dict[str, Any] = {}
    if cfg.plan.method is not None:
        alone = played[cfg.episodes : 2 * cfg.episodes]
        planned = {"plan": cfg.plan.to_dict(), "controller": described(alone)}
    table = {
        "env": run.env.id,
        "backend": run.backend.value,
        "which": cfg.which.value,
        "episodes": cfg.episodes,
        "seeds": [score.seed for score in scores],
        **described(scores),
        **planned,
        "random": described(random),
        "versions": versions(),
    }
    log.info(
        "mean return %.1f (95%% interval %.1f to %.1f), standard deviation over %d episodes %.1f; "
        "random policy on the first %d of them %.1f",
        table["mean"],
        *table["interval95"],
        cfg.episodes,
        table["std"],
        len(random),
        table["random"]["mean"],
    )
    return table


def described(scores: list[Score]) -> dict[str, Any]:
    """Returns, lengths and their summary."""
    returns = [score.total_return for score in scores]
    summary = asdict(summarize(returns))
    interval = [summary.pop("low"), summary.pop("high")]
    return {
        "returns": returns,
        "lengths": [score.length for score in scores],
        **summary,
        "interval95": interval,
    }


def film(
    cfg: EvaluateConfig,
    run: Run,
    agent: Agent | TokenAgent,
    vector: np.ndarray,
    scores: list[Score],
    pool: Pool,
) -> None:
    """Play the best, the median and the worst episode again: what was seen, beside V's picture."""
    ranked = sorted(scores, key=lambda score: -score.total_return)
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    plan = None if cfg.plan.method is None else cfg.plan
    with ProgressBar("play again to film", len(chosen)) as bar:
        films = film_episodes(pool, vector, list(chosen.values()), bar.advance, plan)
    named = tracked("draw the films", zip(chosen.items(), films, strict=True), len(chosen), "films")
    for (name, score), film in named:
        if not np.isclose(film.total_return, score.total_return):
            log.warning(
                "the %s episode came to %.1f when it was filmed and to %.1f before",
                name,
                film.total_return,
                score.total_return,
            )
        seen = thinned_out(film.observations)
        panels = {
            f"{name}: return {film.total_return:.0f}": seen,
            agent.seen_by: agent.reconstruct(seen),
        }
        save_video(run.path / "videos" / f"{name}.mp4", side_by_side(panels), fps=30)


def thinned_out(frames: np.ndarray) -> np.ndarray:
    """Every frame, or every second one, and so on, of frames (T, H, W, C): MOST_FILMED at most."""
    return frames[:: -(-len(frames) // MOST_FILMED)]


STAGE = Stage(
    "evaluate",
    EvaluateConfig,
    execute,
    needs=("controller", "pixel", "actor_critic", "rem"),
    gives=Product("scores", "scores.json"),
    tables={
        "rollout_metrics": HorizonRow,
        "calibration": CalibrationBin,
        "calibration_scores": HeadScore,
        "quarantine": SetAsideRow,
        "timing": TimingRow,
    },
    resolve=resolve,
    on_own_backend=True,
    plays_agents=True,
)
