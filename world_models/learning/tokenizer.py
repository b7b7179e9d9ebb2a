"""How tokenizers learn: `vq` and `fsq` by gradients, `patch` by looking at each frame once."""

import logging
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from world_models.data.datasets import ObservationDataset, to_float
from world_models.data.loading import endless_batches
from world_models.learning.learner import Learner, steady_training
from world_models.learning.perceptual_weights import load_lpips, require_weight_files
from world_models.learning.tokenizer_config import TokenizerLearning, make_tokenizer
from world_models.learning.tokenizer_learner import KIND, TokenizerLearner, facts_of
from world_models.losses import rarity
from world_models.measures.codebook import count_codes, perplexity
from world_models.models.perceptual import Perceptual, PerceptualKind, multiscale, no_difference
from world_models.models.tokenizers.convolutional import ConvTokenizer, Reconstruction
from world_models.models.tokenizers.patch import PatchTokenizer
from world_models.models.tokenizers.vq import VQTokenizer
from world_models.runs import ranks, seeding
from world_models.runs.checkpoint import Trained, load_checkpoint, save_checkpoint
from world_models.runs.device import autocast, place
from world_models.runs.folder import display_path
from world_models.runs.metrics import MetricsLog, Value
from world_models.runs.parsing import Count, Text, damaged
from world_models.runs.places import led_to
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.runs.training import adamw, own_offsets
from world_models.runs.weights import load_weights

log = logging.getLogger(__name__)


def build(
    cfg: TokenizerLearning, run: Run, log_interval: int = 50, part: str = ""
) -> TokenizerLearner:
    """The learner of a tokenizer at its first update; for `part` see Training."""
    if cfg.learns:
        return GradientLearner(cfg, run, log_interval, part)
    return PatchLearner(cfg, run, part)


def perceptual_of(cfg: TokenizerLearning, run: Run) -> Perceptual:
    """What is added to the squared error; files of weights are noted as inputs of the run."""
    if cfg.perceptual is PerceptualKind.multiscale:
        return multiscale
    if cfg.perceptual is PerceptualKind.none:
        return no_difference
    given = cfg.perceptual_weights
    folder = None if given is None else str(led_to(run.path, given))
    for path in require_weight_files(folder):
        run.add_input("perceptual_weights", path)
    return load_lpips(folder, run.device.value)


class GradientLearner(Learner[ConvTokenizer], TokenizerLearner):
    """Of a tokenizer with weights."""

    model: ConvTokenizer

    def __init__(self, cfg: TokenizerLearning, run: Run, log_interval: int, part: str) -> None:
        with seeding.seeded_weights(run.seed, KIND, "weights"):
            model = make_tokenizer(cfg, run.env.preprocessing)
        assert isinstance(model, ConvTokenizer), cfg.kind
        super().__init__(cfg, run, place(model, run.device, cfg.compile))
        self.perceptual = perceptual_of(cfg, run)
        optimizer = adamw(model, cfg.learning_rate, cfg.weight_decay)
        self.training = steady_training(
            KIND, self.model, optimizer, log_interval, part, facts_of(cfg, run)
        )

    def updates_in(self, epochs: int, data: ObservationDataset) -> int:
        """See TokenizerLearner; what is left of a pass by its last whole batch is left out."""
        return epochs * max(1, len(data) // self.cfg.batch_size)

    def learn(
        self, data: ObservationDataset, updates: int, metrics: MetricsLog, bar: ProgressBar
    ) -> None:
        """See TokenizerLearner: each pass over the frames is in an order of its own."""
        self.model.train()
        size = self.cfg.batch_size
        order = endless_batches(len(data), size, seed=self.run.seed, start=self.step)
        for indices in islice(order, updates):
            part = ranks.part(len(indices))
            x = to_float(data.__getitems__(indices[part.rows]), self.run.device.value)
            loss, terms, found = self.loss_terms(x, self.scene(x, part))
            counts = self.counted(found.tokens, part)
            values = {"loss": loss, **terms, "perplexity": loss.new_tensor(perplexity(counts))}
            self.training.epoch = self.step // self.updates_in(1, data)
            self.training.update(loss, values, metrics, self.cfg.grad_clip, part.share)
            bar.advance(1, len(indices), f"epoch {self.training.epoch + 1}")

    def scene(self, x: Tensor, part: ranks.Part) -> Tensor | None:
        """The mean (C, S, S) of the batch that x is a part of, where errors are weighed by it."""
        if not self.cfg.motion_weight:
            return None
        return x.mean(0) if ranks.world_size() == 1 else ranks.summed(part.share * x.mean(0))

    def counted(self, tokens: Tensor, part: ranks.Part) -> Tensor:
        """How often each code is among the tokens of the batch that these are a part of, (V,)."""
        counts = count_codes(tokens, self.model.vocabulary)
        return ranks.summed(counts * (part.share > 0))

    def loss_terms(
        self, x: Tensor, mean: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Reconstruction]:
        """x (B, C, S, S) in [0, 1] -> the loss; its terms; what came back.

        `mean` is what `scene` gives; None: the mean of x.
        """
        with autocast(self.cfg.precision, self.run.device):
            found: Reconstruction = self.model(x)
        truth = 2 * x - 1
        squared = (found.frames - truth).square()
        loss = squared.mean()
        terms = {"reconstruction": loss}
        if self.cfg.motion_weight:
            far = rarity(x, x.mean(0) if mean is None else mean)
            loss = loss + self.cfg.motion_weight * (far * squared).mean()
        if self.cfg.perceptual is not PerceptualKind.none:
            terms["perceptual"] = self.perceptual(found.frames, truth).mean()
            loss = loss + self.cfg.perceptual_scale * terms["perceptual"]
        if isinstance(self.model, VQTokenizer):
            terms["codebook"] = found.loss
            loss = loss + found.loss
        return loss, terms, found

    def reconstruct(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """See TokenizerLearner."""
        loss, terms, found = self.loss_terms(x)
        return {"loss": loss, **terms}, ((found.frames + 1) / 2).clamp(0, 1), found.tokens

    def write_progress(self, metrics: MetricsLog) -> None:
        """See TokenizerLearner."""
        self.training.write_window(metrics)
        self.training.write_timing(metrics, self.cfg.batch_size)

    def start_clock(self) -> None:
        """See TokenizerLearner."""
        self.training.start_clock()

    def improved(self, loss: float) -> bool:
        """See TokenizerLearner: the least loss so far."""
        return self.training.stopper.update(loss)

    def keep(self, validation: dict[str, Value]) -> None:
        """See TokenizerLearner."""
        self.training.save_best(self.run, validation)


class _Looked(Trained):
    """last.pt of a tokenizer that only looks: how many of the training frames it has seen."""

    seen: Count
    csv_offsets: dict[Text, Count]


class PatchLearner(TokenizerLearner):
    """Of a book of patches: an update takes in a batch of frames, in the order of their episodes.

    Episodes that come later lie behind the others, so it goes on with those alone. The book is the
    same however its frames were shared out among calls.
    """

    model: PatchTokenizer

    def __init__(self, cfg: TokenizerLearning, run: Run, part: str) -> None:
        model = make_tokenizer(cfg, run.env.preprocessing)
        assert isinstance(model, PatchTokenizer), cfg.kind
        super().__init__(cfg, run, model.to(run.device.value))
        self.part = part
        self.seen = 0

    @property
    def step(self) -> int:
        """See TokenizerLearner."""
        return -(-self.seen // self.cfg.batch_size)

    @property
    def last(self) -> Path:
        """See TokenizerLearner."""
        return self.run.checkpoints / self.part / "last.pt"

    def resume(self) -> dict[str, int] | None:
        """See TokenizerLearner."""
        if not self.last.is_file():
            return None
        state = load_checkpoint(self.last, KIND, self.run.device.value, _Looked)
        place = display_path(self.last)
        if state["config"] != self.model.config:
            raise damaged(place, "its config is not that of this run's tokenizer")
        load_weights(self.model, state["model"], place)
        self.seen = state["seen"]
        return dict(state["csv_offsets"])

    def updates_in(self, epochs: int, data: ObservationDataset) -> int:
        """See TokenizerLearner; a second pass would find nothing new."""
        return -(-len(data) // self.cfg.batch_size)

    def learn(
        self, data: ObservationDataset, updates: int, metrics: MetricsLog, bar: ProgressBar
    ) -> None:
        """See TokenizerLearner: where all frames were seen, nothing is done."""
        size = self.cfg.batch_size
        end = min(len(data), self.seen + updates * size)
        was_full = self.model.is_full
        for start in range(self.seen, end, size):
            indices = np.arange(start, min(start + size, end))
            self.model.fit(to_float(data.__getitems__(indices), self.run.device.value))
            self.seen = start + len(indices)
            bar.advance(1, len(indices), f"{int(self.model.filled)} patches")
        if self.model.is_full and not was_full:
            log.warning(
                "the book is full: of patches that come from now on the nearest of its %d is seen; "
                "a larger vocabulary holds more",
                self.model.vocabulary,
            )

    def reconstruct(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """See TokenizerLearner; the loss is the squared error of frames in [-1, 1]."""
        tokens = self.model.encode(x)
        drawn = self.model.decode(tokens)
        loss = 4 * (drawn - x).square().mean()
        return {"loss": loss, "reconstruction": loss}, drawn, tokens

    def write_progress(self, metrics: MetricsLog) -> None:
        """See TokenizerLearner: nothing is learned by steps."""

    def start_clock(self) -> None:
        """See TokenizerLearner: there is no clock."""

    def improved(self, loss: float) -> bool:
        """See TokenizerLearner: a book that has seen more is never worse for it."""
        return True

    def save(self, metrics: MetricsLog) -> None:
        """See TokenizerLearner."""
        progress = {"seen": self.seen, "csv_offsets": own_offsets(metrics, self.part)}
        save_checkpoint(self.last, KIND, {**self._identity(), **progress})

    def keep(self, validation: dict[str, Value]) -> None:
        """See TokenizerLearner."""
        save_checkpoint(self.best, KIND, {**self._identity(), "validation": validation})

    def _identity(self) -> dict[str, object]:
        return {
            "config": dict(self.model.config),
            "model": self.model.state_dict(),
            "epoch": 0,
            "step": self.step,
            "inputs": self.run.manifest["inputs"],
            **facts_of(self.cfg, self.run),
        }
