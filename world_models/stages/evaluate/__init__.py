"""Stage evaluate: score the agent on the final-test seeds, beside a random one, and film it."""

from pathlib import Path

import numpy as np

from world_models.agents.quarantine import Quarantine, play_all
from world_models.agents.rollout import Score
from world_models.agents.trained import load_player, planned_in
from world_models.config.stage import Product, Stage
from world_models.data.store import EpisodeStore
from world_models.data.tables import SetAsideRow
from world_models.measures.pixel_evaluation import evaluate_pixel_world
from world_models.measures.rows import CalibrationBin, HeadScore, HorizonRow
from world_models.measures.token_evaluation import evaluate_token_world
from world_models.measures.token_rows import TokenHorizonRow
from world_models.pools.choose import open_pool
from world_models.runs.files import write_json
from world_models.runs.metrics import MetricsLog
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow
from world_models.runs.run import Run
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.search.fitness import Block, Models, build_player, single_blocks
from world_models.search.layout import WorkerLayout, layout_for
from world_models.stages.evaluate.config import EvaluateConfig, resolve
from world_models.stages.evaluate.films import film
from world_models.stages.evaluate.scores import score_table
from world_models.worlds.opening import DreamerFiles, has_world, open_token_world
from world_models.worlds.pixel import load_pixel_predictor


def execute(cfg: EvaluateConfig, run: Run) -> None:
    """Write `scores.json` and videos.

    They show the agent's best, median and worst episode, or what a pixel model predicts. Where the
    agent learned beside a world of tokens, that is judged, too.
    """
    if run.agent is None and run.feeder.stage == "pixel":
        evaluate_pixels(cfg, run)
        return
    metrics = run.metrics(None)
    evaluate_agent(cfg, run, run.agent or run.feeder.path / "agent.pt", metrics)
    if run.agent is None and run.feeder.stage == "rem" and has_world(run.feeder):
        world = open_token_world(run.feeder, run.device.value)
        evaluate_token_world(world, cfg.windows, cfg.horizon, metrics)


def evaluate_agent(cfg: EvaluateConfig, run: Run, path: Path, metrics: MetricsLog) -> None:
    """Play the agent of a file, planning too where that is asked for, and the random policy."""
    run.add_input("agent", path)
    agent = load_player(path, cfg.which.value, run.device.value)
    seeds = fixed_seeds(Purpose.final_test, cfg.episodes)
    models = Models(run.env.to_dict(), agent=path, planned_in=world_beside(cfg, run, path))
    vector = agent.vector
    layout = layout_for(run, cfg.workers, cfg.num_envs)
    args = (models, run.backend.value, layout.slots, layout.device, layout.threads)
    with (
        open_pool(run.workers, layout.workers, build_player, args, deadline=cfg.deadline) as pool,
        ProgressBar("evaluate", num_played(cfg)) as bar,
    ):
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


def world_beside(cfg: EvaluateConfig, run: Run, path: Path) -> DreamerFiles | None:
    """Where the world lies in which the agent of a file is to plan, if not in that file.

    It is noted as an input of the run. An agent that cannot plan is a ValueError.
    """
    if cfg.plan.method is None:
        return None
    files = planned_in(path, run.feeder if run.agent is None else None)
    for name, file in ({} if files is None else files.inputs).items():
        run.add_input(name, file)
    return files


def num_played(cfg: EvaluateConfig) -> int:
    """Episodes of all players; where the agent plans, it plays its episodes without, too."""
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
        "open_loop": TokenHorizonRow,
        "timing": TimingRow,
    },
    resolve=resolve,
    on_own_backend=True,
    plays_agents=True,
)
