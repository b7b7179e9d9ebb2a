"""How an agent plays that reads tokens: frame, tokens, codes, actor-critic, action."""

from collections.abc import Sequence

import numpy as np
import torch

from world_models.agents.bursts import Bursts
from world_models.agents.control import with_uniform
from world_models.data.datasets import to_float
from world_models.envs.actions import ActionSpace
from world_models.models.actor_critic import ActorCritic, ActorState, Opinion, draw_actions
from world_models.models.draws import RowDraws
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs import seeding
from world_models.worlds.inference import Batch, batches
from world_models.worlds.world import select


class TokenSight:
    """Tokenizer and actor-critic at work on N episodes, one a row: `see`, act, `remember`.

    `state` holds what each row remembers, (N, H) each. What a row sees depends on its own frames
    and actions, bit for bit, whatever rows are beside it.
    """

    state: ActorState

    def __init__(self, tokenizer: Tokenizer, model: ActorCritic, space: ActionSpace) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self.space = space
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed, nothing seen yet."""
        self.state = ActorState(*(part.clone() for part in self.model.begin(len(seeds))))

    @torch.inference_mode()
    def see(self, frames: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """The actor's logits (n, A) of the newest frames (n, H, W, C) uint8 of the rows (n,)."""
        return torch.cat([self._see(frames, batch) for batch in batches(rows, self.device)])

    def _see(self, frames: np.ndarray, batch: Batch) -> torch.Tensor:
        opinion = self.opinion(batch.fill(frames), self._of(batch))
        self._keep(opinion.state, batch)
        return opinion.logits[: len(batch.rows)]

    def opinion(self, frames: np.ndarray, state: ActorState) -> Opinion:
        """What is thought of frames (B, H, W, C) uint8."""
        tokens = self.tokenizer.encode(to_float(torch.from_numpy(frames), self.device))
        return self.model.see(self.tokenizer.codes(tokens), state)

    @torch.inference_mode()
    def remember(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """Take in the actions (n, ...) that were done on what the rows (n,) saw last."""
        for batch in batches(rows, self.device):
            done = torch.from_numpy(self.space.to_model(batch.fill(actions))).to(self.device)
            self._keep(self.model.remember(done, self._of(batch)), batch)

    def _of(self, batch: Batch) -> ActorState:
        return select(self.state, torch.from_numpy(batch.filled).to(self.device))

    def _keep(self, state: ActorState, batch: Batch) -> None:
        rows = torch.from_numpy(batch.rows).to(self.device)
        for part, new in zip(self.state, state, strict=True):
            part[rows] = new[: len(rows)]


class TokenPolicy:
    """Draws actions from what the actor says; what was done is remembered as it was done.

    What a row does depends on its own seed and frames, bit for bit.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        model: ActorCritic,
        space: ActionSpace,
        temperature: float = 1.0,
        noise: float = 0.0,
        bursts: Bursts | None = None,
    ) -> None:
        """Each episode has a share of uniform actions of its own, between 0 and `noise`.

        `temperature` 0: always the likeliest action. `bursts`: those that disturb it.
        """
        self.sight = TokenSight(tokenizer, model, space)
        self.space = space
        self.temperature = temperature
        self.noise = noise
        self.bursts = bursts

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self.sight.reset(seeds)
        self.generators = [seeding.generator(seed, "policy") for seed in seeds]
        self.levels = [self.noise * generator.random() for generator in self.generators]
        drawn = [seeding.derive(seed, "actor") % (1 << 63) for seed in seeds]
        self.seeds = torch.tensor(drawn, dtype=torch.int64, device=self.sight.device)
        self.steps = torch.zeros_like(self.seeds)
        if self.bursts is not None:
            self.bursts.reset(seeds)

    def act(self, frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Environment actions (n,) for frames (n, H, W, C) uint8 of the rows (n,)."""
        actions = self.choose(self.sight.see(frames, rows), rows)
        self.sight.remember(actions, rows)
        return actions

    def choose(self, logits: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """Environment actions (n,) of the rows (n,) for which the actor said logits (n, A)."""
        if not bool(torch.isfinite(logits).all()):
            raise ValueError("the actor's output is NaN or infinite: its weights are broken")
        places = torch.from_numpy(rows).to(self.seeds.device)
        draws = RowDraws(self.seeds[places], self.steps[places])
        numbers = draw_actions(logits, self.temperature, draws)
        self.steps[places] += 1
        actions = self.space.start + numbers.cpu().numpy()
        if self.noise:
            actions = with_uniform(actions, rows, self.space, self.generators, self.levels)
        return actions if self.bursts is None else self.bursts.disturb(actions, rows)
