"""Train, look at, play with and extend world models."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from world_models.agents.agent import Agent

__version__ = "0.1.0"


def load(path: str | Path, which: str = "best", device: str = "cpu") -> "Agent":
    """The agent in an agent.pt; `which` is "best" or "mean"."""
    from world_models.agents.agent import load_agent

    return load_agent(path, which, device)
