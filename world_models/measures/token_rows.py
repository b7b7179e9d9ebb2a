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

    # cross-entropy of the next frame's tokens [nats per token]
    tokens: float = column(TOKENS)
    # cross-entropy of the reward [nats per step]
    reward: float = column(REWARD)
    # cross-entropy of the end of the episode [nats per step]
    end: float = column(END)


@dataclass(frozen=True, kw_only=True)
class TokenWorldRow(ValidationRow):
    """val_metrics.csv of a token world model: one step ahead on held-out episodes.

    A changed token is another than at its place in the frame before: copying gets none of them.
    `unigram` guesses by how often each token is at a place in the training frames.
    """

    # cross-entropy of the next frame's tokens [nats per token]
    tokens: float = column(TOKENS)
    # cross-entropy of the reward [nats per step]
    reward: float = column(REWARD)
    # cross-entropy of the end of the episode [nats per step]
    end: float = column(END)
    # cross-entropy of the changed tokens alone [nats per token]
    changed: float = column("Changed tokens: cross-entropy")
    # cross-entropy of the unigram's guess [nats per token]
    unigram: float
    # the same, of changed tokens [nats per token]
    unigram_changed: float
    # tokens that the model holds for the likeliest [share]
    accuracy: float
    # changed tokens that it holds for the likeliest [share]
    accuracy_changed: float = column("Changed tokens that are foreseen")
    # tokens that are as in the frame before [share]
    copy_accuracy: float
    # changed tokens that are the unigram's guess [share]
    unigram_accuracy_changed: float
    # of episodes [steps]
    ends: int
    # of these, what the model foresees; NaN without any [share]
    end_recall: float
    # of what it foresees, ends; NaN without any [share]
    end_precision: float
    # other than 0 [steps]
    rewards: int
    # of these, what the model foresees; NaN without any [share]
    reward_recall: float
    # of what it foresees, such rewards; NaN without any [share]
    reward_precision: float


@dataclass(frozen=True, kw_only=True)
class TokenHorizonRow:
    """open_loop.csv: a dream under recorded actions, beside what came, `horizon` frames ahead.

    Always the likeliest tokens. A changed token is another than in the last frame that was seen.
    """

    # updates of the weights by then
    step: int | None = None
    # that the windows are from
    split: str | None = None
    # how far ahead [frames]
    horizon: int
    # from which dreams begin [windows]
    n: int
    # tokens that are other than in the last frame seen [share]
    changed: float
    # tokens that the dream has right [share]
    accuracy: float
    # tokens that are as in the last frame seen [share]
    copy_accuracy: float
    # changed tokens that the dream has right [share]
    accuracy_changed: float = column("Changed tokens that are foreseen")
    # changed tokens that are the unigram's guess [share]
    unigram_accuracy_changed: float
    # frames that are wholly right [share]
    exact: float = column("Frames foreseen without an error")
    # frames that are as the last one seen [share]
    copy_exact: float


@dataclass(frozen=True, kw_only=True)
class CountRow:
    """counts.csv: frames with more or fewer of some token than any training frame has.

    Things that are doubled or lost, where tokens are drawn independently.
    """

    # real: held-out frames; independent, counted: frames of dreams, by how tokens are drawn
    drawn: str
    # that were counted [frames]
    frames: int
    # with more of some token than any training frame has [share]
    doubled: float
    # with fewer of some token than any training frame has [share]
    lost: float
