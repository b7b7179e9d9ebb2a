"""The columns of the tables of a token world model, and the words that stand above them."""

from dataclasses import dataclass

from world_models.measures.rows import StepRow, ValidationRow
from world_models.runs.rows import column

TOKENS = "Tokens of the next frame: cross-entropy"
REWARD = "Reward: cross-entropy"
END = "End of episode: cross-entropy"


@dataclass(frozen=True, kw_only=True)
class TokenStepRow(StepRow):
    """metrics.csv of a token world model: the terms of its loss in nats."""

    tokens: float = column(TOKENS)
    reward: float = column(REWARD)
    end: float = column(END)


@dataclass(frozen=True, kw_only=True)
class TokenWorldRow(ValidationRow):
    """val_metrics.csv of a token world model: one step ahead on held-out episodes.

    A changed token is another than at its place in the frame before: copying gets none of them.
    `unigram` guesses by how often each token is at a place in the training frames.
    """

    # nats
    tokens: float = column(TOKENS)
    reward: float = column(REWARD)
    end: float = column(END)
    changed: float = column("Changed tokens: cross-entropy")
    unigram: float
    unigram_changed: float
    # shares of the tokens that are the likeliest
    accuracy: float
    accuracy_changed: float = column("Changed tokens that are foreseen")
    copy_accuracy: float
    unigram_accuracy_changed: float
    # ends, and the shares that are found, and of those found that are any; NaN without any
    ends: int
    end_recall: float
    end_precision: float
    # the same of rewards other than 0
    rewards: int
    reward_recall: float
    reward_precision: float


@dataclass(frozen=True, kw_only=True)
class TokenHorizonRow:
    """open_loop.csv: a dream under recorded actions, beside what came, `horizon` frames ahead.

    Always the likeliest tokens. A changed token is another than in the last frame that was seen.
    """

    step: int | None = None
    split: str | None = None
    horizon: int
    # windows
    n: int
    # of the tokens
    changed: float
    accuracy: float
    copy_accuracy: float
    accuracy_changed: float = column("Changed tokens that are foreseen")
    unigram_accuracy_changed: float
    # of the frames that are wholly right
    exact: float = column("Frames foreseen without an error")
    copy_exact: float


@dataclass(frozen=True, kw_only=True)
class CountRow:
    """counts.csv: frames with more or fewer of some token than any training frame has.

    Things that are doubled or lost, where tokens are drawn independently.
    """

    # real: held-out frames; independent, counted: frames of dreams, by how tokens are drawn
    drawn: str
    frames: int
    doubled: float
    lost: float
