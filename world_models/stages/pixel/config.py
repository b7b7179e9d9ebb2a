"""The configuration of the stage pixel, and what of it is refused at the start."""

from dataclasses import dataclass, field
from enum import Enum

from world_models.config.stage import Setting
from world_models.data.loading import DataConfig
from world_models.data.view import View
from world_models.envs.preprocess import MIN_FRAME_SIZE
from world_models.losses import PixelLoss
from world_models.models.pixel import LEAST_GROUP_CHANNELS, Head
from world_models.models.pixel_heads import HEAD_MODULES
from world_models.models.pixel_unet import FOLD_FACTOR
from world_models.models.pixel_world_model import SMALLEST_PICTURE, narrowest
from world_models.runs.choices import one_of, require_known
from world_models.runs.device import Precision
from world_models.runs.numbers import require_below_one, require_not_negative, require_positive
from world_models.runs.run import RUNTIME


class Architecture(Enum):
    """Which model is trained."""

    pixel_unet = "pixel_unet"  # a U-Net that moves what it saw
    pixel_world_model = "pixel_world_model"  # a plain encoder and decoder


@dataclass
class PixelConfig:
    """Training lasts `max_steps`, or as many steps as fit into `minutes`.

    The rate is measured once, before the first step; judging comes on top. A step is on
    `data.batch_size` predicted frames: where a phase of the curriculum rolls the model on for n
    frames, on an n-th as many windows. The loss of a rollout is the mean over its frames.
    """

    model: Architecture = Architecture.pixel_unet  # which model is trained
    # of pixel_unet: how it makes the next frame
    head: str = field(default="advect", metadata=one_of(HEAD_MODULES, Head))
    # of pixel_unet: channels at each resolution, the finest first
    widths: list[int] = field(default_factory=lambda: [24, 48, 64])
    condition: int = 128  # of pixel_unet: numbers that the actions become
    rewards: bool = False  # of pixel_unet: predict rewards; without, a dream has none
    ends: bool = False  # of pixel_unet: predict ends of episodes; without, a dream has none
    action_embed_dim: int = 64  # of pixel_world_model: numbers that an action becomes
    width_mult: float = 1.0  # of pixel_world_model: by which its channels are multiplied
    n_past_frames: int = 4  # frames that the model reads
    n_past_actions: int = 4  # actions that it reads; the last leads to the predicted frame
    image_size: int | None = None  # pixels of a side, to which frames are resized; null: as stored
    grayscale: bool = False  # see frames in grey
    data: DataConfig = field(default_factory=DataConfig)
    loss: PixelLoss = PixelLoss.huber  # what is minimised, per pixel value
    delta: float = 0.05  # of the Huber loss: errors above it count linearly
    reward_weight: float = 0.01  # of the reward's squared error, beside the frames' loss
    end_weight: float = 0.01  # of the end's cross-entropy, beside the frames' loss
    motion_weight: float = 0.001  # of the cross-entropy of the head `advect`'s shifts
    # frames for which the model is rolled on, phase by phase
    unroll: list[int] = field(default_factory=lambda: [1, 4, 8])
    # share of the training steps that each of these phases has
    unroll_shares: list[float] = field(default_factory=lambda: [0.6, 0.2, 0.2])
    # standard deviation, at most, of what is added to the frames that are read, for each window
    context_noise: float = 0.05
    max_steps: int | None = 2000  # training steps; null: `minutes` counts
    minutes: float | None = None  # of training, in place of `max_steps`
    learning_rate: float = 1e-3  # of AdamW, after the warm-up
    weight_decay: float = 0.01  # of AdamW
    warmup: float = 0.05  # share of the steps in which the learning rate rises
    grad_clip: float = 1.0  # largest norm of a gradient; 0: any
    ema_decay: float = 0.999  # of the running mean of the weights, which is what is kept
    precision: Precision = Precision.auto  # arithmetic of a training step
    compile: bool = field(default=True, metadata=RUNTIME)  # torch.compile, on cuda only
    log_every: int = 100  # training steps between two rows of metrics.csv
    val_every_steps: int = 1000  # training steps between two validations
    val_windows: int = 256  # held-out windows of a validation
    val_rollout_horizon: int = 32  # frames for which the model goes on in a validation
    # frames per second of the videos
    val_rollout_fps: int = field(default=10, metadata=RUNTIME)
    # training steps between two checkpoints
    checkpoint_interval: int = field(default=200, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_known("stage", self)
        require_positive(
            "stage",
            self,
            "condition",
            "action_embed_dim",
            "width_mult",
            "n_past_frames",
            "image_size",
        )
        require_positive(
            "stage",
            self,
            "n_past_actions",
            "delta",
            "max_steps",
            "minutes",
            "learning_rate",
            "log_every",
        )
        require_positive(
            "stage",
            self,
            "val_every_steps",
            "val_windows",
            "val_rollout_horizon",
            "val_rollout_fps",
        )
        require_positive("stage", self, "checkpoint_interval")
        require_not_negative(
            "stage", self, "reward_weight", "end_weight", "motion_weight", "context_noise"
        )
        require_not_negative("stage", self, "weight_decay", "grad_clip")
        require_below_one("stage", self, "warmup", "ema_decay")
        if (self.max_steps is None) == (self.minutes is None):
            raise ValueError(
                "give one of stage.max_steps and stage.minutes, and set the other to null"
            )
        self._check_curriculum()
        self._check_model()

    def _check_curriculum(self) -> None:
        if not self.unroll or len(self.unroll) != len(self.unroll_shares):
            raise ValueError(
                "stage.unroll and stage.unroll_shares must be lists of equal length, not empty"
            )
        if min(self.unroll) < 1 or min(self.unroll_shares) <= 0:
            raise ValueError(
                "every entry of stage.unroll must be 1 or more, and every one of unroll_shares "
                "above 0"
            )

    def _check_model(self) -> None:
        if self.n_past_actions > self.n_past_frames:
            raise ValueError(
                f"stage.n_past_actions is {self.n_past_actions}, and only the actions of the last "
                f"{self.n_past_frames} frames are known"
            )
        if not self.widths or any(width < 4 or width % 4 for width in self.widths):
            raise ValueError(
                f"stage.widths is {self.widths}; every entry must be a multiple of 4, above 0"
            )
        if narrowest(self.width_mult) < LEAST_GROUP_CHANNELS:
            raise ValueError(
                f"stage.width_mult={self.width_mult} leaves layers of fewer than "
                f"{LEAST_GROUP_CHANNELS} channels: set it higher"
            )
        if self.image_size is not None and self.image_size < MIN_FRAME_SIZE:
            raise ValueError(
                f"stage.image_size is {self.image_size}; it must be at least {MIN_FRAME_SIZE}"
            )
        if self.model is Architecture.pixel_world_model and (self.rewards or self.ends):
            raise ValueError("stage.rewards and stage.ends are for stage.model=pixel_unet")

    @property
    def view(self) -> View:
        """How stored frames are seen."""
        return View(self.image_size, self.grayscale)


def windows_of(cfg: PixelConfig, unroll: int) -> int:
    """How many windows a step reads where the model is rolled on for so many frames."""
    return max(1, cfg.data.batch_size // unroll)


def shared_out(cfg: PixelConfig) -> dict[str, int]:
    """See Stage."""
    key = "stage.data.batch_size"
    return {f"{key} (stage.unroll={frames})": windows_of(cfg, frames) for frames in cfg.unroll}


def resolve(cfg: PixelConfig, setting: Setting) -> PixelConfig:
    """The same; keys for a GPU that is not there, and pictures of a wrong size, are refused."""
    cfg.data.check(setting.env, setting.device)
    size = cfg.image_size or setting.env.preprocessing.size
    if cfg.model is Architecture.pixel_unet and size % FOLD_FACTOR:
        raise ValueError(
            f"stage.model=pixel_unet takes pictures with an even side, not {size}: "
            "set stage.image_size"
        )
    if cfg.model is Architecture.pixel_world_model and size < SMALLEST_PICTURE:
        raise ValueError(
            f"stage.model=pixel_world_model takes pictures of at least {SMALLEST_PICTURE} pixels, "
            f"not {size}: set stage.image_size"
        )
    return cfg
