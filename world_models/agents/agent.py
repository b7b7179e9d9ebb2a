"""The agent: V, M, C, preprocessing and action mapping in one file, and the policy that plays with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from world_models.envs.actions import ActionSpace
from world_models.envs.make import EnvSpec
from world_models.models.controller import Features, Latent, Sight, act_many
from world_models.runs import seeding
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.provenance import versions
from world_models.worlds.latent import CUDA_BATCH, INFERENCE_MULTIPLE, WorldModel, world_of


class WorldModelPolicy:
    """Plays row i with controller i: z from V, h and c from M, action from C, and M sees the executed action.

    Where C sees z alone, M does not run. What a row does depends on its own seed, frames and controller, bit for bit.
    """

    def __init__(self, world: WorldModel, vectors: np.ndarray, noise: float = 0.0) -> None:
        """`vectors` (N, parameters), one controller per row, or (1, parameters) for one that plays every row.

        Each episode draws its own level of exploration, uniform between 0 and `noise`, so that good driving and bad are
        both seen: the standard deviation of what is added to C's raw output (Box), or the share of uniform actions (Discrete).
        """
        self.world, self.noise = world, noise
        self.vectors = torch.from_numpy(np.asarray(vectors, np.float32)).to(world.device)

    @torch.inference_mode()
    def reset(self, seeds: Sequence[int]) -> None:
        assert len(self.vectors) in (1, len(seeds)), (self.vectors.shape, len(seeds))
        self.rows_of = self.vectors.expand(len(seeds), -1)
        self.h, self.c = self.world.cell.get_init_hidden(len(seeds))
        sampled = self.world.sight.latent is Latent.sample
        self.draws = [seeding.generator(seed, "latent") for seed in seeds] if sampled else []
        self.generators = (
            [seeding.generator(seed, "policy") for seed in seeds] if self.noise else []
        )
        self.levels = [self.noise * generator.random() for generator in self.generators]

    @torch.inference_mode()
    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Environment actions (n, ...) of the rows (n,); a controller whose output is NaN or infinite is a ValueError."""
        if self.world.device.type != "cuda":
            return self._act(frames, rows, -(-len(rows) // INFERENCE_MULTIPLE) * INFERENCE_MULTIPLE)
        cuts = range(CUDA_BATCH, len(rows), CUDA_BATCH)
        parts = zip(np.split(frames, cuts), np.split(rows, cuts), strict=True)
        return np.concatenate([self._act(*part, CUDA_BATCH) for part in parts])

    def _act(self, frames: np.ndarray, rows: np.ndarray, width: int) -> np.ndarray:
        count, sight = len(rows), self.world.sight
        padded = np.resize(rows, width)
        frames = (
            frames if len(padded) == count else np.resize(frames, (len(padded), *frames.shape[1:]))
        )
        latents = self._latents(frames, rows)
        index = torch.from_numpy(padded).to(latents.device)
        h, c = self.h[index], self.c[index]
        features = self.world.features(latents, h, c)
        raw = act_many(self.rows_of[index], features, sight.hidden_units)[:count].cpu().numpy()
        if not np.isfinite(raw).all():
            raise ValueError(
                "a controller's output is NaN or infinite: its parameters, or the weights of V or M, are broken"
            )
        actions = self._explore(self._space.from_raw, raw, rows)
        if sight.features is not Features.z:
            executed = torch.from_numpy(
                self._space.to_model(np.resize(actions, (len(padded), *actions.shape[1:])))
            )
            h, c = self.world.cell.advance(executed.to(latents.device), latents, (h, c))
            self.h[index[:count]], self.c[index[:count]] = h[:count], c[:count]
        return actions

    def _latents(self, frames: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """What V gives for frames (n, ...), the last of them, past len(rows), repeating the first."""
        mu, logsigma = self.world.posterior(frames)
        if not self.draws:
            return mu
        noise = np.stack([self.draws[row].standard_normal(mu.shape[1], np.float32) for row in rows])
        drawn = torch.from_numpy(np.resize(noise, tuple(mu.shape))).to(mu.device)
        return mu + logsigma.exp() * drawn

    @property
    def _space(self) -> ActionSpace:
        return self.world.env.action_space

    def _explore(self, from_raw: Any, raw: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if not self.noise:
            return from_raw(raw)
        if self._space.kind == "box":
            size = raw.shape[1]
            drawn = [
                self.levels[row] * self.generators[row].standard_normal(size, np.float32)
                for row in rows
            ]
            return from_raw(raw + np.stack(drawn, dtype=np.float32))
        actions = from_raw(raw)
        for i, row in enumerate(rows):
            if self.generators[row].random() < self.levels[row]:
                actions[i] = self._space.sample(self.generators[row], 1)[0]
        return actions


class Agent:
    """A trained agent for notebooks: `reset(n)`, then `act(frames)` once per step; `dream` and `reconstruct` to look inside.

    Frames are uint8 (n, size, size, channels) as `make_vector_env(agent.env, backend, n)` gives them.
    """

    def __init__(
        self,
        world: WorldModel,
        controllers: dict[str, np.ndarray],
        which: str = "best",
        inputs: Sequence[dict[str, str]] = (),
    ) -> None:
        """`controllers` by name, parameters each; `which` of them plays; `inputs` is the lineage that is saved with it."""
        if which not in controllers:
            raise ValueError(
                f"which={which} is no controller of this agent; it has {', '.join(controllers)}"
            )
        self.world, self.controllers, self.which, self.inputs = (
            world,
            controllers,
            which,
            list(inputs),
        )
        self._policy: WorldModelPolicy | None = None

    @property
    def env(self) -> EnvSpec:
        """The environment that the agent was made for, preprocessing included."""
        return self.world.env

    def policy(self, noise: float = 0.0) -> WorldModelPolicy:
        """The agent as a policy for `interact`."""
        return WorldModelPolicy(self.world, self.controllers[self.which][None], noise)

    def reset(self, num_envs: int = 1) -> None:
        """Begin `num_envs` episodes: M's memory is emptied."""
        self._policy = self.policy()
        self._policy.reset(range(num_envs))

    def act(self, frames: np.ndarray) -> np.ndarray:
        """Environment actions (n, ...) for frames (n, size, size, channels) uint8 of all n episodes."""
        if self._policy is None:
            raise ValueError(
                "agent.act needs a beginning: call agent.reset(number of environments) first"
            )
        return self._policy.act(frames, np.arange(len(frames)))

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """What V keeps of frames (n, size, size, channels) uint8."""
        return self.world.decode(self.world.encode(frames))

    def dream(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        horizon: int,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """See `WorldModel.dream`."""
        return self.world.dream(frames, actions, horizon, temperature, seed)

    def save(self, path: Path, half: bool = False) -> None:
        """Write agent.pt; `half`: V and M in half precision, which takes half the space."""
        content = {
            "env": self.env.to_dict(),
            "vae": {"config": self.world.vae.config, "model": _weights(self.world.vae, half)},
            "mdrnn": {"config": self.world.mdrnn.config, "model": _weights(self.world.mdrnn, half)},
            "controller": {
                "config": self.world.controller_config,
                "sight": self.world.sight.to_dict(),
            },
            "controllers": {
                name: torch.from_numpy(vector) for name, vector in self.controllers.items()
            },
            "inputs": self.inputs,
            "versions": versions(),
        }
        save_checkpoint(path, "agent", content)


def _weights(module: torch.nn.Module, half: bool) -> dict[str, torch.Tensor]:
    return {name: value.half() if half else value for name, value in module.state_dict().items()}


def load_agent(path: str | Path, which: str = "best", device: str = "cpu") -> Agent:
    """Read agent.pt; `which` is "best" (highest selection score) or "mean" (the search's last mean vector)."""
    state = load_checkpoint(Path(path), "agent", device)
    sight = (
        Sight.from_dict(state["controller"]["sight"]) if "sight" in state["controller"] else Sight()
    )
    world = world_of(state["vae"], state["mdrnn"], EnvSpec.from_dict(state["env"]), sight, device)
    controllers = {name: vector.cpu().numpy() for name, vector in state["controllers"].items()}
    return Agent(world, controllers, which, state["inputs"])
