"""What every learner of a tokenizer offers to the stages that train one."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from world_models.data.datasets import ObservationDataset, to_float
from world_models.data.store import EpisodeStore
from world_models.data.tokens import write_tokens
from world_models.learning.tokenizer_config import TokenizerLearning
from world_models.measures.codebook import TokenizerJudgement
from world_models.measures.vision import HeldOut, moving_pixels
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.metrics import MetricsLog, Value
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.worlds.tokenizing import load_tokenizer, token_encoder

KIND = "tokenizer"
"""Of its checkpoints, and of its seeds."""


class TokenizerLearner:
    """A tokenizer that learns in a run, by itself or (`part`) beside other models.

    `learn` goes on from where it stands, `judge` says how good it is, `save` writes what it is
    resumed from, `keep` the checkpoint that others read.
    """

    def __init__(self, cfg: TokenizerLearning, run: Run, model: Tokenizer) -> None:
        self.cfg, self.run, self.model = cfg, run, model

    @property
    def step(self) -> int:
        """Updates so far."""
        raise NotImplementedError

    @property
    def last(self) -> Path:
        """The checkpoint from which it is resumed."""
        raise NotImplementedError

    @property
    def best(self) -> Path:
        """The checkpoint that others read."""
        return self.last.with_name("best.pt")

    def resume(self) -> dict[str, int] | None:
        """Take over what was saved, where anything was; returns the CSV offsets it holds."""
        raise NotImplementedError

    def updates_in(self, epochs: int, data: ObservationDataset) -> int:
        """How many updates it takes to go through the frames so many times."""
        raise NotImplementedError

    def learn(
        self, data: ObservationDataset, updates: int, metrics: MetricsLog, bar: ProgressBar
    ) -> None:
        """So many updates on frames of `data`, whose episodes may have become more."""
        raise NotImplementedError

    def reconstruct(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """x (B, C, S, S) in [0, 1] -> terms of the loss, frames in [0, 1], tokens."""
        raise NotImplementedError

    def write_progress(self, metrics: MetricsLog) -> None:
        """Write what was learned since the last row, and how fast."""
        raise NotImplementedError

    def start_clock(self) -> None:
        """What was done up to now is no part of how fast it learns."""
        raise NotImplementedError

    def improved(self, loss: float) -> bool:
        """Whether the model of now, with this loss on held-out frames, is the one to keep."""
        raise NotImplementedError

    def save(self, metrics: MetricsLog) -> None:
        """Write `last`."""
        raise NotImplementedError

    def keep(self, validation: dict[str, Value]) -> None:
        """Write `best`, with what held-out frames said of it."""
        raise NotImplementedError

    def take_best(self) -> None:
        """Judge and encode with the model of `best` from now on."""
        self.model = load_tokenizer(self.best, self.run.env, self.run.device.value)

    @torch.inference_mode()
    def judge(self, held_out: HeldOut) -> TokenizerJudgement:
        """What these frames say of the model as it is now."""
        self.model.eval()
        found = TokenizerJudgement(self.model.vocabulary)
        for frames, before in held_out:
            x = to_float(frames, self.run.device.value)
            terms, drawn, tokens = self.reconstruct(x)
            found.add(terms, drawn, x, moving_pixels(frames, before).to(x.device), tokens)
        return found


def facts_of(cfg: TokenizerLearning, run: Run) -> dict[str, Any]:
    """What checkpoints say beside weights."""
    facts: dict[str, Any] = {"architecture": str(cfg.kind), "env": run.env.to_dict()}
    return facts | ({"perceptual": cfg.perceptual.value} if cfg.learns else {})


def encode_episodes(
    model: Tokenizer, digest: str, store: EpisodeStore, folder: Path, device: str
) -> None:
    """Write the tokens of every frame that the tokenizer of this digest has not encoded yet."""
    rows = sum(store.rows_by_shard().values())
    encode = token_encoder(model, device)
    with ProgressBar("tokens", rows, 0, "frames") as bar:
        write_tokens(encode, model.vocabulary, store, folder, digest, progress=bar.advance)
