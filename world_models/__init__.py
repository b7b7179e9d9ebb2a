"""Train, look at, play with and extend world models.

Importing this package registers its environments with Gymnasium.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from world_models import envs as envs

if TYPE_CHECKING:
    from world_models.agents.agent import Agent
    from world_models.agents.token_agent import TokenAgent

__version__ = "0.1.0"


def load(name: str | Path, which: str = "best", device: str = "cpu") -> "Agent | TokenAgent":
    """An agent that comes with the package, by its name, or that of an agent.pt or of a run folder.

    `which` is "best" or "mean".
    """
    from world_models.agents.trained import find_agent, load_player

    return load_player(find_agent(str(name)), which, device)
