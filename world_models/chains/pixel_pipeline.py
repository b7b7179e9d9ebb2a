"""Episodes, a next-frame model of them, its evaluation."""

from dataclasses import dataclass, field

from world_models.config.stage import Chain
from world_models.stages import evaluate, pixel, rollout
from world_models.stages.evaluate import EvaluateConfig
from world_models.stages.pixel.config import PixelConfig
from world_models.stages.rollout import RolloutConfig


@dataclass
class PixelPipelineConfig:
    """All stages of the next-frame model."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    pixel: PixelConfig = field(default_factory=PixelConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


CHAIN = Chain("pixel_pipeline", PixelPipelineConfig, (rollout.STAGE, pixel.STAGE, evaluate.STAGE))
