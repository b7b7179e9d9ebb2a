"""Agents to play.

One that comes with the package goes by its name, another by the path of its agent.pt or of the run
that made it.
"""

from pathlib import Path

from world_models.agents.agent import Agent, AgentFile, agent_of, load_agent
from world_models.agents.token_agent import (
    NOTHING_TO_PLAN_IN,
    TOKEN_AGENT,
    TokenAgent,
    TokenAgentFile,
    token_agent_of,
)
from world_models.envs.spec import EnvSpec
from world_models.runs.checkpoint import load_checkpoint, load_one_of
from world_models.runs.files import sha256, write_json
from world_models.runs.folder import read_manifest
from world_models.runs.parsing import Stored
from world_models.runs.past import PastRun
from world_models.runs.results import AgentScores, read_scores
from world_models.worlds.opening import (
    DreamerFiles,
    dreamer_files,
    load_dreamer,
    token_run_behind,
)
from world_models.worlds.token import TokenWorld

PACKAGED_AGENTS = Path(__file__).parent.parent / "trained"
AGENT_STAGES = ("controller", "actor_critic", "rem")
"""Stages that leave an agent.pt."""


def names() -> list[str]:
    """The agents that come with the package."""
    return sorted(path.stem for path in PACKAGED_AGENTS.glob("*.pt"))


def packaged(name: str) -> Path | None:
    """The file of an agent that comes with the package; None where none has that name."""
    return PACKAGED_AGENTS / f"{name}.pt" if name in names() else None


def load_player(path: str | Path, which: str = "best", device: str = "cpu") -> Agent | TokenAgent:
    """Read agent.pt of either kind: V, M and C, or tokenizer and actor-critic."""
    path = Path(path)
    kinds: dict[str, type[Stored]] = {"agent": AgentFile, TOKEN_AGENT: TokenAgentFile}
    state = load_one_of(path, kinds, device)
    if state["kind"] == TOKEN_AGENT:
        return token_agent_of(state, path, device)
    return agent_of(state, path, which, device)


def load_planner(path: Path, world: DreamerFiles | None, device: str = "cpu") -> Agent | TokenAgent:
    """Read agent.pt of either kind, and the world in which it plans (see `planned_in`)."""
    agent = load_player(path, device=device)
    if world is not None and isinstance(agent, TokenAgent):
        agent.world = TokenWorld(*load_dreamer(world, agent.env, device), None)
    return agent


def planned_in(path: Path, made_by: PastRun | None = None) -> DreamerFiles | None:
    """Where the world lies in which the agent of a file can plan; None: in the file itself.

    An agent of tokens plans in the world in which it has learned: that of the run that made it
    (None: of the folder of its file). One that cannot plan is a ValueError.
    """
    agent = load_player(path)
    if isinstance(agent, Agent):
        agent.require_reward()
        return None
    beside = PastRun(path.parent)
    behind = token_run_behind(made_by or (beside if beside.is_one else None))
    if behind is None:
        raise ValueError(NOTHING_TO_PLAN_IN)
    return dreamer_files(behind)


def find_agent(name: str) -> Path:
    """The file of an agent.

    `name` is that of a packaged agent, the file itself, or the folder of a run of AGENT_STAGES or
    of a pipeline; of several iterations it is the last agent that they have made. Anything else
    is a ValueError.
    """
    path = packaged(name) or Path(name)
    path = agent_in(path) or path
    if path.is_dir():
        raise ValueError(
            f"agent={name} holds no agent.pt: finish or resume the stage that makes one "
            f"({', '.join(AGENT_STAGES)})"
        )
    if not path.is_file():
        known = f"one of {', '.join(names())}, or " if names() else ""
        raise ValueError(
            f"agent={name} does not exist: "
            f"give {known}an agent.pt, or the run folder that holds one"
        )
    return path


def agent_in(path: Path) -> Path | None:
    """The last agent that the run of a folder has made; None where it has made none."""
    return next((file for file in _agents_in(path) if file.is_file()), None)


def _agents_in(path: Path) -> list[Path]:
    """Where the agent of a run's folder may lie, the last iteration's first."""
    run = PastRun(path)
    parts = run.parts if path.is_dir() and run.is_one else []
    folders = [part.folder for part in reversed(parts) if part.stage in AGENT_STAGES]
    return [path / folder / "agent.pt" for folder in [".", *folders, "controller"]]


def pack(run: Path, path: Path) -> None:
    """Write the agent of a controller's or pipeline's run to `path` in half precision.

    It holds what plays, in half the space.
    """
    load_agent(find_agent(str(run))).save(path, half=True)


def describe(path: Path, evaluation: Path) -> None:
    """Write beside a packed agent, as JSON, its hash, how it was made, and its scores.

    The scores are those of `evaluation`, a run of stage=evaluate. One of another file is a
    ValueError.
    """
    judged = read_manifest(evaluation)
    own = sha256(path)
    if own not in [item["sha256"] for item in judged["inputs"]]:
        raise ValueError(f"{evaluation} did not evaluate {path}: run stage=evaluate agent={path}")
    scores = read_scores(evaluation / "scores.json")
    assert isinstance(scores, AgentScores), evaluation
    state = load_checkpoint(path, "agent", fields=AgentFile)
    kept = {"env", "backend", "episodes", "mean", "std", "median", "interval95"}
    facts = {
        "sha256": own,
        "bytes": path.stat().st_size,
        "precision": "half",
        "inputs": state["inputs"],
        "versions": state["versions"],
        "scores": scores.model_dump(include=kept),
        "random": scores.random.mean,
        "git": judged["git"],
    }
    write_json(path.with_suffix(".json"), facts)


def resolve_agent(name: str, spec: EnvSpec) -> str:
    """The name of a trained agent, or the absolute path of its file.

    An agent of another environment is a ValueError.
    """
    path = find_agent(name)
    env = load_player(path).env
    if env != spec:
        other = f", not on {spec.id}"
        if env.id == spec.id:
            other = " with other settings than env has here: use the same env keys"
        raise ValueError(f"agent={name} was trained on {env.id}{other}")
    return name if name in names() else str(path.absolute())
