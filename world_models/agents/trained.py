"""Agents to play, by name where they come with the package, or by the path of an agent.pt."""

from pathlib import Path

from world_models.agents.agent import load_agent
from world_models.envs.spec import EnvSpec

FOLDER = Path(__file__).parent.parent / "trained"


def names() -> list[str]:
    """The agents that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def find_agent(name: str) -> Path:
    """The file of the agent of this name, or the file itself; what is neither is a ValueError."""
    path = FOLDER / f"{name}.pt" if name in names() else Path(name)
    path = path / "agent.pt" if path.is_dir() else path
    if not path.is_file():
        known = f"one of {', '.join(names())}, or " if names() else ""
        raise ValueError(f"agent={name} does not exist: give {known}the path of an agent.pt")
    return path


def check_agent(name: str, spec: EnvSpec) -> None:
    """An agent that was trained on another environment is a ValueError."""
    env = load_agent(find_agent(name)).env
    if env != spec:
        same = "with other settings than env has here: use the same env keys"
        raise ValueError(
            f"agent={name} was trained on {env.id}{f' {same}' if env.id == spec.id else f', not on {spec.id}'}"
        )
