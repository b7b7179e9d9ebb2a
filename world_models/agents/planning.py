"""Planning: at each step sequences of actions are tried in the dream, and the best is begun."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from world_models.agents.control import ControllerPolicy
from world_models.agents.perception import Perception
from world_models.agents.sequences import Guess, PlanConfig, SequenceSearch
from world_models.models.draws import RowDraws
from world_models.pools.pool import heartbeat
from world_models.runs import seeding
from world_models.worlds.inference import Batch, batches
from world_models.worlds.latent import LatentWorld, WorldModel
from world_models.worlds.world import Advance, World, select

LARGEST_LOGIT = 80.0
"""Ends are as good as certain from here on."""


class Sight(Protocol):
    """What keeps the state of a world in step with N real episodes, one a row."""

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""

    def see(self, observations: np.ndarray, rows: np.ndarray) -> Any:
        """Take in what the rows (n,) show, (n, ...)."""

    def states(self, rows: np.ndarray) -> Any:
        """Where the rows (n,) stand: the state from which the world goes on."""

    def remember(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """Take in the actions (n, ...) that the rows (n,), the last that did `see`, do there."""


class PlanningPolicy:
    """Plays by planning in a world at every step (model-predictive control).

    What a row does depends on its own seed and observations, bit for bit: on a CPU each row plans
    alone, as a wider batch would hardly be faster; on a GPU all batches are equally wide.
    """

    def __init__(
        self,
        world: World[Any],
        sight: Sight,
        cfg: PlanConfig,
        guide: ControllerPolicy | None = None,
    ) -> None:
        """`guide` proposes: it plays what `world.observe` shows, and the search begins there.

        A world that predicts no reward is a ValueError at the first step.
        """
        assert cfg.method is not None, cfg
        self.world, self.sight, self.cfg = world, sight, cfg
        self.guide = guide
        self.space = world.env.action_space

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self.sight.reset(seeds)
        if self.guide is not None:
            self.guide.reset(seeds)
        self.searches = [
            SequenceSearch(self.cfg, self.space, seeding.generator(seed, "plan")) for seed in seeds
        ]
        self.seeds, self.steps = np.array(seeds, np.int64), np.zeros(len(seeds), np.int64)

    @torch.inference_mode()
    def act(self, observations: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Environment actions (n, ...) for what the rows (n,) show."""
        self.sight.see(observations, rows)
        states = self.sight.states(rows)
        actions = np.concatenate(
            [self._plan(states, batch) for batch in groups(rows, states[0].device)]
        )
        self.steps[rows] += 1
        self.sight.remember(actions, rows)
        return actions

    def _plan(self, states: Any, batch: Batch) -> np.ndarray:
        """Environment actions (n, ...) of the rows of one batch."""
        searches = [self.searches[row] for row in batch.rows]
        state = select(states, torch.from_numpy(batch.fill(np.arange(len(states[0])))))
        proposals = self._proposals(state, batch)
        for search, proposal in zip(searches, proposals, strict=True):
            search.begin(proposal)
        for _ in range(self.cfg.rounds):
            asked = [search.ask() for search in searches]
            foretold = self._foretell(state, np.stack(asked), batch)
            for search, candidates, found in zip(searches, asked, foretold, strict=True):
                search.tell(candidates, worth(*found, self.cfg.discount))
            heartbeat()
        return np.stack([search.choose() for search in searches])

    def _proposals(self, state: Any, batch: Batch) -> Sequence[np.ndarray | None]:
        """What the guide does in the dream, raw (n, H, A); None for each row without a guide."""
        if self.guide is None:
            return [None] * len(batch.rows)
        proposed = []
        for step in range(self.cfg.horizon):
            actions = self.guide.act(self.world.observe(state), batch.filled)
            proposed.append(self.space.to_raw(actions))
            state = self._advance(state, self.space.to_model(actions), batch.filled, step).state
        return np.stack(proposed, axis=1)[: len(batch.rows)]

    def _foretell(
        self, state: Any, candidates: np.ndarray, batch: Batch
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each row the rewards and logits of the end (P, H) of its candidates (n, P, H, A)."""
        rows, asked = len(batch.rows), candidates.shape[1]
        filled = candidates[np.arange(batch.width) % rows].reshape(-1, *candidates.shape[2:])
        actions = self.space.to_model(self.space.from_raw(filled))
        lines = np.repeat(batch.filled, asked)
        state = select(state, torch.arange(batch.width).repeat_interleave(asked))
        rewards, ends = [], []
        for step in range(self.cfg.horizon):
            after = self._advance(state, actions[:, step], lines, step)
            state = after.state
            rewards.append(reward_of(after))
            ends.append(rewards[-1] - torch.inf if after.done is None else after.done)
        found = (torch.stack(heads, 1).unflatten(0, (-1, asked)) for heads in (rewards, ends))
        return list(zip(*(values[:rows].cpu().numpy() for values in found), strict=True))

    def _advance(self, state: Any, actions: np.ndarray, rows: np.ndarray, step: int) -> Advance:
        """One step of the world; what a world draws is the same for all candidates of a row."""
        device = state[0].device
        steps = self.steps[rows] * self.cfg.horizon + step
        draws = RowDraws(*(torch.from_numpy(of).to(device) for of in (self.seeds[rows], steps)))
        return self.world.advance(state, torch.from_numpy(actions).to(device), draws)


def reward_of(after: Advance[Any]) -> torch.Tensor:
    """The predicted reward (B,); a world that predicts none is a ValueError."""
    if after.reward is None:
        raise ValueError(
            "this world predicts no rewards, so no plan is worth more than another: train it on "
            "them"
        )
    return after.reward


def worth(rewards: np.ndarray, ends: np.ndarray, discount: float = 1.0) -> np.ndarray:
    """What sequences are worth (P,), of rewards and logits of the end (P, H).

    A reward counts with the probability that the episode has lasted until then. A threshold would
    not tell a likely end from an unlikely one until it is too late.
    """
    lasting = 1 / (1 + np.exp(ends.clip(max=LARGEST_LOGIT), dtype=np.float64))
    before = np.concatenate([np.ones_like(lasting[:, :1]), lasting[:, :-1].cumprod(1)], 1)
    return (rewards * before * discount ** np.arange(rewards.shape[1])).sum(1)


def groups(rows: np.ndarray, device: torch.device) -> list[Batch]:
    """The rows (n,) as they plan together."""
    if device.type == "cuda":
        return batches(rows, device)
    return [
        Batch(slice(place, place + 1), rows[place : place + 1], 1) for place in range(len(rows))
    ]


def planner(model: WorldModel, cfg: PlanConfig, vectors: np.ndarray) -> PlanningPolicy:
    """Plans in V and M, around the controllers `vectors` (see `ControllerPolicy`) if `cfg` says."""
    nowhere = model.memory.begin(torch.zeros(0, model.mdrnn.latents, device=model.device))
    world = LatentWorld(model, nowhere, temperature=0.0, mean=cfg.guess is Guess.mean)
    guide = None
    if cfg.from_controller:
        guide = ControllerPolicy(
            model.controller_inputs, model.env.action_space, vectors, device=model.device
        )
    return PlanningPolicy(world, Perception(model, with_memory=True), cfg, guide)
