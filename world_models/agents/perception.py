"""What an agent sees and remembers: V's latent of the newest frame and M's state, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from world_models.models.controller import Features, Latent
from world_models.models.mdrnn import mixture_mean
from world_models.runs import seeding
from world_models.worlds.inference import Batch, batches
from world_models.worlds.latent import WorldModel
from world_models.worlds.memory import LatentState
from world_models.worlds.world import select


@dataclass(frozen=True)
class _Seen:
    """Rows that saw something together, and the state of theirs that M has not yet read on."""

    batch: Batch
    # (n,)
    rows: torch.Tensor
    # (width, ...)
    state: LatentState


class Perception:
    """V and M at work on N episodes, one a row: `see` a frame, act, `remember` the action.

    `state` holds z, h and c of every row, (N, L) and (N, H) each. What a row sees depends on its
    own seed, frames and actions, bit for bit, whatever rows are beside it.
    """

    state: LatentState

    def __init__(self, world: WorldModel, with_memory: bool | None = None) -> None:
        """`with_memory` says whether M runs; None: where C sees of it."""
        read = world.controller_inputs.features is not Features.z
        self.world = world
        self.with_memory = read if with_memory is None else with_memory

    @torch.inference_mode()
    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed, nothing seen or remembered yet."""
        sampled = self.world.controller_inputs.latent is Latent.sample
        self.draws = [seeding.generator(seed, "latent") for seed in seeds] if sampled else []
        h, c = self.world.cell.get_init_hidden(len(seeds))
        self.state = LatentState(h.new_zeros(len(seeds), self.world.mdrnn.latents), h, c)
        self._seen: list[_Seen] = []

    @torch.inference_mode()
    def see(self, frames: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """What C sees (n, F) of the newest frames (n, H, W, C) uint8 of the rows (n,)."""
        self._seen = [self._see(frames, batch) for batch in batches(rows, self.world.device)]
        features = [self.world.features(*seen.state)[: len(seen.rows)] for seen in self._seen]
        return features[0] if len(features) == 1 else torch.cat(features)

    def _see(self, frames: np.ndarray, batch: Batch) -> _Seen:
        latents = self._latents(batch.fill(frames), batch.rows)
        index = torch.from_numpy(batch.filled).to(latents.device)
        rows = index[: len(batch.rows)]
        self.state.z[rows] = latents[: len(rows)]
        return _Seen(batch, rows, LatentState(latents, self.state.h[index], self.state.c[index]))

    @torch.inference_mode()
    def remember(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """M reads what the rows (n,) saw, and the actions (n, ...) done there.

        The rows are the last that did `see`.
        """
        if not self.with_memory:
            return
        assert sum(len(seen.rows) for seen in self._seen) == len(rows), "of those that saw"
        for seen in self._seen:
            executed = self.world.env.action_space.to_model(seen.batch.fill(actions))
            given = torch.from_numpy(executed).to(seen.rows.device)
            h, c = self.world.memory.read(seen.state, given)
            self.state.h[seen.rows] = h[: len(seen.rows)]
            self.state.c[seen.rows] = c[: len(seen.rows)]

    def states(self, rows: np.ndarray) -> LatentState:
        """Where the rows (n,) stand: what they saw last, and M before it has read that."""
        return select(self.state, torch.from_numpy(rows).to(self.world.device))

    @torch.inference_mode()
    def expected(self, rows: np.ndarray) -> torch.Tensor:
        """The latents (n, L) that M, having remembered, expects next: its mixtures' means."""
        assert self.with_memory, "M does not run"
        h = self.state.h[torch.from_numpy(rows).to(self.world.device)]
        mus, _, logpi, *_ = self.world.memory.foresee(h)
        return mixture_mean(mus, logpi)

    def _latents(self, frames: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """What V gives for frames (width, ...), which past len(rows) repeat the first ones."""
        mu, logsigma = self.world.posterior(frames)
        if not self.draws:
            return mu
        noise = np.stack([self.draws[row].standard_normal(mu.shape[1], np.float32) for row in rows])
        drawn = torch.from_numpy(np.resize(noise, tuple(mu.shape))).to(mu.device)
        return mu + logsigma.exp() * drawn
