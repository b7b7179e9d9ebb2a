"""A run as one object for notebooks: what it measured, its agent, its world, its environments."""

from functools import cached_property
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np
from gymnasium.vector import AutoresetMode
from omegaconf import DictConfig, OmegaConf

from world_models.agents.agent import Agent
from world_models.agents.playing import Playing
from world_models.agents.policy import Policy
from world_models.agents.token_agent import TokenAgent
from world_models.agents.trained import agent_in, find_agent, load_player
from world_models.config.yaml_file import read_yaml
from world_models.data.view import View
from world_models.envs.autoreset import Autoreset
from world_models.envs.make import Backend, make_vector_env
from world_models.runs.columns import read_columns
from world_models.runs.past import PastRun
from world_models.worlds.dream_env import DreamEnv, warn_of_missing_heads
from world_models.worlds.dreaming import Dream, Reward, RewardFunction, Rules
from world_models.worlds.first_frames import first_states
from world_models.worlds.latent import LatentWorld, WorldModel
from world_models.worlds.opening import Dials, WorldDials, dreaming_run, open_world
from world_models.worlds.real_env import Features, Pictures, RealEnv, open_real
from world_models.worlds.registered import reward_of, starts_of
from world_models.worlds.starts import Starts
from world_models.worlds.world import World


class OpenedRun(Playing):
    """What lies in the folder of a run, or in the file of an agent; it is read and not written.

    What its agent can do it can do itself: `reset`, then `act` on frames.
    """

    def __init__(self, path: Path, which: str = "best", device: str = "cpu") -> None:
        """`path` is a run's folder or an agent.pt, `which` the controller that plays."""
        self.path = path
        self._which = which
        self._device = device
        self._past = PastRun(path) if path.is_dir() and PastRun(path).is_one else None
        super().__init__(self.agent.env if self._past is None else self._past.env)

    def __repr__(self) -> str:
        what = "an agent" if self._past is None else f"a {self._past.stage} run"
        return f"<{what}: {self.path}>"

    @cached_property
    def agent(self) -> Agent | TokenAgent:
        """The agent that it made, callable on observations; none at all is a ValueError."""
        return load_player(find_agent(str(self.path)), self._which, self._device)

    @property
    def config(self) -> DictConfig:
        """Every key with its value, for reading; an agent alone has none, which is a ValueError."""
        if self._past is None:
            raise ValueError(f"{self.path} is an agent alone: the config lies in its run's folder")
        config = read_yaml(self.path / "config.yaml")
        OmegaConf.set_readonly(config, True)
        return config

    @property
    def metrics(self) -> dict[str, dict[str, np.ndarray]]:
        """Its CSV files by name, those of its parts as "vae/val_metrics": column -> values.

        pandas.DataFrame takes each.
        """
        files = sorted(self.path.glob("*.csv"))
        tables = {path.stem: read_columns(path) for path in files}
        for folder, part in self.parts.items():
            tables |= {f"{folder}/{name}": table for name, table in part.metrics.items()}
        return tables

    @property
    def parts(self) -> dict[str, "OpenedRun"]:
        """The runs of a chain by their folders, as far as they are begun."""
        folders = [] if self._past is None else [part.folder for part in self._past.parts]
        begun = [name for name in folders if (self.path / name / "manifest.json").is_file()]
        return {name: OpenedRun(self.path / name, self._which, self._device) for name in begun}

    @cached_property
    def world(self) -> World[Any]:
        """Its trained model, which goes on by itself: `open_world` without dials."""
        return self.open_world()

    def open_world(
        self, starts: str | Starts = Starts.anywhere, **dials: Unpack[WorldDials]
    ) -> World[Any]:
        """The world in which its agent has learned, or that it trained itself.

        M shows what the agent's controller sees. Of an agent alone the world is its M, and begins
        where episodes of the environment begin. A run that has no world is a ValueError.
        """
        if self._past is not None:
            model = self._model
            inputs = None if model is None else model.controller_inputs
            return open_world(self._dreaming, self._device, inputs, starts_of(starts), **dials)
        agent = self._with_vision("dream")
        first = first_states(agent.world)
        return LatentWorld(agent.world, first, has_reward=agent.has_reward, **cast(Dials, dials))

    def dream(self, num_envs: Any = 1, *more: Any, **options: Any) -> Any:
        """Episodes side by side in its world, as Gymnasium's vector environment.

        `options` are those of `WorldModels/Dream-v0`: reward, end, max_steps, starts, the dials of
        the world, autoreset_mode. Given frames, actions and a horizon instead, see `Agent.dream`.
        """
        if np.ndim(num_envs):
            return self._with_vision("dream").dream(num_envs, *more, **options)
        return self._dreams(num_envs, *more, **options)

    def _dreams(
        self,
        num_envs: int,
        *,
        reward: str | Reward | RewardFunction = Reward.head,
        end: float | None = 0.5,
        max_steps: int = 200,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **options: Any,
    ) -> Autoreset:
        dream = Dream(self.open_world(**options), Rules(reward_of(reward), end, max_steps))
        if self._past is not None:
            warn_of_missing_heads(dream, self._dreaming)
        return Autoreset(DreamEnv(dream, num_envs), autoreset_mode)

    def real(
        self,
        num_envs: int = 1,
        *,
        threads: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> Autoreset:
        """The environment itself, side by side, behind the observations that `dream` has."""
        if self._agent_file is None and self._past is not None:
            envs = open_real(self.path, num_envs, self._device, threads)
        else:
            frames = make_vector_env(self.env, Backend.auto, num_envs, threads)
            model = self._model
            senses = Features(model, num_envs) if model else Pictures(View(None, False))
            envs = RealEnv(frames, senses)
        return Autoreset(envs, autoreset_mode)

    def policy(self, noise: float = 0.0, bursts: float = 0.0) -> Policy:
        """Its agent as a policy for `interact`."""
        return self.agent.policy(noise, bursts)

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """What its agent keeps of frames (n, size, size, channels) uint8."""
        return self.agent.reconstruct(frames)

    def save(self, path: str | Path, **options: Any) -> None:
        """Write its agent to a file."""
        self.agent.save(path, **options)

    def _with_vision(self, name: str) -> Agent:
        """The agent of V and M; another is a ValueError."""
        if not isinstance(self.agent, Agent):
            raise ValueError(f"{self.path}: an agent that reads tokens has no {name} of frames")
        return self.agent

    @property
    def _agent_file(self) -> Path | None:
        return agent_in(self.path) if self._past is not None else self.path

    @property
    def _model(self) -> WorldModel | None:
        """V and M of its agent, where it has such an agent."""
        agent = None if self._agent_file is None else self.agent
        return agent.world if isinstance(agent, Agent) else None

    @property
    def _dreaming(self) -> Path:
        """The run whose model dreams: that on which its agent was built, or itself."""
        file = self._agent_file
        return dreaming_run(self.path if file is None else file.parent).path


def open_run(name: str, which: str = "best", device: str = "cpu") -> OpenedRun:
    """A run by its folder, an agent by its file or by the name under which it is packaged.

    What is neither, and an agent that cannot be read, is a ValueError.
    """
    path = Path(name)
    if path.is_dir() and PastRun(path).is_one:
        return OpenedRun(path, which, device)
    return OpenedRun(find_agent(name), which, device)
