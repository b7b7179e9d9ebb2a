"""Agents to play, by name where they come with the package, or by the path of an agent.pt or of the run that made it."""

from pathlib import Path

from world_models.agents.agent import load_agent
from world_models.envs.spec import EnvSpec

FOLDER = Path(__file__).parent.parent / "trained"


def names() -> list[str]:
    """The agents that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.pt"))


def find_agent(name: str) -> Path:
    """The file of the agent of this name, the file itself, or that of a controller's or pipeline's folder; else a ValueError."""
    path = FOLDER / f"{name}.pt" if name in names() else Path(name)
    inside = [path / "agent.pt", path / "controller" / "agent.pt"]
    path = next((file for file in inside if file.is_file()), path)
    if path.is_dir():
        raise ValueError(f"agent={name} holds no agent.pt: finish its controller stage, or resume it")
    if not path.is_file():
        known = f"one of {', '.join(names())}, or " if names() else ""
        raise ValueError(f"agent={name} does not exist: give {known}an agent.pt, or the run folder that holds one")
    return path


def settled_agent(name: str, spec: EnvSpec) -> str:
    """The name of a trained agent, or the absolute path of its file; one of another environment is a ValueError."""
    path = find_agent(name)
    env = load_agent(path).env
    if env != spec:
        same = "with other settings than env has here: use the same env keys"
        raise ValueError(
            f"agent={name} was trained on {env.id}{f' {same}' if env.id == spec.id else f', not on {spec.id}'}"
        )
    return name if name in names() else str(path.absolute())
