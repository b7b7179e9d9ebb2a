"""What a token world model is and how it learns, as a user sets it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from world_models.models.token_rounds import MOST_ROUNDS
from world_models.models.token_stack import Sequence
from world_models.models.token_world import TokenWorldModel
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.device import Precision
from world_models.runs.numbers import require_below_one, require_not_negative, require_positive


@dataclass
class TokenWorldLearning:
    """A step is on `batch_size` windows of `seq_len` transitions, each from an empty memory."""

    # keys that came later, and the values with which they change nothing
    ADDED: ClassVar[dict[str, Any]] = {"informed": False, "rounds": 1}

    width: int = 96  # numbers of a token inside the model
    heads: int = 4  # of each layer
    layers: int = 2  # blocks, one after the other
    dropout: float = 0.1  # probability that a number inside is left out in training
    # how a token reads those before it
    sequence: Sequence = Sequence.retention
    # read the tokenizer's vectors of codes beside an embedding; false: the embedding alone
    shared_codes: bool = True
    # all tokens of a frame at once; false: one by one, each knowing those before it
    pop: bool = True
    # with pop: tokens are told what stood at their place before, and those of the next frame what
    # is done and what stands at and around their place now; false: neither, as published
    informed: bool = True
    # rounds, up to 4, in which the tokens of a frame are drawn: neighbours never in the same one,
    # and told what was drawn before; 1: all at once and independently, as published
    rounds: int = 1
    seq_len: int = 8  # transitions of a window
    # frames that a dream has seen when it begins, and that a step has at least that is learned
    context: int = 1
    batch_size: int = 32  # windows of an update
    learning_rate: float = 5e-4  # of AdamW
    weight_decay: float = 0.05  # of AdamW
    grad_clip: float = 10.0  # largest norm of a gradient; 0: any
    reward_weight: float = 1.0  # of the reward in the loss
    done_weight: float = 1.0  # of a step that ends its episode; any other has 1
    # as published, where we do otherwise: see docs/stages/token_world.md
    parity: bool = False
    precision: Precision = Precision.auto  # arithmetic of an update

    def __post_init__(self) -> None:
        require_positive("stage", self, "width", "heads", "layers", "context", "batch_size")
        require_positive("stage", self, "learning_rate", "done_weight")
        require_not_negative("stage", self, "weight_decay", "grad_clip", "reward_weight")
        require_below_one("stage", self, "dropout")
        if self.seq_len < max(2, self.context):
            raise ValueError(
                f"stage.seq_len is {self.seq_len}; it must be at least 2, and at least "
                f"stage.context, {self.context}"
            )
        if self.width % (2 * self.heads):
            raise ValueError(
                f"stage.width is {self.width}; it must be a multiple of twice stage.heads, "
                f"{2 * self.heads}"
            )

        if not 1 <= self.rounds <= MOST_ROUNDS:
            raise ValueError(
                f"stage.rounds is {self.rounds}; it must be at least 1 and at most {MOST_ROUNDS}"
            )
        if self.rounds > 1 and (self.parity or not (self.informed and self.pop)):
            raise ValueError(
                f"stage.rounds is {self.rounds}, which needs stage.informed=true, stage.pop=true "
                "and stage.parity=false"
            )

    def model_of(self, tokenizer: Tokenizer, action_size: int) -> TokenWorldModel:
        """A new model of this tokenizer's tokens; its weights are torch's to draw."""
        rows, columns = tokenizer.grid
        return TokenWorldModel(
            tokenizer.vocabulary,
            rows * columns,
            action_size,
            code_size=tokenizer.code_size if self.shared_codes else 0,
            width=self.width,
            heads=self.heads,
            layers=self.layers,
            dropout=self.dropout,
            sequence=self.sequence.value,
            blocks=self.seq_len,
            pop=self.pop,
            columns=columns if self.informed and self.pop and not self.parity else 0,
            rounds=self.rounds,
            parity=self.parity,
        )

    def check(self, tokenizer: Tokenizer, action_size: int) -> None:
        """A model that cannot be made for this tokenizer is a ValueError."""
        with torch.device("meta"):
            self.model_of(tokenizer, action_size)
