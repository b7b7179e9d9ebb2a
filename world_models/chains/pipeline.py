"""V-M-C from rollout to score."""

from dataclasses import dataclass, field

from world_models.config.stage import Chain
from world_models.stages import controller, evaluate, mdrnn, rollout, vae
from world_models.stages.controller import ControllerConfig
from world_models.stages.evaluate import EvaluateConfig
from world_models.stages.mdrnn import MDRNNConfig
from world_models.stages.rollout import RolloutConfig
from world_models.stages.vae import VAEConfig


@dataclass
class PipelineConfig:
    """All stages of V-M-C."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    mdrnn: MDRNNConfig = field(default_factory=MDRNNConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


CHAIN = Chain(
    "pipeline",
    PipelineConfig,
    (rollout.STAGE, vae.STAGE, mdrnn.STAGE, controller.STAGE, evaluate.STAGE),
)
