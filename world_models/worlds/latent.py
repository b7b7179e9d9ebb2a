"""V and M: what C sees of them, and M as a world that goes on by itself."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from world_models.data.datasets import to_float
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import Window
from world_models.envs.spec import EnvSpec
from world_models.models.controller import (
    ControllerInputs,
    Features,
    controller_features,
    num_features,
)
from world_models.models.convvae import VAES, ConvVAE
from world_models.models.draws import Draws, StreamDraws
from world_models.models.mdrnn import MDRNN, MDRNNCell, mixture_mean, sample_latent
from world_models.runs import seeding
from world_models.runs.checkpoint import Trained, load_checkpoint
from world_models.runs.numbers import require_below_one, require_finite, require_not_negative
from world_models.runs.weights import model_of
from world_models.worlds.memory import DroppedState, LatentState, Memory
from world_models.worlds.starts import Starts, held_out_windows
from world_models.worlds.world import Advance, select

MOST_ENCODED_STARTS = 512
"""Most stored frames at which a dream of M may begin."""
START_CONTEXT = 8
"""Frames that M has seen, the one at which a dream begins included."""

Dreamt = LatentState | DroppedState
"""What a row of M's dream is, with dropout or without."""


@dataclass
class WorldModel:
    """V and M, ready to act, and how C sees them: what every controller of a run shares."""

    vae: ConvVAE
    mdrnn: MDRNN
    env: EnvSpec
    controller_inputs: ControllerInputs = field(default_factory=ControllerInputs)
    # whether M was trained on rewards; None: its checkpoint is of before, and does not say
    rewards: bool | None = None

    def __post_init__(self) -> None:
        self.vae.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.cell = MDRNNCell.from_mdrnn(self.mdrnn.eval()).eval()
        self.memory = Memory(self.cell)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.vae.parameters()).device

    @property
    def controller_config(self) -> dict[str, Any]:
        """Constructor arguments of the controllers that fit this model."""
        sizes = self.mdrnn.config
        return {
            "latent_size": sizes["latents"],
            "hidden_size": sizes["hiddens"],
            "action_size": sizes["actions"],
            "features": self.controller_inputs.features.value,
            "hidden_units": self.controller_inputs.hidden_units,
        }

    @property
    def num_features(self) -> int:
        """How many numbers C sees."""
        sizes = self.mdrnn.config
        return num_features(
            sizes["latents"], sizes["hiddens"], self.controller_inputs.features.value
        )

    def encode(self, frames: np.ndarray) -> torch.Tensor:
        """Mean latents (n, L) of frames (n, H, W, C) uint8."""
        return self.posterior(frames)[0]

    @torch.inference_mode()
    def posterior(self, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log standard deviation (n, L) of the latents of frames (n, H, W, C) uint8."""
        mu, logsigma = self.vae.encoder(
            to_float(torch.from_numpy(np.require(frames, requirements="W")), self.device)
        )
        return mu, logsigma

    def features(self, latents: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """What C sees (n, F) of latents (n, L) and M's state h and c (n, H)."""
        state = {Features.z: (), Features.zh: (h,), Features.zch: (c, h)}[
            self.controller_inputs.features
        ]
        return controller_features(latents, *state)

    @torch.inference_mode()
    def pictures(self, latents: torch.Tensor) -> torch.Tensor:
        """Frames (n, H, W, C) uint8, on the device, of latents (n, L)."""
        pixels = self.vae.decoder(latents).permute(0, 2, 3, 1)
        return (pixels * 255).round().to(torch.uint8)

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames (n, H, W, C) uint8 of latents (n, L)."""
        return self.pictures(latents).cpu().numpy()

    @torch.inference_mode()
    def dream(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        horizon: int,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """Go on from real frames in M alone: open loop, with the recorded actions.

        frames (n, H, W, C) uint8 and actions (n + horizon, ...): M first sees the n frames, then
        its own samples. Returns the `horizon` decoded frames (horizon, H, W, C) uint8 that follow
        the last real one.
        """
        executed = torch.from_numpy(self.env.action_space.to_model(np.array(actions)))
        executed = executed.to(self.device)
        latents = self.encode(frames)
        draws = StreamDraws(seeding.torch_generator(seed, "dream", device=self.device))
        start = self.memory.begin(latents[:1])
        world = LatentWorld(self, start, temperature)
        state: Dreamt = start
        dreamt = []
        for step in range(len(frames) + horizon - 1):
            if step < len(frames):
                state = state._replace(z=latents[step : step + 1])
            state = world.advance(state, executed[step : step + 1], draws).state
            dreamt.append(state.z)
        return self.decode(torch.cat(dreamt[-horizon:]))


@dataclass(frozen=True)
class LatentWorld:
    """M going on by itself: each row reads its own guess of the next latent.

    A guess is a sample at `temperature` (0: the mean of the most probable component). With `mean`
    it is the mean of the whole mixture, which needs no draws. `start_noise` is the standard
    deviation of what is added to each episode's first z. With `dropout` M reads only part of z and
    h, another part in each episode, each number missing with this probability.
    """

    model: WorldModel
    starts: LatentState
    temperature: float = 1.0
    mean: bool = False
    # whether M was trained on rewards; its end is always predicted
    has_reward: bool = True
    start_noise: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require_finite("dream.", self, "temperature", "start_noise", "dropout")
        require_not_negative("dream", self, "temperature", "start_noise")
        require_below_one("dream", self, "dropout")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def env(self) -> EnvSpec:
        """The environment that V and M were trained on."""
        return self.model.env

    @property
    def num_starts(self) -> int:
        """How many encoded frames there are to begin at."""
        return len(self.starts.z)

    def begin(self, starts: np.ndarray, draws: Draws | None = None) -> Dreamt:
        """The states of the starts of these numbers (B,); only noise and dropout need draws."""
        state = select(self.starts, torch.from_numpy(starts).to(self.device))
        if self.start_noise > 0:
            assert draws is not None, self.start_noise
            state = state._replace(z=state.z + self.start_noise * draws.normal(state.z))
        if self.dropout > 0:
            assert draws is not None, self.dropout
            return DroppedState(*state, *self.model.cell.masks(self.dropout, len(starts), draws))
        return state

    def advance(
        self, state: Dreamt, actions: torch.Tensor, draws: Draws | None = None
    ) -> Advance[Dreamt]:
        """One step of all rows: M reads z and the actions (B, A), its guess is the next z."""
        h, c = self.model.memory.read(state, actions)
        mus, sigmas, logpi, reward, done = self.model.memory.foresee(h)
        if self.mean:
            z = mixture_mean(mus, logpi)
        else:
            z = sample_latent(mus, sigmas, logpi, draws, self.temperature)
        after = state._replace(z=z, h=h, c=c)
        return Advance(after, reward if self.has_reward else None, done)

    def observe(self, state: Dreamt) -> torch.Tensor:
        """What C sees (B, F)."""
        return self.model.features(state.z, state.h, state.c)

    def picture(self, state: Dreamt) -> torch.Tensor:
        """What V draws of z: uint8 (B, H, W, 3)."""
        frames = self.model.pictures(state.z)
        return frames.expand(*frames.shape[:3], 3)


@torch.inference_mode()
def encoded_starts(
    model: WorldModel,
    store: EpisodeStore,
    context: int = START_CONTEXT,
    count: int = MOST_ENCODED_STARTS,
    starts: Starts = Starts.anywhere,
) -> LatentState:
    """States at up to `count` held-out frames: V's mean, after M has read the frames before.

    M reads `context` - 1 frames and actions before each start, from a zero state. With a context
    of 1, and at the first frames of episodes, it reads none.
    """
    context = 1 if starts is Starts.episode else context
    windows = held_out_windows(store, context, model.env.action_space, View(), count, starts)
    parts = [_after_context(model, window) for window in windows]
    return LatentState(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _after_context(model: WorldModel, window: Window) -> LatentState:
    """The states (B, ...) at the last context frame of windows."""
    frames = window.context.to(model.device)
    mu, _ = model.vae.encoder(frames.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    *before, last = mu.unflatten(0, frames.shape[:2]).unbind(1)
    state = model.memory.begin(last)
    for step, latent in enumerate(before):
        hidden = model.memory.read(
            state._replace(z=latent), window.actions[:, step].to(model.device)
        )
        state = LatentState(last, *hidden)
    return state


class TrainedMemory(Trained):
    """best.pt of stage=mdrnn."""

    # whether M was trained on rewards; None: the checkpoint is of before, and does not say
    rewards: bool | None = None


def load_world_model(
    vae: Path,
    mdrnn: Path,
    env: EnvSpec,
    inputs: ControllerInputs | None = None,
    device: str = "cpu",
) -> WorldModel:
    """V and M from the checkpoints of their stages."""
    v = vae_of(load_checkpoint(vae, "vae", device, Trained), vae, device)
    state = load_checkpoint(mdrnn, "mdrnn", device, TrainedMemory)
    m = mdrnn_of(state, mdrnn, device)
    inputs = inputs or ControllerInputs()
    return world_of(v, m, env, inputs, f"{vae} and {mdrnn}", state.get("rewards"))


def load_vae(path: Path, device: str = "cpu") -> ConvVAE:
    """V from the checkpoint of its stage, as it is used: not trained further."""
    return vae_of(load_checkpoint(path, "vae", device, Trained), path, device)


def vae_of(state: dict[str, Any], place: str | Path, device: str, half: bool = False) -> ConvVAE:
    """V from its config and weights in the checkpoint at `place`."""
    vae = model_of(vae_kind(state, place), state, place, half)
    return vae.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def vae_kind(state: dict[str, Any], place: str | Path) -> type[ConvVAE]:
    """The kind of the V in a checkpoint; one that is not known here is a ValueError."""
    name = state.get("architecture", "conv")
    if name not in VAES:
        raise ValueError(
            f"{place} holds a V of the kind {name!r:.40}, and known are {', '.join(VAES)}: "
            "import the module that adds it"
        )
    return VAES[name]


def mdrnn_of(state: dict[str, Any], place: str | Path, device: str, half: bool = False) -> MDRNN:
    """M from its config and weights in the checkpoint at `place`."""
    return model_of(MDRNN, state, place, half).to(device)


def world_of(
    vae: ConvVAE,
    mdrnn: MDRNN,
    env: EnvSpec,
    inputs: ControllerInputs,
    place: str,
    rewards: bool | None = None,
) -> WorldModel:
    """V and M of one environment, from `place`; sizes that do not agree are a ValueError."""
    sizes = {
        "channels of V's pictures": (
            vae.config["img_channels"],
            env.preprocessing.channels,
        ),
        "latents of V and M": (vae.config["latent_size"], mdrnn.latents),
        "actions of M": (mdrnn.actions, env.action_space.size),
    }
    for what, (found, needed) in sizes.items():
        if found != needed:
            raise ValueError(f"{place} do not fit together: {what} are {found} and {needed}")
    return WorldModel(vae, mdrnn, env, inputs, rewards)
