"""V-M-C from rollout to score, as many times over as `iterations` says."""

from dataclasses import dataclass, field, fields
from typing import Any

from world_models.config.stage import Chain, ChainPart, Stage
from world_models.runs.numbers import require_positive
from world_models.runs.run import BUDGET, RUNTIME
from world_models.stages import controller, evaluate, mdrnn, rollout, vae
from world_models.stages.controller.config import ControllerConfig, SearchedIn
from world_models.stages.evaluate import EvaluateConfig
from world_models.stages.mdrnn.config import MDRNNConfig
from world_models.stages.rollout import PolicyName, RolloutConfig
from world_models.stages.vae.config import VAEConfig


def later() -> Any:
    """A field of what differs in later iterations.

    It is free until its iteration is begun; then the stage's own field says how it may change.
    """
    return field(default=None, metadata=RUNTIME)


@dataclass
class AgainRollout:
    """Of the episodes that the agent adds."""

    episodes: int | None = later()  # new ones, of each iteration
    noise: float | None = later()  # with which the agent explores
    bursts: float | None = later()  # share of an episode's steps that are taken away from it


@dataclass
class AgainVAE:
    """Of a V that goes on from its weights."""

    num_epochs: int | None = later()  # passes over all frames
    minutes: float | None = later()  # of training at most
    learning_rate: float | None = later()  # at the start


@dataclass
class AgainMDRNN:
    """Of an M that goes on from its weights."""

    num_epochs: int | None = later()  # how often each transition is read
    learning_rate: float | None = later()  # at the start


@dataclass
class AgainController:
    """Of a search that goes on."""

    generations: int | None = later()  # after which it ends
    env_steps: int | None = later()  # environment steps after which it ends
    minutes: float | None = later()  # of playing candidates after which it ends


@dataclass
class Again:
    """What differs in all iterations after the first; null: as it was in that one."""

    rollout: AgainRollout = field(default_factory=AgainRollout)
    vae: AgainVAE = field(default_factory=AgainVAE)
    mdrnn: AgainMDRNN = field(default_factory=AgainMDRNN)
    controller: AgainController = field(default_factory=AgainController)


@dataclass
class PipelineConfig:
    """All stages of V-M-C.

    In each iteration after the first the agent collects more episodes, V and M go on with all
    episodes from the weights that they have, and the search goes on from where it is. In a dream it
    begins anew at the agent, with `controller.imitate` at what the agent would have done in these
    episodes.
    """

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    mdrnn: MDRNNConfig = field(default_factory=MDRNNConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    iterations: int = field(default=1, metadata=BUDGET)  # of all stages
    again: Again = field(default_factory=Again)

    def __post_init__(self) -> None:
        require_positive("stage", self, "iterations")
        if self.evaluate.plan.method is not None and not self.mdrnn.include_reward:
            raise ValueError(
                "stage.evaluate.plan needs an M that predicts rewards: "
                "stage.mdrnn.include_reward=true"
            )
        if self.controller.dreams_of_rewards and not self.mdrnn.include_reward:
            raise ValueError(
                "stage.controller.dream.reward=head needs an M that predicts rewards: take "
                "stage.mdrnn.include_reward=true or stage.controller.dream.reward=survival"
            )


def plan(chain: Chain, cfg: PipelineConfig) -> list[ChainPart]:
    """All stages in each iteration; folders of the second are called rollout_2 and so on."""
    numbers = range(1, cfg.iterations + 1)
    return [part_of(stage, number, cfg) for number in numbers for stage in chain.stages]


def part_of(stage: Stage, number: int, cfg: PipelineConfig) -> ChainPart:
    """The run of a stage in an iteration, numbered from 1."""
    if number == 1:
        return ChainPart(stage.name, stage, stage.name)
    differing = getattr(cfg.again, stage.name, None)
    names = [] if differing is None else [item.name for item in fields(differing)]
    typed = {name: getattr(differing, name) for name in names}
    given = {name: value for name, value in typed.items() if value is not None}
    changes = {**carried_on(stage, number - 1, cfg), **given}
    return ChainPart(f"{stage.name}_{number}", stage, stage.name, changes)


def carried_on(stage: Stage, number: int, cfg: PipelineConfig) -> dict[str, Any]:
    """The values with which a stage goes on from what iteration `number` left."""
    suffix = "" if number == 1 else f"_{number}"
    if stage is rollout.STAGE:
        return {
            "policy": PolicyName.agent.value,
            "agent": f"../controller{suffix}/agent.pt",
            "extends": f"../rollout{suffix}/episodes/manifest.json",
        }
    if stage is controller.STAGE:
        anew = begins_anew(cfg.controller)
        return {"start_from": f"../controller{suffix}{'/agent.pt' if anew else ''}"}
    if stage is evaluate.STAGE or (stage is mdrnn.STAGE and cfg.mdrnn.untrained):
        return {}
    return {"start_from": f"../{stage.name}{suffix}/checkpoints/best.pt"}


def begins_anew(cfg: ControllerConfig) -> bool:
    """Whether a later search begins at the agent, and not where the one before ended.

    What C's numbers mean moves with V and M: a search that imitates asks its agent anew. A search
    in a dream may have come to live on what only its dream pays, which the agent, chosen in the
    real environment, does not.
    """
    return cfg.imitate or cfg.world is SearchedIn.dream


CHAIN = Chain(
    "pipeline",
    PipelineConfig,
    (rollout.STAGE, vae.STAGE, mdrnn.STAGE, controller.STAGE, evaluate.STAGE),
    plan,
)
