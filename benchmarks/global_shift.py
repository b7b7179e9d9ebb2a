"""What an oracle could do that moves the whole last frame by the one shift that fits best, one
frame ahead.

    python -m benchmarks.global_shift <rollout run folder>

Its squared error over that of copying the last frame, on held-out windows; shifts up to
FARTHEST_SHIFTS pixels, border repeated.
"""

import argparse
from pathlib import Path

import torch

from world_models.data.datasets import SequenceDataset
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import PixelWindows
from world_models.envs.spec import EnvSpec
from world_models.models.motion import FARTHEST_SHIFTS

CONTEXT = 4


def shifted(frames: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """frames (B, C, H, W) moved down and to the right; what comes into view repeats the border."""
    height, width = frames.shape[-2:]
    rows, columns = (
        (torch.arange(n) - d).clamp(0, n - 1) for n, d in ((height, down), (width, right))
    )
    return frames[..., rows, :][..., columns]


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rollout", type=Path)
    parser.add_argument("--windows", type=int, default=512)
    options = parser.parse_args()
    store = EpisodeStore.open(options.rollout / "episodes")
    space = EnvSpec.from_dict(store.manifest["env"]).action_space
    windows = PixelWindows(
        SequenceDataset(store, "validation", CONTEXT), CONTEXT, options.windows, space, View()
    )
    best, copied = 0.0, 0.0
    for window in windows:
        last, truth = window.context[:, -1], window.future[:, 0]
        errors = torch.stack(
            [
                (shifted(last, down, right) - truth).square().mean((1, 2, 3))
                for down in range(-FARTHEST_SHIFTS[0], FARTHEST_SHIFTS[0] + 1)
                for right in range(-FARTHEST_SHIFTS[1], FARTHEST_SHIFTS[1] + 1)
            ]
        )
        best += float(errors.min(0).values.sum())
        copied += float((last - truth).square().mean((1, 2, 3)).sum())
    print(
        f"{len(windows)} windows: error of the best single shift over that of copying "
        f"{best / copied:.3f}"
    )


if __name__ == "__main__":
    main()
