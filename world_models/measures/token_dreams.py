"""Token dreams under recorded actions, beside what came: how far they are right, what doubles."""

from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from world_models.data.batch import TokenBatch
from world_models.data.token_windows import TokenWindows
from world_models.data.windows import whole_windows
from world_models.measures.token_rows import CountRow, TokenHorizonRow
from world_models.measures.tokens import TokenStatistics
from world_models.models.draws import StreamDraws
from world_models.models.token_choice import DRAWINGS
from world_models.models.token_world import Choose, TokenWorldModel
from world_models.runs import seeding
from world_models.runs.progress import tracked

WINDOWS_AT_ONCE = 64


class DreamWindows:
    """Up to `count` windows, each whole inside a held-out episode; always the same."""

    def __init__(self, data: TokenWindows, count: int) -> None:
        """`data` has windows of context - 1 + horizon steps; without a whole one: ValueError."""
        self.data = data
        self.items, _ = whole_windows(data, count, lower="stage.horizon")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def context(self) -> int:
        """Frames that a dream has seen when it begins."""
        return self.data.context

    @property
    def horizon(self) -> int:
        """Frames that follow."""
        return self.data.seq_len - self.context + 1

    def batches(self, device: str) -> Iterator[TokenBatch]:
        """All windows, some at a time."""
        starts = range(0, len(self), WINDOWS_AT_ONCE)
        for start in tracked("dream on from held-out frames", starts, len(starts), "batches"):
            batch = self.data.__getitems__(self.items[start : start + WINDOWS_AT_ONCE])
            yield batch.to(device)


@torch.inference_mode()
def dreamt(model: TokenWorldModel, batch: TokenBatch, context: int, choose: Choose) -> Tensor:
    """The frames (B, H, K) that follow the first `context` ones under the recorded actions."""
    state = model.begin(batch.tokens[:, :context], batch.actions[:, : context - 1])
    frames = []
    for step in range(context - 1, batch.actions.shape[1]):
        state, _ = model.step(state, batch.actions[:, step], choose)
        frames.append(state.tokens)
    return torch.stack(frames, dim=1)


def horizon_rows(
    model: TokenWorldModel, starts: DreamWindows, statistics: TokenStatistics, device: str
) -> list[TokenHorizonRow]:
    """How right the likeliest dream is, 1 to H frames ahead."""
    model.eval()
    guess = statistics.unigram.argmax(1)
    sums: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(starts.horizon).double())
    for batch in starts.batches(device):
        found = dreamt(model, batch, starts.context, lambda logits: logits.argmax(-1))
        truth = batch.tokens[:, starts.context :]
        seen = batch.tokens[:, starts.context - 1 : starts.context]
        changed, hits, copied = truth != seen, truth == found, truth == seen
        for name, values in {
            "changed": changed,
            "accuracy": hits,
            "copy_accuracy": copied,
            "hits_changed": hits & changed,
            "guessed_changed": (truth == guess) & changed,
        }.items():
            sums[name] += values.double().mean(2).sum(0).cpu()
        sums["exact"] += hits.all(2).double().sum(0).cpu()
        sums["copy_exact"] += copied.all(2).double().sum(0).cpu()
    return [_horizon_row(sums, ahead, len(starts)) for ahead in range(starts.horizon)]


def _horizon_row(sums: dict[str, Tensor], ahead: int, count: int) -> TokenHorizonRow:
    at = {name: float(values[ahead]) for name, values in sums.items()}
    return TokenHorizonRow(
        horizon=ahead + 1,
        n=count,
        accuracy_changed=at["hits_changed"] / at["changed"] if at["changed"] else 1.0,
        unigram_accuracy_changed=at["guessed_changed"] / at["changed"] if at["changed"] else 1.0,
        changed=at["changed"] / count,
        accuracy=at["accuracy"] / count,
        copy_accuracy=at["copy_accuracy"] / count,
        exact=at["exact"] / count,
        copy_exact=at["copy_exact"] / count,
    )


def count_rows(
    model: TokenWorldModel,
    starts: DreamWindows,
    statistics: TokenStatistics,
    device: str,
    seed: int,
) -> list[CountRow]:
    """How often things are doubled or lost: in held-out frames, and in dreams at temperature 1."""
    model.eval()
    generator = seeding.torch_generator(seed, "token_world", "counts", device=device)
    draws = StreamDraws(generator)
    sums: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(3).double())

    def look(name: str, frames: Tensor) -> None:
        doubled, lost = statistics.odd(frames.flatten(0, 1))
        sums[name] += torch.stack([torch.ones_like(lost).sum(), doubled.sum(), lost.sum()]).cpu()

    for batch in starts.batches(device):
        look("real", batch.tokens[:, starts.context :])
        for name, draw in DRAWINGS.items():
            look(name, dreamt(model, batch, starts.context, _by(draw, draws)))
    return [
        CountRow(
            drawn=name,
            frames=int(found[0]),
            doubled=float(found[1] / found[0]),
            lost=float(found[2] / found[0]),
        )
        for name, found in sums.items()
    ]


def _by(draw: Callable[[Tensor, StreamDraws], Tensor], draws: StreamDraws) -> Choose:
    return lambda logits: draw(logits, draws)
