"""What held-out episodes say of a token world model, beside what needs no model."""

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from world_models.data.batch import TokenBatch
from world_models.data.store import EpisodeStore
from world_models.data.tokens import TokenStore
from world_models.measures.token_rows import TokenWorldRow
from world_models.models.token_world import TokenWorldModel

FRAMES_AT_ONCE = 4096


@dataclass(frozen=True)
class TokenStatistics:
    """How often each token is where, in the frames of a split."""

    # (K, V) log of its share of the frames, none 0
    unigram: Tensor
    # (V,) how often it is in a frame at least, and at most
    least: Tensor
    most: Tensor

    @classmethod
    def of(cls, store: EpisodeStore, tokens: TokenStore, split: str) -> "TokenStatistics":
        """Counted over all frames of the split."""
        vocabulary = tokens.vocabulary
        counts = torch.zeros(int(np.prod(tokens.grid)), vocabulary, dtype=torch.int64)
        least = torch.full((vocabulary,), len(counts))
        most = torch.zeros(vocabulary, dtype=torch.int64)
        for row in store.episodes(split):
            end = row.start + row.length + store.has_final_frame
            for start in range(row.start, end, FRAMES_AT_ONCE):
                stop = min(end, start + FRAMES_AT_ONCE)
                found = torch.from_numpy(tokens.arrays(row.shard)[start:stop].copy()).long()
                in_frames = counts_of(found.flatten(1), vocabulary)
                least = torch.minimum(least, in_frames.amin(0))
                most = torch.maximum(most, in_frames.amax(0))
                counts += functional.one_hot(found.flatten(1), vocabulary).sum(0)
        shares = (counts + 1) / (counts.sum(1, keepdim=True) + vocabulary)
        return cls(shares.log(), least, most)

    def to(self, device: str) -> "TokenStatistics":
        """The same on `device`."""
        return TokenStatistics(*(part.to(device) for part in vars(self).values()))

    def odd(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, K) -> which have a token more often, and which less often, than any: (N,)."""
        counts = counts_of(tokens, len(self.most))
        return (counts > self.most).any(1), (counts < self.least).any(1)


def counts_of(tokens: Tensor, vocabulary: int) -> Tensor:
    """Tokens (N, K) -> how often each is in each frame, (N, V)."""
    counts = tokens.new_zeros(len(tokens), vocabulary)
    return counts.scatter_add_(1, tokens, torch.ones_like(tokens))


@dataclass
class TokenJudgement:
    """Sums over held-out steps."""

    statistics: TokenStatistics
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, model: TokenWorldModel, batch: TokenBatch) -> None:
        """What the model says of a batch, each step of which is looked at."""
        found = model(batch.tokens, batch.actions)
        self._add_tokens(found.tokens, batch)
        steps = batch.mask > 0
        nats = model.reward_code.loss(found.reward, batch.rewards)
        ends = functional.binary_cross_entropy_with_logits(
            found.done.float(), batch.terminated, reduction="none"
        )
        self._count(steps=steps, reward=nats[steps], end=ends[steps])
        self._add_events("end", found.done[steps] > 0, batch.terminated[steps] > 0)
        rewards, said = batch.rewards[steps], model.reward_code.decode(found.reward[steps])
        # found where it is nearer to the reward, or to one as large on the same side, than to 0
        nearer = (said.abs() > rewards.abs() / 2) & (said.sign() == rewards.sign())
        self._add_events(
            "reward", torch.where(rewards != 0, nearer, said.abs() > 0.5), rewards != 0
        )

    def _add_tokens(self, logits: Tensor, batch: TokenBatch) -> None:
        read = batch.next_mask > 0
        truth, before = batch.tokens[:, 1:][read], batch.tokens[:, :-1][read]
        said = logits[read].float().log_softmax(-1)
        nats = -said.gather(-1, truth[..., None])[..., 0]
        hits = said.argmax(-1) == truth
        places = torch.arange(truth.shape[1], device=truth.device)
        guess = self.statistics.unigram
        guessed = -guess[places, truth]
        changed = truth != before
        self._count(
            all=torch.ones_like(changed),
            changed_all=changed,
            tokens=nats,
            changed=nats[changed],
            unigram=guessed,
            unigram_changed=guessed[changed],
            accuracy=hits,
            accuracy_changed=hits[changed],
            unigram_accuracy_changed=(guess.argmax(1) == truth)[changed],
        )

    def _add_events(self, name: str, said: Tensor, happened: Tensor) -> None:
        hits = said & happened
        self._count(**{f"{name}_happened": happened, f"{name}_said": said, f"{name}_hits": hits})

    def _count(self, **parts: Tensor) -> None:
        for name, values in parts.items():
            self.sums[name] += float(values.double().sum())

    def _mean(self, name: str, count: str) -> float:
        return self.sums[name] / max(1.0, self.sums[count])

    def row(self, reward_weight: float) -> TokenWorldRow:
        """All of it in one row."""
        sums = self.sums
        tokens, reward = self._mean("tokens", "all"), self._mean("reward", "steps")
        end = self._mean("end", "steps")
        return TokenWorldRow(
            loss=tokens + reward_weight * reward + end,
            tokens=tokens,
            reward=reward,
            end=end,
            changed=self._mean("changed", "changed_all"),
            unigram=self._mean("unigram", "all"),
            unigram_changed=self._mean("unigram_changed", "changed_all"),
            accuracy=self._mean("accuracy", "all"),
            accuracy_changed=self._mean("accuracy_changed", "changed_all"),
            copy_accuracy=1 - self._mean("changed_all", "all"),
            unigram_accuracy_changed=self._mean("unigram_accuracy_changed", "changed_all"),
            ends=int(sums["end_happened"]),
            end_recall=_share(sums["end_hits"], sums["end_happened"]),
            end_precision=_share(sums["end_hits"], sums["end_said"]),
            rewards=int(sums["reward_happened"]),
            reward_recall=_share(sums["reward_hits"], sums["reward_happened"]),
            reward_precision=_share(sums["reward_hits"], sums["reward_said"]),
        )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
