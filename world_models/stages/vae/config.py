"""The configuration of the stage vae, and what of it is refused at the start."""

from dataclasses import dataclass, field, replace

from world_models.config.stage import Setting
from world_models.learning.starting import starting_checkpoint
from world_models.models.convvae import IMAGE_SIZE, VAES
from world_models.runs.choices import one_of, require_known
from world_models.runs.device import Precision
from world_models.runs.numbers import require_not_negative, require_positive
from world_models.runs.run import BUDGET, PATH, RUNTIME
from world_models.runs.schedule import check_factor


@dataclass
class VAEConfig:
    """A frame's loss is its squared error plus kl_weight * max(KL, kl_tolerance * latent_size).

    It is in nats. The error of a pixel weighs 1 + motion_weight * its distance, 0 to 1, from the
    mean of the training frames: in a scene that stands still, what moves is far from it. Patience
    counts epochs without a better validation loss; `checkpoint_interval` counts training steps.
    Where all epochs would take longer than `minutes`, each reads so many frames fewer, drawn anew:
    their number follows once from the measured rate.
    """

    latent_size: int = 32  # numbers of z, what V makes of a frame
    train_batch_size: int = 32  # frames of a training step
    num_epochs: int = field(default=10, metadata=BUDGET)  # passes over the training frames
    minutes: float | None = None  # of training at most; null: no limit
    learning_rate: float = 1e-3  # of Adam, at the start
    kl_weight: float = 0.1  # of the KL divergence beside the squared error; of the original: 1
    kl_tolerance: float = 0.0  # free bits of each latent, in nats
    motion_weight: float = 0.0  # how much more the error of what moves weighs, see above
    horizontal_flip: bool = False  # mirror half of the training frames, drawn anew each time
    # vae run folder, its checkpoint or an agent, whose weights are the first ones
    start_from: str | None = field(default=None, metadata=PATH)
    scheduler_patience: int = 5  # epochs without a better loss after which the rate falls
    scheduler_factor: float = 0.5  # by which the learning rate is multiplied then
    early_stopping_patience: int = 30  # epochs without a better loss after which training ends
    sample_interval: int = field(default=5, metadata=RUNTIME)  # epochs between two pictures
    # training steps between two checkpoints
    checkpoint_interval: int = field(default=500, metadata=RUNTIME)
    model: str = field(default="conv", metadata=one_of(VAES))  # which V is trained
    precision: Precision = Precision.auto  # arithmetic of a training step
    compile: bool = field(default=True, metadata=RUNTIME)  # torch.compile, on cuda only

    def __post_init__(self) -> None:
        require_known("stage", self)
        require_positive(
            "stage",
            self,
            "latent_size",
            "train_batch_size",
            "num_epochs",
            "minutes",
            "learning_rate",
            "sample_interval",
        )
        require_positive("stage", self, "checkpoint_interval", "early_stopping_patience")
        require_not_negative("stage", self, "kl_weight", "kl_tolerance", "motion_weight")
        require_not_negative("stage", self, "scheduler_patience")
        check_factor(self.scheduler_factor)


def shared_out(cfg: VAEConfig) -> dict[str, int]:
    """See Stage."""
    return {"stage.train_batch_size": cfg.train_batch_size}


def resolve(cfg: VAEConfig, setting: Setting) -> VAEConfig:
    """A copy in which `start_from` is the absolute path of a checkpoint.

    Weights that do not fit, and frames of another size than V's, are refused.
    """
    pre = setting.env.preprocessing
    if pre.size != IMAGE_SIZE:
        raise ValueError(
            f"stage=vae takes {IMAGE_SIZE}x{IMAGE_SIZE} frames "
            f"and these are {pre.size}x{pre.size}: "
            f"collect episodes with env.size={IMAGE_SIZE}"
        )
    if cfg.start_from is None:
        return cfg
    needed = {
        "img_channels": pre.channels,
        "latent_size": cfg.latent_size,
        "model": cfg.model,
    }
    keys = "stage.model, stage.latent_size and env.grayscale"
    return replace(cfg, start_from=str(starting_checkpoint(cfg.start_from, "vae", needed, keys)))
