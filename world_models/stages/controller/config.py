"""The configuration of the stage controller, and what of it is refused at the start."""

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

from world_models.agents.agent import load_agent
from world_models.agents.trained import packaged
from world_models.config.stage import Setting
from world_models.envs.spec import EnvSpec
from world_models.models.controller import ControllerInputs, Features, Latent
from world_models.pools.pool import DEADLINE
from world_models.runs.numbers import require_not_negative, require_positive
from world_models.runs.past import part_folder
from world_models.runs.run import BUDGET, PATH, RUNTIME
from world_models.search.budget import Budget
from world_models.search.dream_config import DreamConfig
from world_models.search.stored import load_search
from world_models.worlds.dreaming import Reward


class SearchedIn(Enum):
    """Where candidates play; tests are always in the real environment."""

    real = "real"  # in the environment
    dream = "dream"  # in M's dream, or a pixel model's


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

    world: SearchedIn = SearchedIn.real  # where candidates play
    # how candidates dream where `world` is dream
    dream: DreamConfig = field(default_factory=DreamConfig)
    features: Features = Features.zh  # what C reads
    hidden_units: int = 0  # tanh units between features and action; 0: the linear controller
    latent: Latent = Latent.mean  # which latent V gives to C and M
    # begin at the controller that does most nearly what was done in M's episodes, and not at zero;
    # with an agent in start_from: what that agent would have done there
    imitate: bool = False
    pop_size: int = 64  # candidates of a generation
    sigma0: float = 0.1  # step size of CMA-ES at the start
    diagonal: bool = False  # adapt variances alone (sep-CMA-ES)
    # taken off a return, times the squared length of the parameter vector
    weight_decay: float = 0.0
    # controller run folder whose search goes on here: mean, step size and covariance. Or an agent,
    # by its file or the name of one that comes with the package: the search begins at its C
    start_from: str | None = field(default=None, metadata=PATH)
    n_samples: int = 4  # episodes that each candidate plays
    most_samples: int | None = None  # how many these may grow to; null: they do not grow
    reliability: float = 0.3  # of ranks, below which episodes are added. 0: noise, 1: exact
    # generations after which the search ends; null: no limit
    generations: int | None = field(default=100, metadata=BUDGET)
    # environment steps after which the search ends; null: no limit
    env_steps: int | None = field(default=None, metadata=BUDGET)
    # minutes of playing candidates after which the search ends; null: no limit
    minutes: float | None = field(default=None, metadata=BUDGET)
    # selection score at which the search ends; null: none
    target_return: float | None = field(default=None, metadata=BUDGET)
    time_limit: int | None = 1000  # most steps of an episode; null: the environment's own limit
    # steps without a positive reward after which a search episode is cut (0: never)
    early_cut: int = 0
    test_interval: int = 5  # generations between two tests
    selection_episodes: int = 16  # episodes of a test
    num_envs: int = 16  # environments that a worker steps side by side; on cuda, for each core
    # processes that play. 0: this one; never more than there are cores
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
    setting.env.require_environment()
    if cfg.dream.source is not None:
        source = part_folder(Path(cfg.dream.source).absolute(), "pixel")
        cfg = replace(cfg, dream=replace(cfg.dream, source=str(source)))
    if cfg.start_from is None:
        return cfg
    agent = packaged(cfg.start_from) or Path(cfg.start_from).absolute()
    if agent.is_file():
        require_fitting(cfg, agent, setting.env)
        return replace(cfg, start_from=str(agent))
    path = part_folder(agent, "controller")
    found = load_search(path / "checkpoints" / "last.pt")["search"]
    ours = search_options(cfg)
    if found != ours:
        raise ValueError(
            f"stage.start_from={path} searched with {in_words(found)} "
            f"and this run has {in_words(ours)}: they must agree"
        )
    return replace(cfg, start_from=str(path))


def require_fitting(cfg: ControllerConfig, path: Path, env: EnvSpec) -> None:
    """An agent at whose C this search cannot begin, or that it cannot imitate, is a ValueError."""
    agent = load_agent(path)
    if cfg.imitate:
        if agent.env != env:
            raise ValueError(
                f"stage.start_from={path} plays {agent.env.id}, or with other env keys than these: "
                "it cannot say what it would do here, which stage.imitate needs"
            )
        return
    theirs = agent.world.controller_inputs
    if theirs != cfg.controller_inputs:
        raise ValueError(
            f"stage.start_from={path} sees with {in_words(theirs.to_dict())} "
            f"and this run has {in_words(cfg.controller_inputs.to_dict())}: they must agree"
        )


def search_options(cfg: ControllerConfig) -> dict[str, Any]:
    """What two searches must share for one to go on where the other ended."""
    options = {
        "pop_size": cfg.pop_size,
        "sigma0": cfg.sigma0,
        "diagonal": cfg.diagonal,
        "imitate": cfg.imitate,
    }
    return {**options, **cfg.controller_inputs.to_dict()}


def in_words(options: dict[str, Any]) -> str:
    """For a sentence that names two searches."""
    return ", ".join(f"{name}={value}" for name, value in options.items())
