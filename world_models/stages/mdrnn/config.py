"""The configuration of the stage mdrnn, and what of it is refused at the start."""

from dataclasses import dataclass, field, replace
from enum import Enum

from world_models.config.stage import Setting
from world_models.learning.starting import starting_checkpoint
from world_models.models.cells import CELLS
from world_models.models.mdrnn import Mixture
from world_models.runs.choices import one_of, require_known
from world_models.runs.numbers import require_below_one, require_not_negative, require_positive
from world_models.runs.run import BUDGET, PATH, RUNTIME
from world_models.runs.schedule import check_factor


class Sequences(Enum):
    """What a row of a batch reads."""

    windows = "windows"  # `seq_len` steps from anywhere, from a zero state
    # whole episodes, `seq_len` steps at a time, the state carried on (truncated backpropagation)
    episodes = "episodes"


class Latents(Enum):
    """Where latents come from."""

    precomputed = "precomputed"  # latents/ of the VAE's run
    online = "online"  # V encodes the frames of each batch


@dataclass
class MDRNNConfig:
    """An epoch reads each transition of the training episodes once.

    With `sequences=windows` it reads as many windows as would tile the episodes.
    """

    hidden_size: int = 256  # numbers of h, M's memory
    gmm_components: int = 5  # Gaussians of a mixture
    mixture: Mixture = Mixture.joint  # what one of them is chosen for
    sigma_floor: float = 1e-3  # lowest standard deviation that M predicts
    sequences: Sequences = Sequences.windows  # what a row of a batch reads
    batch_size: int = 16  # sequences of a training step
    seq_len: int = 32  # steps of a sequence
    # of a window: to be replaced by the one that ends its episode, if that terminated
    terminal_prob: float = 0.2
    dataset_fraction: float = 1.0  # of the training episodes, the first ones
    # where the latents of a batch come from
    latents: Latents = field(default=Latents.precomputed, metadata=RUNTIME)
    # how often each training transition is read
    num_epochs: int = field(default=30, metadata=BUDGET)
    learning_rate: float = 1e-3  # of RMSprop, at the start
    # mdrnn run folder, its checkpoint or an agent, whose weights are the first ones
    start_from: str | None = field(default=None, metadata=PATH)
    include_reward: bool = True  # predict rewards, too
    done_weight: float = 1.0  # of a step that ends its episode; any other has 1
    # probability that M does not read a number of z or h, all through a window
    dropout: float = 0.0
    grad_clip: float = 1.0  # largest norm of a gradient; 0: any
    scheduler_patience: int = 5  # epochs without a better loss after which the rate falls
    scheduler_factor: float = 0.5  # by which the learning rate is multiplied then
    early_stopping_patience: int = 30  # epochs without a better loss after which training ends
    cell: str = field(default="lstm", metadata=one_of(CELLS))  # what M remembers with
    untrained: bool = False  # a control: M as it was initialised
    temperature: float = field(default=1.0, metadata=RUNTIME)  # of the dreams that are shown
    sample_interval: int = field(default=5, metadata=RUNTIME)  # epochs between two dreams
    # training steps between two checkpoints
    checkpoint_interval: int = field(default=500, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_known("stage", self)
        require_positive(
            "stage", self, "hidden_size", "gmm_components", "sigma_floor", "batch_size", "seq_len"
        )
        require_positive(
            "stage", self, "dataset_fraction", "num_epochs", "learning_rate", "done_weight"
        )
        require_positive(
            "stage", self, "early_stopping_patience", "sample_interval", "checkpoint_interval"
        )
        require_not_negative("stage", self, "grad_clip", "scheduler_patience", "temperature")
        require_below_one("stage", self, "dropout")
        if not 0 <= self.terminal_prob <= 1:
            raise ValueError(
                f"stage.terminal_prob is {self.terminal_prob}; it must be a probability, "
                "from 0 to 1"
            )
        if self.dataset_fraction > 1:
            raise ValueError(
                f"stage.dataset_fraction is {self.dataset_fraction}; it must be at most 1, "
                "all episodes"
            )
        if self.untrained and self.start_from is not None:
            raise ValueError(
                "stage.untrained keeps the weights that M is initialised with, and "
                "stage.start_from gives others: leave one of them out"
            )
        check_factor(self.scheduler_factor)


def shared_out(cfg: MDRNNConfig) -> dict[str, int]:
    """See Stage."""
    if cfg.untrained:
        raise ValueError("stage.untrained=true trains nothing: start it without torchrun")
    return {"stage.batch_size": cfg.batch_size}


def resolve(cfg: MDRNNConfig, setting: Setting) -> MDRNNConfig:
    """A copy in which `start_from` is the absolute path of a checkpoint.

    Weights that do not fit are refused.
    """
    if cfg.start_from is None:
        return cfg
    needed = {
        "actions": setting.env.action_space.size,
        "hiddens": cfg.hidden_size,
        "gaussians": cfg.gmm_components,
        "mixture": cfg.mixture.value,
    }
    if cfg.cell != "lstm":
        needed["cell"] = cfg.cell
    keys = "stage.hidden_size, stage.gmm_components and stage.mixture"
    return replace(cfg, start_from=str(starting_checkpoint(cfg.start_from, "mdrnn", needed, keys)))
