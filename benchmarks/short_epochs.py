"""The command line, with epochs of V and M cut to a given number of steps.

    python -m benchmarks.short_epochs 500 stage=vae ...

Each epoch draws its batches from the whole data set, as always, and ends after so many.
"""

import sys
from typing import Any

from world_models.data import chunks
from world_models.data.datasets import batches
from world_models.main import main
from world_models.stages import vae


def shorten(steps: int) -> None:
    """Let no epoch of V or M take more than `steps` steps."""

    def cut(num_items: int, batch_size: int, count: int | None = None, **options: Any) -> Any:
        return batches(
            num_items, batch_size, count=min(count or num_items, steps * batch_size), **options
        )

    modules: tuple[Any, ...] = (vae, chunks)
    for module in modules:
        assert module.batches is batches, f"{module.__name__} takes its batches from elsewhere"
        module.batches = cut


if __name__ == "__main__":
    shorten(int(sys.argv[1]))
    raise SystemExit(main(sys.argv[2:]))
