"""Train, look at, play with and extend world models.

Importing this package registers its environments with Gymnasium.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from world_models import envs as envs

if TYPE_CHECKING:
    from world_models.agents.opened import OpenedRun

__version__ = "1.0.0"


def load(name: str | Path, which: str = "best", device: str = "cpu") -> "OpenedRun":
    """A run by its folder, or an agent: by its agent.pt, or by its name if it is packaged.

    It has `path`, `config`, `metrics`, `parts`, `agent`, `world`, and the environments `dream()`
    and `real()`. `which` controller of the agent plays, "best" or "mean".
    """
    from world_models.agents.opened import open_run

    return open_run(str(name), which, device)
