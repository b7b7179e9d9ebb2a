"""The agent: V, M, C, preprocessing and action mapping in one file, and how it plays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from world_models.agents.bursts import Bursts
from world_models.agents.control import ControllerPolicy
from world_models.agents.perception import Perception
from world_models.agents.planning import PlanningPolicy, planner
from world_models.agents.playing import Playing
from world_models.agents.sequences import PlanConfig
from world_models.models.controller import ControllerInputs, num_parameters
from world_models.models.convvae import VAES, ConvVAE
from world_models.runs.checkpoint import Weights, load_checkpoint, save_checkpoint
from world_models.runs.parsing import Count, Input, Stored, Text, damaged
from world_models.runs.provenance import versions
from world_models.runs.stored_env import spec_of
from world_models.worlds.latent import WorldModel, mdrnn_of, vae_of, world_of


class WorldModelPolicy:
    """Plays row i with controller i: perception (V, and M's state) and C on what it sees.

    M sees the executed action; where C sees z alone, M does not run. What a row does depends on
    its own seed, frames and controller, bit for bit.
    """

    def __init__(
        self, world: WorldModel, vectors: np.ndarray, noise: float = 0.0, bursts: float = 0.0
    ) -> None:
        """`vectors` (N, parameters) or (1, parameters), and `noise`: see `ControllerPolicy`.

        `bursts` is the largest share of an episode's steps that are disturbed: see `Bursts`.
        """
        self.perception = Perception(world)
        space = world.env.action_space
        self.controller = ControllerPolicy(
            world.controller_inputs, space, vectors, noise, world.device
        )
        self.bursts = Bursts(space, bursts) if bursts else None

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self.perception.reset(seeds)
        self.controller.reset(seeds)
        if self.bursts is not None:
            self.bursts.reset(seeds)

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Environment actions (n, ...) for frames (n, H, W, C) uint8 of the rows (n,)."""
        actions = self.controller.act(self.perception.see(frames, rows), rows)
        if self.bursts is not None:
            actions = self.bursts.disturb(actions, rows)
        self.perception.remember(actions, rows)
        return actions


class Agent(Playing):
    """A trained agent for notebooks: `reset(n)`, then `act(frames)` once per step.

    `dream` and `reconstruct` look inside. Frames are uint8 (n, size, size, channels) as
    `make_vector_env(agent.env, backend, n)` gives them.
    """

    seen_by = "seen by V"

    def __init__(
        self,
        world: WorldModel,
        controllers: dict[str, np.ndarray],
        which: str = "best",
        inputs: Sequence[dict[str, str]] = (),
        has_reward: bool | None = None,
    ) -> None:
        """`controllers` by name, parameters each, of which `which` plays.

        `inputs` is the lineage that is saved with it. `has_reward` says whether M was trained on
        rewards; None: as M's checkpoint says, or, one of before, where its head is no longer as it
        was initialised.
        """
        if which not in controllers:
            raise ValueError(
                f"which={which} is no controller of this agent; it has {', '.join(controllers)}"
            )
        super().__init__(world.env)
        self.world = world
        self.controllers = controllers
        self.which = which
        self.inputs = list(inputs)
        told = world.rewards if has_reward is None else has_reward
        self.has_reward = world.mdrnn.reward_is_trained if told is None else told

    def policy(self, noise: float = 0.0, bursts: float = 0.0) -> WorldModelPolicy:
        """The agent as a policy for `interact`."""
        return WorldModelPolicy(self.world, self.controllers[self.which][None], noise, bursts)

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Actions (n, ...) for what n episodes show: frames, or what V and M make of them.

        Features (n, F) are what a dream of M shows, and the environment behind V and M. They hold
        all that C knows, so `reset` is for frames alone.
        """
        if np.ndim(observations) != 2:
            return self.act(observations)
        world = self.world
        inputs, space = world.controller_inputs, world.env.action_space
        policy = ControllerPolicy(inputs, space, self.vector[None], device=world.device)
        policy.reset(range(len(observations)))
        return policy.act(observations, np.arange(len(observations)))

    @property
    def vector(self) -> np.ndarray:
        """The parameters (n,) of the controller that plays."""
        return self.controllers[self.which]

    def planner(self, cfg: PlanConfig) -> PlanningPolicy:
        """The agent as a policy that plans at each step; M without a reward head: ValueError."""
        self.require_reward()
        return planner(self.world, cfg, self.controllers[self.which][None])

    def require_reward(self) -> None:
        """An M that predicts no rewards is a ValueError: no plan is worth more than another."""
        if not self.has_reward:
            raise ValueError(
                "this agent cannot plan: its M predicts no rewards; train M with "
                "stage.include_reward=true"
            )

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """What V keeps of frames (n, size, size, channels) uint8."""
        self._check("reconstruct", frames)
        return self.world.decode(self.world.encode(frames))

    def dream(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        horizon: int,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """The `horizon` frames that M dreams after those (n, size, size, channels) of one episode.

        `actions` are n + horizon: see `WorldModel.dream`.
        """
        self._check("dream", frames)
        if horizon < 1:
            raise ValueError(f"agent.dream has horizon={horizon}; it takes 1 or more")
        if len(actions) < len(frames) + horizon - 1:
            raise ValueError(
                f"agent.dream has {len(actions)} actions; it takes one for each of the "
                f"{len(frames)} frames and of the {horizon} that follow"
            )
        self._require_numbered(np.asarray(actions))
        return self.world.dream(frames, actions, horizon, temperature, seed)

    def _require_numbered(self, actions: np.ndarray) -> None:
        """Discrete actions that are none are a ValueError."""
        space = self.env.action_space
        if space.kind != "discrete":
            return
        if actions.dtype.kind not in "iu" or not space.contains(actions).all():
            last = space.start + space.size - 1
            raise ValueError(
                f"agent.dream has actions that are none: they are whole numbers from {space.start} "
                f"to {last}"
            )

    def _check(self, name: str, frames: np.ndarray) -> None:
        """Other arrays than uint8 (n, size, size, channels) are a ValueError."""
        pre = self.env.preprocessing
        wanted = (pre.size, pre.size, pre.channels)
        given = np.asarray(frames)
        if given.dtype == np.uint8 and given.ndim == 4 and given.shape[1:] == wanted:
            return
        what = "frames of one episode" if name == "dream" else "frames"
        numbers = ", ".join(map(str, wanted))
        raise ValueError(
            f"agent.{name} has {given.dtype} {given.shape}; it takes {what}, uint8 (n, {numbers})"
        )

    def save(self, path: str | Path, half: bool = False) -> None:
        """Write agent.pt; `half`: V and M in half precision, which takes half the space."""
        content = {
            "env": self.env.to_dict(),
            "vae": {
                **_kind(self.world.vae),
                "config": self.world.vae.config,
                "model": _weights(self.world.vae, half),
            },
            "mdrnn": {"config": self.world.mdrnn.config, "model": _weights(self.world.mdrnn, half)},
            "controller": {
                "config": self.world.controller_config,
                "sight": self.world.controller_inputs.to_dict(),
            },
            "controllers": {
                name: torch.from_numpy(vector) for name, vector in self.controllers.items()
            },
            "inputs": self.inputs,
            "rewards": self.has_reward,
            "versions": versions(),
        }
        save_checkpoint(Path(path), "agent", content)


class _Sight(Stored):
    features: Literal["z", "zh", "zch"]
    hidden_units: Count
    latent: Literal["mean", "sample"]


class _Controller(Stored):
    config: dict[str, Any]
    sight: _Sight = _Sight(features="zh", hidden_units=0, latent="mean")


class AgentFile(Stored):
    """agent.pt."""

    env: dict[str, Any]
    vae: Weights
    mdrnn: Weights
    controller: _Controller
    controllers: dict[Text, torch.Tensor]
    inputs: list[Input]
    # whether M was trained on them; files of earlier versions do not say
    rewards: bool | None = None
    versions: dict[str, Any]


def _kind(vae: ConvVAE) -> dict[str, str]:
    """The name of a V that is not ours."""
    name = next(name for name, kind in VAES.items() if type(vae) is kind)
    return {} if name == "conv" else {"architecture": name}


def _weights(module: torch.nn.Module, half: bool) -> dict[str, torch.Tensor]:
    return {name: value.half() if half else value for name, value in module.state_dict().items()}


def load_agent(path: str | Path, which: str = "best", device: str = "cpu") -> Agent:
    """Read agent.pt.

    `which` is "best" (highest selection score) or "mean" (the search's last mean vector).
    """
    path = Path(path)
    return agent_of(load_checkpoint(path, "agent", device, AgentFile), path, which, device)


def agent_of(state: dict[str, Any], path: Path, which: str, device: str) -> Agent:
    """The agent in the content of a file; parts that do not fit are a ValueError."""
    made = state["controller"]
    seen = ControllerInputs.from_dict(made["sight"]) if "sight" in made else ControllerInputs()
    vae = vae_of(state["vae"], f"{path}, vae", device, half=True)
    mdrnn = mdrnn_of(state["mdrnn"], f"{path}, mdrnn", device, half=True)
    rewards = state.get("rewards")
    world = world_of(vae, mdrnn, spec_of(state["env"], path), seen, f"the parts of {path}", rewards)
    if made["config"] != world.controller_config:
        raise damaged(path, "controller.config is not that of its V, M and sight")
    controllers = {name: vector.cpu().numpy() for name, vector in state["controllers"].items()}
    _require_vectors(controllers, num_parameters(**made["config"]), path)
    return Agent(world, controllers, which, state["inputs"], rewards)


def _require_vectors(controllers: dict[str, np.ndarray], parameters: int, path: Path) -> None:
    for name, vector in controllers.items():
        if vector.dtype != np.float32 or vector.shape != (parameters,):
            held = f"{vector.dtype} {vector.shape}"
            raise damaged(path, f"controllers.{name} is {held}, not {parameters} float32")
