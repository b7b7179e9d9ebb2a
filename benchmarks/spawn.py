"""How many things a token world dreams where there is exactly one: the spawn test, and its remedy.

    python -m benchmarks.spawn

In every frame one thing stands at one of 16 places, whichever it was at before. Models learn that;
then dreams are counted. Drawn place by place, each place has the thing in one of 16 frames, so a
frame has exactly one with probability (15/16)^15 = 0.38; in rounds, each is told of those before.
Printed are the shares of frames with no thing, one, and more, and dreamt frames per second.
"""

import argparse
import time

import torch
from torch import Tensor

from world_models.models.draws import StreamDraws
from world_models.models.token_choice import DRAWINGS
from world_models.models.token_world import TokenWorldModel
from world_models.runs.numbers import num_cores

PLACES, COLUMNS, STEPS, ROWS, FRAMES = 16, 4, 4, 256, 8


def frames(rows: int, steps: int, draw: torch.Generator) -> Tensor:
    """Tokens (B, T, K): 1 at one place of each frame, else 0."""
    places = torch.randint(PLACES, (rows, steps), generator=draw)
    return torch.nn.functional.one_hot(places, PLACES)


def trained(pop: bool, rounds: int, updates: int) -> TokenWorldModel:
    """A small model that has learned from such frames."""
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    sizes = {"width": 32, "heads": 2, "layers": 1}
    columns = COLUMNS if pop else 0
    model = TokenWorldModel(
        2, PLACES, 1, **sizes, dropout=0.0, pop=pop, columns=columns, rounds=rounds
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    still = torch.zeros(32, STEPS, 1)
    for _ in range(updates):
        tokens = frames(32, STEPS + 1, draw)
        drawn = torch.randint(rounds, (32, STEPS), generator=draw)
        said = model(tokens, still, drawn if rounds > 1 else None).tokens
        left = model.to_be_drawn(drawn)
        loss = torch.nn.functional.cross_entropy(said[left], tokens[:, 1:][left])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.inference_mode()
def dreamt(model: TokenWorldModel, drawing: str) -> tuple[Tensor, float]:
    """Things in each dreamt frame (N,), and dreamt frames per second."""
    draws = StreamDraws(torch.Generator().manual_seed(1))
    state = model.begin(frames(ROWS, 1, draws.generator), torch.zeros(ROWS, 0, 1))
    began, counts = time.perf_counter(), []
    for _ in range(FRAMES):
        state, _ = model.step(
            state, torch.zeros(ROWS, 1), lambda logits: DRAWINGS[drawing](logits, draws)
        )
        counts.append(state.tokens.sum(1))
    return torch.cat(counts), ROWS * FRAMES / (time.perf_counter() - began)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(num_cores())
    print(f"{'':44} {'none':>6} {'one':>6} {'more':>6} {'frames/s':>10}")
    for name, pop, rounds, drawing in (
        ("all at once, drawn independently", True, 1, "independent"),
        ("all at once, counted", True, 1, "counted"),
        ("in 2 rounds", True, 2, "independent"),
        ("in 4 rounds", True, 4, "independent"),
        ("in 4 rounds, counted", True, 4, "counted"),
        ("token by token", False, 1, "independent"),
    ):
        counts, rate = dreamt(trained(pop, rounds, options.updates), drawing)
        shares = [(counts == 0), (counts == 1), (counts > 1)]
        cells = " ".join(f"{float(share.double().mean()):6.3f}" for share in shares)
        print(f"{name:44} {cells} {rate:10,.0f}")


if __name__ == "__main__":
    main()
