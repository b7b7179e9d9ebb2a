"""The agent: V, M, C, preprocessing and action mapping in one file, and the policy that plays with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from world_models.data.datasets import to_float
from world_models.envs.actions import ActionSpace
from world_models.envs.make import EnvSpec
from world_models.models.controller import Features, Latent, Sight, act_many, controller_features, num_features
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN, MDRNNCell, sample_latent
from world_models.runs import seeding
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.provenance import versions

WIDTH = 4
"""Inference batches are padded to a multiple of this: smaller ones run through other float kernels."""
CUDA_WIDTH = 64
"""On a GPU, whose kernels change with the width, every batch is cut and padded to exactly this."""


@dataclass
class WorldModel:
    """V and M, ready to act, and how C sees them: what every controller of a run shares."""

    vae: ConvVAE
    mdrnn: MDRNN
    env: EnvSpec
    sight: Sight = field(default_factory=Sight)

    def __post_init__(self) -> None:
        self.vae.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.cell = MDRNNCell.from_mdrnn(self.mdrnn.eval()).eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.vae.parameters()).device

    @property
    def controller_config(self) -> dict[str, Any]:
        """Constructor arguments of the controllers that fit this model."""
        sizes, sight = self.mdrnn.config, self.sight.to_dict()
        return {
            **{"latent_size": sizes["latents"], "hidden_size": sizes["hiddens"], "action_size": sizes["actions"]},
            **{"features": sight["features"], "hidden_units": sight["hidden_units"]},
        }

    @property
    def num_features(self) -> int:
        """How many numbers C sees."""
        sizes = self.mdrnn.config
        return num_features(sizes["latents"], sizes["hiddens"], self.sight.features.value)

    def encode(self, frames: np.ndarray) -> torch.Tensor:
        """Mean latents (n, L) of frames (n, H, W, C) uint8."""
        return self.posterior(frames)[0]

    @torch.inference_mode()
    def posterior(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log standard deviation (n, L) of the latents of frames (n, H, W, C) uint8."""
        mu, logsigma = self.vae.encoder(to_float(torch.from_numpy(np.require(frames, requirements="W")), self.device))
        return mu, logsigma

    def features(self, latents: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """What C sees (n, F) of latents (n, L) and M's state h and c (n, H)."""
        state = {Features.z: (), Features.zh: (h,), Features.zch: (c, h)}[self.sight.features]
        return controller_features(latents, *state)

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames (n, H, W, C) uint8 of latents (n, L)."""
        pixels = self.vae.decoder(latents).permute(0, 2, 3, 1)
        return (pixels * 255).round().to(torch.uint8).cpu().numpy()

    @torch.inference_mode()
    def dream(
        self, frames: np.ndarray, actions: np.ndarray, horizon: int, temperature: float = 1.0, seed: int = 0
    ) -> np.ndarray:
        """Go on from real frames in M alone: open loop, with the recorded actions.

        frames (n, H, W, C) uint8 and actions (n + horizon, ...): M first sees the n frames, then its own samples.
        Returns the `horizon` decoded frames (horizon, H, W, C) uint8 that follow the last real one.
        """
        executed = torch.from_numpy(self.env.action_space.to_model(np.array(actions))).to(self.device)
        latents, hidden = self.encode(frames), self.cell.get_init_hidden(1)
        draw = seeding.torch_generator(seed, "dream", device=self.device)
        dreamt, latent = [], latents[:1]
        for step in range(len(frames) + horizon - 1):
            latent = latents[step : step + 1] if step < len(frames) else latent
            mus, sigmas, logpi, _, _, hidden = self.cell(executed[step : step + 1], latent, hidden)
            latent = sample_latent(mus, sigmas, logpi, draw, temperature)
            dreamt.append(latent)
        return self.decode(torch.cat(dreamt[-horizon:]))


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
        self.generators = [seeding.generator(seed, "policy") for seed in seeds] if self.noise else []
        self.levels = [self.noise * generator.random() for generator in self.generators]

    @torch.inference_mode()
    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Environment actions (n, ...) of the rows (n,); a controller whose output is NaN or infinite is a ValueError."""
        if self.world.device.type != "cuda":
            return self._act(frames, rows, -(-len(rows) // WIDTH) * WIDTH)
        cuts = range(CUDA_WIDTH, len(rows), CUDA_WIDTH)
        parts = zip(np.split(frames, cuts), np.split(rows, cuts), strict=True)
        return np.concatenate([self._act(*part, CUDA_WIDTH) for part in parts])

    def _act(self, frames: np.ndarray, rows: np.ndarray, width: int) -> np.ndarray:
        count, sight = len(rows), self.world.sight
        padded = np.resize(rows, width)
        frames = frames if len(padded) == count else np.resize(frames, (len(padded), *frames.shape[1:]))
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
            executed = torch.from_numpy(self._space.to_model(np.resize(actions, (len(padded), *actions.shape[1:]))))
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
            drawn = [self.levels[row] * self.generators[row].standard_normal(size, np.float32) for row in rows]
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
            raise ValueError(f"which={which} is no controller of this agent; it has {', '.join(controllers)}")
        self.world, self.controllers, self.which, self.inputs = world, controllers, which, list(inputs)
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
            raise ValueError("agent.act needs a beginning: call agent.reset(number of environments) first")
        return self._policy.act(frames, np.arange(len(frames)))

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """What V keeps of frames (n, size, size, channels) uint8."""
        return self.world.decode(self.world.encode(frames))

    def dream(
        self, frames: np.ndarray, actions: np.ndarray, horizon: int, temperature: float = 1.0, seed: int = 0
    ) -> np.ndarray:
        """See `WorldModel.dream`."""
        return self.world.dream(frames, actions, horizon, temperature, seed)

    def save(self, path: Path, half: bool = False) -> None:
        """Write agent.pt; `half`: V and M in half precision, which takes half the space."""
        content = {
            "env": self.env.to_dict(),
            "vae": {"config": self.world.vae.config, "model": _weights(self.world.vae, half)},
            "mdrnn": {"config": self.world.mdrnn.config, "model": _weights(self.world.mdrnn, half)},
            "controller": {"config": self.world.controller_config, "sight": self.world.sight.to_dict()},
            "controllers": {name: torch.from_numpy(vector) for name, vector in self.controllers.items()},
            "inputs": self.inputs,
            "versions": versions(),
        }
        save_checkpoint(path, "agent", content)


def _weights(module: torch.nn.Module, half: bool) -> dict[str, torch.Tensor]:
    return {name: value.half() if half else value for name, value in module.state_dict().items()}


def load_agent(path: str | Path, which: str = "best", device: str = "cpu") -> Agent:
    """Read agent.pt; `which` is "best" (highest selection score) or "mean" (the search's last mean vector)."""
    state = load_checkpoint(Path(path), "agent", device)
    sight = Sight.from_dict(state["controller"]["sight"]) if "sight" in state["controller"] else Sight()
    world = _world(state["vae"], state["mdrnn"], EnvSpec.from_dict(state["env"]), sight, device)
    controllers = {name: vector.cpu().numpy() for name, vector in state["controllers"].items()}
    return Agent(world, controllers, which, state["inputs"])


def load_world_model(
    vae: Path, mdrnn: Path, env: EnvSpec, sight: Sight | None = None, device: str = "cpu"
) -> WorldModel:
    """V and M from the checkpoints of their stages."""
    parts = load_checkpoint(vae, "vae", device), load_checkpoint(mdrnn, "mdrnn", device)
    return _world(*parts, env, sight or Sight(), device)


def load_vae(path: Path, device: str = "cpu") -> ConvVAE:
    """V from the checkpoint of its stage, as it is used: not trained further."""
    return _vae(load_checkpoint(path, "vae", device), device)


def _vae(state: dict[str, Any], device: str) -> ConvVAE:
    vae = ConvVAE(**state["config"])
    vae.load_state_dict(state["model"])
    return vae.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _world(vae: dict[str, Any], mdrnn: dict[str, Any], env: EnvSpec, sight: Sight, device: str) -> WorldModel:
    m = MDRNN(**mdrnn["config"])
    m.load_state_dict(mdrnn["model"])
    return WorldModel(_vae(vae, device), m.to(device), env, sight)
