"""Episodes and the toy stage, as many times over as `iterations` says."""

from dataclasses import dataclass, field

from world_models.stages.toy import ToyConfig

from world_models.config.stage import Chain, ChainPart
from world_models.stages import rollout, toy
from world_models.stages.rollout import RolloutConfig


@dataclass
class TwiceConfig:
    """All that is repeated."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    toy: ToyConfig = field(default_factory=ToyConfig)
    iterations: int = 2


def plan(chain: Chain, cfg: TwiceConfig) -> list[ChainPart]:
    return [
        ChainPart(f"{stage.name}_{number}", stage, stage.name)
        for number in range(1, cfg.iterations + 1)
        for stage in chain.stages
    ]


CHAIN = Chain("twice", TwiceConfig, (rollout.STAGE, toy.STAGE), plan=plan)
