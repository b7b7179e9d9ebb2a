"""An agent that reads tokens: tokenizer and actor-critic in one file, and how it is played."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from world_models.agents.bursts import Bursts
from world_models.agents.planning import PlanningPolicy
from world_models.agents.playing import Playing
from world_models.agents.sequences import PlanConfig
from world_models.agents.token_planning import token_planner
from world_models.agents.token_policy import TokenPolicy
from world_models.data.datasets import to_bytes, to_float
from world_models.envs.spec import EnvSpec
from world_models.models.actor_critic import ActorCritic
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.checkpoint import Weights, save_checkpoint
from world_models.runs.parsing import Input, Stored, Text, damaged
from world_models.runs.provenance import versions
from world_models.runs.stored_env import spec_of
from world_models.runs.weights import model_of
from world_models.worlds.token import TokenWorld
from world_models.worlds.tokenizing import TOKENIZERS, kind_of

TOKEN_AGENT = "token_agent"
"""The kind of its file."""
DRAWN_IN_TESTS = 0.5
"""Temperature at which actions are drawn where the agent is to score (published)."""
NOTHING_TO_PLAN_IN = (
    "this agent cannot plan: it reads tokens, and the file of such an agent holds no world model; "
    "name the run that made it, with upstream= or agent="
)


class TokenAgent(Playing):
    """A tokenizer and an actor-critic that chooses among numbered actions."""

    seen_by = "kept by its tokens"

    def __init__(
        self,
        tokenizer: Tokenizer,
        model: ActorCritic,
        env: EnvSpec,
        temperature: float = DRAWN_IN_TESTS,
        inputs: Sequence[dict[str, str]] = (),
        world: TokenWorld | None = None,
    ) -> None:
        """`temperature` is that of actions; 0: always the likeliest. `inputs` is the lineage.

        `world` is what it can plan in; no file of an agent holds it.
        """
        super().__init__(env)
        self.tokenizer = tokenizer.eval()
        self.model = model.eval()
        self.temperature = temperature
        self.inputs = list(inputs)
        self.world = world

    def policy(self, noise: float = 0.0, bursts: float = 0.0) -> TokenPolicy:
        """The agent as a policy for `interact`."""
        space = self.env.action_space
        held = Bursts(space, bursts) if bursts else None
        return TokenPolicy(self.tokenizer, self.model, space, self.temperature, noise, held)

    @property
    def vector(self) -> np.ndarray:
        """Of no numbers: its networks are all that plays."""
        return np.empty(0, np.float32)

    def planner(self, cfg: PlanConfig) -> PlanningPolicy:
        """Planning in its world, where its networks play no part; without one a ValueError."""
        if self.world is None:
            raise ValueError(NOTHING_TO_PLAN_IN)
        return token_planner(self.world, cfg)

    @torch.inference_mode()
    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """What the tokenizer keeps of frames (n, size, size, channels) uint8."""
        device = next(self.model.parameters()).device
        drawn = self.tokenizer.decode(
            self.tokenizer.encode(to_float(torch.from_numpy(frames), device))
        )
        return to_bytes(drawn).cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write agent.pt."""
        content = {
            "env": self.env.to_dict(),
            "tokenizer": {
                "architecture": architecture_of(self.tokenizer),
                "config": self.tokenizer.config,
                "model": self.tokenizer.state_dict(),
            },
            "actor_critic": {"config": self.model.config, "model": self.model.state_dict()},
            "temperature": self.temperature,
            "inputs": self.inputs,
            "versions": versions(),
        }
        save_checkpoint(Path(path), TOKEN_AGENT, content)


def architecture_of(tokenizer: Tokenizer) -> str:
    """The name of its kind."""
    return next(name for name, kind in TOKENIZERS.items() if type(tokenizer) is kind)


class _Tokenizer(Weights):
    architecture: Text


class TokenAgentFile(Stored):
    """agent.pt of kind token_agent."""

    env: dict[str, Any]
    tokenizer: _Tokenizer
    actor_critic: Weights
    temperature: float
    inputs: list[Input]
    versions: dict[str, Any]


def token_agent_of(state: dict[str, Any], path: Path, device: str) -> TokenAgent:
    """The agent in the content of a file of its kind; parts that do not fit are a ValueError."""
    kind = kind_of(state["tokenizer"]["architecture"], path, "tokenizer.architecture")
    tokenizer = model_of(kind, state["tokenizer"], f"{path}, tokenizer").to(device)
    model = model_of(ActorCritic, state["actor_critic"], f"{path}, actor_critic").to(device)
    env = spec_of(state["env"], path)
    pre, sizes = env.preprocessing, tokenizer.config
    fits = {
        "frames": (sizes["size"], sizes["img_channels"]) == (pre.size, pre.channels),
        "codes": model.config["code_size"] == tokenizer.code_size,
        "tokens": tuple(model.config["grid"]) == tokenizer.grid,
        "actions": env.action_space.kind == "discrete"
        and model.config["actions"] == env.action_space.size,
    }
    for name, fit in fits.items():
        if not fit:
            raise damaged(path, f"the {name} of its parts and its environment differ")
    return TokenAgent(tokenizer, model, env, state["temperature"], state["inputs"])
