"""How a token world model learns, from episodes and their tokens."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor, nn

from world_models.data.batch import TokenBatch
from world_models.data.loading import endless_batches
from world_models.data.token_windows import TokenSegments, TokenWindows
from world_models.learning.learner import Learner, steady_training
from world_models.learning.token_world_config import TokenWorldLearning
from world_models.losses import Counts, token_world_loss
from world_models.measures.token_rows import TokenWorldRow
from world_models.measures.tokens import TokenJudgement, TokenStatistics
from world_models.models.row_dropout import drop_rows
from world_models.models.token_world import TokenWorldModel
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs import ranks, seeding
from world_models.runs.device import autocast
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import evenly_spaced
from world_models.runs.progress import ProgressBar, tracked
from world_models.runs.rows import cells
from world_models.runs.run import Run
from world_models.worlds.token import load_token_model

KIND = "token_world"
"""Of its checkpoints, and of its seeds."""
JUDGED_AT_ONCE = 64
"""Windows that are judged side by side."""


class TokenWorldLearner(Learner[TokenWorldModel]):
    """A token world model that learns in a run, by itself or (`part`) beside other models.

    Which windows a step reads, and all its noise, are functions of (seed, step) and of the
    episodes there are.
    """

    def __init__(
        self,
        cfg: TokenWorldLearning,
        run: Run,
        tokenizer: Tokenizer,
        log_interval: int = 50,
        part: str = "",
    ) -> None:
        """`tokenizer`: whose tokens and codes are read; see `take_codes` where it learns on."""
        self.cfg, self.run = cfg, run
        with seeding.seeded_weights(run.seed, KIND, "weights"):
            model = cfg.model_of(tokenizer, run.env.action_space.size)
        model = model.to(run.device.value)
        optimizer = optimizer_of(model, cfg)
        facts = {"env": run.env.to_dict(), "grid": list(tokenizer.grid), "context": cfg.context}
        self.training = steady_training(KIND, model, optimizer, log_interval, part, facts)
        self.take_codes(tokenizer)

    @property
    def model(self) -> TokenWorldModel:
        """As it is now."""
        return self.training.model

    def take_codes(self, tokenizer: Tokenizer) -> None:
        """Read the vectors that the tokenizer's codes have now."""
        if self.cfg.shared_codes:
            self.model.read_tokens.use(tokenizer.table)

    def learn(
        self, data: TokenSegments, updates: int, metrics: MetricsLog, bar: ProgressBar
    ) -> None:
        """So many updates on windows of `data`, whose episodes may have become more."""
        self.model.train()
        per_pass = max(1, len(data) // self.cfg.batch_size)
        for part, batch in islice(self._batches(data), updates):
            self.training.epoch = self.step // per_pass
            noise = (self.run.seed, KIND, "dropout", self.step)
            with seeding.seeded_dropout(self.run.device.value, *noise):
                counts = part.counts(batch.mask, batch.next_mask)
                drawn = self._drawn(batch, part)
                loss, terms = self.loss_terms(batch.to(self.run.device.value), counts, drawn)
            values = {"loss": loss, **terms}
            self.training.update(loss, values, metrics, self.cfg.grad_clip, part.share)
            bar.advance(1, part.total, f"epoch {self.training.epoch + 1}")

    def _batches(self, data: TokenSegments) -> Iterator[tuple[ranks.Part, TokenBatch]]:
        """From the current step on: the windows of this process, and which of a step's they are."""
        size, seed = self.cfg.batch_size, self.run.seed
        for indices in endless_batches(len(data), size, seed=seed, start=self.step):
            part = ranks.part(len(indices))
            if ranks.world_size() > 1:
                drop_rows(self.model, part.rows, part.total)
            yield part, data.__getitems__(indices[part.rows])

    def _drawn(self, batch: TokenBatch, part: ranks.Part) -> Tensor | None:
        """How many rounds of each frame are told in this step: every number equally often."""
        if self.model.rounds == 1:
            return None
        rows = torch.arange(part.total)[part.rows, None] + self.step
        drawn = (rows + torch.arange(batch.actions.shape[1])) % self.model.rounds
        return drawn.to(self.run.device.value)

    def loss_terms(
        self,
        batch: TokenBatch,
        counts: Counts = (None, None),
        drawn: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and its terms; `counts` as for `token_world_loss`.

        `drawn` (B, T): rounds of a frame that the model is told; what is left is learned.
        """
        with autocast(self.cfg.precision, self.run.device):
            found = self.model(batch.tokens, batch.actions, drawn)
        nats = self.model.reward_code.loss(found.reward, batch.rewards)
        return token_world_loss(
            found.tokens,
            batch.tokens[:, 1:],
            nats,
            found.done,
            batch.terminated,
            batch.mask,
            batch.next_mask,
            self.cfg.reward_weight,
            self.cfg.done_weight,
            counts,
            None if drawn is None else self.model.to_be_drawn(drawn),
        )

    @torch.inference_mode()
    def judge(
        self, held_out: TokenWindows, statistics: TokenStatistics, most: int | None = None
    ) -> TokenWorldRow:
        """What held-out windows say of the model as it is now, one step ahead.

        With `most`, of more windows so many that are evenly spaced.
        """
        self.model.eval()
        found = TokenJudgement(statistics)
        items = evenly_spaced(len(held_out), min(len(held_out), most or len(held_out)))
        starts = range(0, len(items), JUDGED_AT_ONCE)
        for start in tracked("judge on held-out steps", starts, len(starts), "batches"):
            batch = held_out.__getitems__(items[start : start + JUDGED_AT_ONCE])
            found.add(self.model, batch.to(self.run.device.value))
        return replace(found.row(self.cfg.reward_weight), step=self.step)

    def keep_if_best(self, row: TokenWorldRow) -> bool:
        """Write `best.pt` where this judgement is the best so far."""
        if not self.training.stopper.update(row.loss):
            return False
        self.training.save_best(self.run, cells(row))
        return True

    def keep(self, row: TokenWorldRow) -> None:
        """Write `best.pt` whatever was before: where data and codes change, the newest is best."""
        self.training.save_best(self.run, cells(row))

    def take_best(self) -> None:
        """Dream with the model of `best.pt` from now on."""
        device = self.run.device.value
        self.training.model = load_token_model(self.training.best(self.run), device).model


def optimizer_of(model: TokenWorldModel, cfg: TokenWorldLearning) -> torch.optim.AdamW:
    """AdamW, which decays the maps from vector to vector, and neither embeddings nor scales."""
    maps = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and module is not model.read_action
    }
    decayed = [weight for weight in model.parameters() if id(weight) in maps]
    others = [weight for weight in model.parameters() if id(weight) not in maps]
    groups = [
        {"params": decayed, "weight_decay": cfg.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=cfg.learning_rate, fused=True)
