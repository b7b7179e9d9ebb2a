"""How often there is exactly one of a thing in the dreams of a run, by how tokens are drawn.

    python -m benchmarks.things RUN CELL NAME=RED,GREEN,BLUE [NAME=...]

RUN: a `rem` or `token_world` run. A thing is a cell of CELL pixels of that colour. Dreams begin at
held-out frames and go on under random actions until the world says that they end. Printed are the
shares of frames with exactly one and with more, in stored frames and in dreams, and how many frames
are dreamt in a second.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from world_models.data.store import EpisodeStore
from world_models.models.draws import StreamDraws
from world_models.models.token_choice import Drawing
from world_models.runs.numbers import num_cores
from world_models.runs.past import PastRun
from world_models.worlds.opening import open_world
from world_models.worlds.token import TokenWorld
from world_models.worlds.token_files import episodes_of

ROWS, STEPS = 256, (1, 4, 8, 16)
NEAR = 40
"""How far a colour may be off, in levels."""


def counted(frames: np.ndarray, cell: int, colour: np.ndarray) -> np.ndarray:
    """Cells of a colour in each of the frames (N, H, W, C) uint8."""
    middles = frames[:, cell // 2 :: cell, cell // 2 :: cell].astype(int)
    return (np.abs(middles - colour).max(-1) <= NEAR).sum((1, 2))


def stored(run: Path) -> np.ndarray:
    """All held-out frames."""
    store = EpisodeStore.at(episodes_of(PastRun(run)))
    return np.concatenate([store.episode(row).frames for row in store.episodes("validation")])


@torch.inference_mode()
def dreamt(world: TokenWorld) -> tuple[dict[int, np.ndarray], float]:
    """The frames at each of STEPS, and frames that the world gave in a second."""
    draws = StreamDraws(torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    space = world.env.action_space
    state = world.begin(rng.integers(world.num_starts, size=ROWS))
    found, seconds, going_on = {}, 0.0, torch.ones(ROWS, dtype=torch.bool)
    for step in range(1, max(STEPS) + 1):
        actions: Tensor = torch.from_numpy(space.to_model(space.sample(rng, ROWS)))
        began = time.perf_counter()
        after = world.advance(state, actions, draws)
        seconds += time.perf_counter() - began
        assert after.done is not None, world
        state, going_on = after.state, going_on & (after.done < 0)
        if step in STEPS:
            found[step] = world.observe(state).numpy()[going_on.numpy()]
    return found, ROWS * max(STEPS) / seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("cell", type=int)
    parser.add_argument("things", nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(num_cores())
    things = {
        name: np.array([int(level) for level in colour.split(",")])
        for name, _, colour in (thing.partition("=") for thing in options.things)
    }
    steps = "".join(f" {f'step {step}':>12}" for step in STEPS)
    print(f"{'exactly one, more':24} {'stored':>12}{steps} {'frames/s':>9}")
    real = stored(options.run)
    for drawing in Drawing:
        world = open_world(options.run, drawing=drawing.value)
        assert isinstance(world, TokenWorld), world
        frames, rate = dreamt(world)
        for name, colour in things.items():
            counts = [counted(given, options.cell, colour) for given in (real, *frames.values())]
            cells = [f" {np.mean(count == 1):6.3f}{np.mean(count > 1):6.3f}" for count in counts]
            print(f"{f'{name}, {drawing}':24}{''.join(cells)} {rate:9,.0f}")


if __name__ == "__main__":
    main()
