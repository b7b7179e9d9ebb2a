"""Imagined frames per second of a token world model: all tokens of a frame at once (parallel
observation prediction) beside token by token with the same weights, over retention and attention;
then tokens per second of its training, how much of the time is not matrix products, and frames per
second that a book of patches encodes.

    python -m benchmarks.rem
    python -m benchmarks.rem --device cuda --rows 1 16 128 --rounds 5

A frame is what a dream makes of it: one step of the model, and drawing the tokens. The published
sizes go with 64 tokens a frame, smaller ones with 25 and 16. Weights are untrained: speed does not
depend on them. Variants take turns; medians of the rounds.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.table import Rates, in_turns, show
from world_models.losses import token_world_loss
from world_models.models.draws import StreamDraws
from world_models.models.token_choice import draw_tokens
from world_models.models.token_world import TokenWorldModel
from world_models.models.tokenizers.patch import PatchTokenizer
from world_models.runs.numbers import num_cores
from world_models.runs.training import adamw

ACTIONS = 4
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "einsum")
"""Operations of torch that are matrix products."""


@dataclass(frozen=True)
class Size:
    """A model, and the segments on which it is trained."""

    places: int
    vocabulary: int
    width: int
    heads: int
    layers: int
    blocks: int
    batch: int

    @property
    def name(self) -> str:
        """For titles."""
        return f"{self.places} tokens a frame, width {self.width}, {self.layers} layers"

    def model(self, sequence: str, pop: bool = True) -> TokenWorldModel:
        """The same weights for both values of `pop`."""
        torch.manual_seed(0)
        return TokenWorldModel(
            self.vocabulary,
            self.places,
            ACTIONS,
            width=self.width,
            heads=self.heads,
            layers=self.layers,
            blocks=self.blocks,
            sequence=sequence,
            pop=pop,
        )


SIZES = {
    16: Size(16, 64, 96, 4, 2, 8, 32),
    25: Size(25, 128, 128, 8, 3, 10, 32),
    64: Size(64, 512, 256, 4, 5, 10, 8),
}
"""By tokens a frame; the batch of the largest is smaller than the published one of 64."""


def imagining(size: Size, rows: int, device: str, frames: int, rounds: int) -> Rates:
    """Imagined frames per second with so many rows side by side."""
    draws = StreamDraws(torch.Generator(device).manual_seed(0))
    actions = torch.eye(ACTIONS, device=device)[torch.arange(rows) % ACTIONS]

    def maker(model: TokenWorldModel) -> Callable[[], object]:
        model = model.to(device).eval()
        tokens = torch.zeros(rows, 2, size.places, dtype=torch.int64, device=device)

        @torch.inference_mode()
        def dream() -> None:
            state = model.begin(tokens, actions[:, None])
            for _ in range(frames):
                state, _ = model.step(state, actions, lambda logits: draw_tokens(logits, draws))

        return dream

    words = {True: "all at once", False: "token by token"}
    variants = product(("retention", "attention"), (True, False))
    makers = {
        f"{sequence}, {words[pop]}": maker(size.model(sequence, pop)) for sequence, pop in variants
    }
    return in_turns(makers, rounds, rows * frames)


def training_step(size: Size, sequence: str, pop: bool, device: str) -> Callable[[], object]:
    """One update on a batch of segments."""
    model = size.model(sequence, pop).to(device)
    optimizer = adamw(model, 1e-4, 0.05)
    rows, steps = size.batch, size.blocks
    tokens = torch.randint(size.vocabulary, (rows, steps + 1, size.places), device=device)
    actions = torch.eye(ACTIONS, device=device)[torch.randint(ACTIONS, (rows, steps))]
    mask = torch.ones(rows, steps, device=device)

    def step() -> Tensor:
        found = model(tokens, actions)
        nats = model.reward_code.loss(found.reward, 0 * mask)
        loss, _ = token_world_loss(
            found.tokens, tokens[:, 1:], nats, found.done, 0 * mask, mask, mask
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def training(size: Size, device: str, rounds: int) -> Rates:
    """Tokens of frames and actions per second that a model learns from; none is counted twice."""
    makers = {
        "retention, all at once": training_step(size, "retention", True, device),
        "attention, all at once": training_step(size, "attention", True, device),
        "retention, token by token": training_step(size, "retention", False, device),
        "attention, token by token": training_step(size, "attention", False, device),
    }
    return in_turns(makers, rounds, size.batch * size.blocks * (size.places + 1))


def outside_products(make: Callable[[], object]) -> float:
    """The share of the processor's time that is not spent in matrix products."""
    make()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        make()
    spent = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    inside = sum(spent.get(f"aten::{name}", 0) for name in PRODUCTS)
    return 1 - inside / sum(spent.values())


def encoding(device: str, rounds: int) -> Rates:
    """Frames per second that a book of patches encodes, 64 at once, all of which it has seen."""
    draw = torch.Generator().manual_seed(0)
    cells = torch.randint(2, (64, 3, 10, 10), generator=draw).float()
    frames = cells.repeat_interleave(4, 2).repeat_interleave(4, 3).to(device)
    model = PatchTokenizer(3, 40, 8, vocabulary=1024).to(device)
    model.fit(frames)

    def by_distances() -> Tensor:
        patches = model.patches(frames).flatten(1, 2)
        return torch.stack([model._distances(part).argmin(1) for part in patches])

    assert torch.equal(model.encode(frames).flatten(1), by_distances())
    makers: dict[str, Callable[[], object]] = {
        f"looked up, {int(model.filled)} patches": lambda: model.encode(frames),
        "by all distances": by_distances,
    }
    return in_turns(makers, rounds, len(frames))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(num_cores())
    show("frames encoded per second, 64 at once", encoding(options.device, options.rounds))
    for size in (SIZES[count] for count in options.tokens):
        for rows in options.rows:
            rates = imagining(size, rows, options.device, options.frames, options.rounds)
            show(f"imagined frames per second, {rows} side by side: {size.name}", rates)
        title = f"tokens per second in training, {size.batch} segments of {size.blocks} frames"
        show(f"{title}: {size.name}", training(size, options.device, options.rounds))
        if options.device == "cpu":
            share = outside_products(training_step(size, "retention", True, "cpu"))
            print(f"{share:.0%} of the time of an update is not spent in matrix products\n")


if __name__ == "__main__":
    main()
