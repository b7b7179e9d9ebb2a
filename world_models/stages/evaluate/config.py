"""The configuration of the stage evaluate, and what of it is refused at the start."""

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from world_models.agents.sequences import PlanConfig
from world_models.agents.trained import planned_in
from world_models.config.stage import Setting
from world_models.data.store import EpisodeStore
from world_models.envs.spec import EnvSpec
from world_models.pools.pool import DEADLINE
from world_models.runs.numbers import num_workers, require_positive
from world_models.runs.past import part_folder
from world_models.runs.run import PATH, RUNTIME


class Which(Enum):
    """Which of the agent's controllers plays."""

    best = "best"  # that with the best selection score
    mean = "mean"  # the mean vector at the end of the search


@dataclass
class EvaluateConfig:
    """`num_envs` environments side by side in each worker; `workers` and `deadline` as for rollout.

    An upstream pixel model, and the world of tokens beside which an upstream agent has learned, is
    judged on `windows` held-out windows, rolled on for `horizon` frames.
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
    windows: int = 256  # held-out windows on which a model of frames or tokens is judged
    horizon: int = 32  # frames that it goes on for
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
    path = part_folder(Path(cfg.source).absolute(), "rollout")
    require_judgeable(EpisodeStore.open(path / "episodes"), cfg.source, setting.env)
    return replace(cfg, source=str(path))


def require_judgeable(store: EpisodeStore, source: str, spec: EnvSpec) -> None:
    """A store without held-out episodes, or of another environment, is a ValueError."""
    if not store.episodes("validation"):
        raise ValueError(
            f"stage.source={source} has no validation episodes: "
            "collect some with stage.val_fraction"
        )
    theirs, ours = _shown(store.env), _shown(spec)
    differing = [name for name in ours if theirs.get(name) != ours[name]]
    if differing:
        name = differing[0]
        raise ValueError(
            f"stage.source={source} holds episodes of another environment than the model's, "
            f"{spec.id}: {name} is {theirs.get(name)} and not {ours[name]}"
        )


def require_planner(setting: Setting) -> None:
    """What is to plan is an agent that can (`planned_in`), as far as it is there already."""
    if setting.fed_by == "pixel":
        raise ValueError(
            "stage.plan is of no use: it is for an agent, and here a pixel model is judged"
        )
    path = setting.agent
    if path is None and setting.upstream is not None:
        path = setting.upstream.path / "agent.pt"
    if path is not None:
        planned_in(path, setting.upstream)


def _shown(spec: EnvSpec) -> dict[str, Any]:
    """What decides how an environment looks and what actions do.

    Which levels are played, and for how long, does not.
    """
    env, left_out = spec.to_dict(), (*spec.level_kwargs, "max_episode_steps")
    kwargs = {name: value for name, value in env["kwargs"].items() if name not in left_out}
    parts = {name: env[name] for name in ("id", "preprocessing", "frame_skip", "action_space")}
    return {**parts, **{f"env.{name}": value for name, value in kwargs.items()}}
