"""What an actor-critic learns from: steps that were imagined, and steps that were really done."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from world_models.data.token_episodes import History, Stretch
from world_models.losses import before_ends
from world_models.models.actor_critic import ActorCritic, ActorState, draw_actions
from world_models.models.draws import Draws
from world_models.models.token_choice import DRAWINGS, Drawing
from world_models.models.token_world import TokenState, TokenWorldModel
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.worlds.dreaming import ends as drawn_ends
from world_models.worlds.world import Advance, joined, select


class Imagination(Protocol):
    """A world of tokens."""

    # frames with which it begins
    context: int

    def after(self, tokens: Tensor, actions: Tensor) -> Any:
        """The state after frames (B, c, gh, gw) and the actions (B, c-1, A) between them."""

    def advance(self, state: Any, actions: Tensor, draws: Draws) -> Advance[Any]:
        """See `World`."""

    def tokens(self, state: Any) -> Tensor:
        """What is seen: (B, gh, gw) int64."""


class ModelImagination:
    """A token world model as it is now."""

    def __init__(
        self,
        model: TokenWorldModel,
        grid: tuple[int, int],
        context: int,
        drawing: Drawing = Drawing.independent,
    ) -> None:
        self.model, self.grid, self.context = model, grid, context
        self.draw = DRAWINGS[drawing]

    def after(self, tokens: Tensor, actions: Tensor) -> TokenState:
        """See Imagination."""
        return self.model.begin(tokens.flatten(2), actions)

    def advance(self, state: TokenState, actions: Tensor, draws: Draws) -> Advance[TokenState]:
        """See Imagination; the reward is the mean of what is foreseen."""
        state, found = self.model.step(state, actions, lambda logits: self.draw(logits, draws))
        reward = self.model.reward_code.decode(found.reward[:, 0])
        return Advance(state, reward, found.done[:, 0])

    def tokens(self, state: TokenState) -> Tensor:
        """See Imagination."""
        return state.tokens.unflatten(1, self.grid)


class Rollout(NamedTuple):
    """T steps of B rows, time first, and what the actor-critic thought of them."""

    # (T, B, A)
    logits: Tensor
    # (T, B) int64
    actions: Tensor
    # what the critic said: (T, B, bins)
    values: Tensor
    # of what was seen after each step, without gradient: (T, B)
    next_values: Tensor
    # (T, B)
    rewards: Tensor
    # (T, B) bool
    ends: Tensor
    # (T, B) bool
    cuts: Tensor
    # (T, B): 1 where a step is learned from
    mask: Tensor


@torch.no_grad()
def memory_of(model: ActorCritic, tokenizer: Tokenizer, history: History) -> ActorState:
    """What the actor-critic remembers when it comes to the last frame of a history."""
    codes = tokenizer.codes(history.tokens[:, :-1])
    return model.burn_in(codes, history.actions[:, :-1], history.valid[:, :-1])


def imagined(
    model: ActorCritic,
    tokenizer: Tokenizer,
    world: Imagination,
    history: History,
    horizon: int,
    draws: Draws,
    after_ends: bool = False,
) -> Rollout:
    """Go on from real histories (B, T) for `horizon` steps in a world alone.

    What comes after an imagined end is not learned from, unless `after_ends`.
    """
    memory = memory_of(model, tokenizer, history)
    state = begun(world, history)
    steps: list[tuple[Tensor, ...]] = []
    for _ in range(horizon):
        opinion = model.see(tokenizer.codes(world.tokens(state)), memory)
        chosen = draw_actions(opinion.logits.detach(), 1.0, draws)
        done = functional.one_hot(chosen, opinion.logits.shape[1]).float()
        memory = model.remember(done, opinion.state)
        with torch.no_grad():
            after = world.advance(state, done, draws)
            assert after.reward is not None and after.done is not None, after
            ended = drawn_ends(after.done, None, draws)
        state = after.state
        steps.append((opinion.logits, chosen, opinion.value, after.reward.float(), ended))
    logits, actions, values, rewards, ends = (
        torch.stack(parts) for parts in zip(*steps, strict=True)
    )
    newest = tokenizer.codes(world.tokens(state))
    return Rollout(
        logits=logits,
        actions=actions,
        values=values,
        next_values=_next_values(model, values, newest, memory),
        rewards=rewards,
        ends=ends,
        cuts=torch.zeros_like(ends),
        mask=torch.ones_like(values[..., 0]) if after_ends else before_ends(ends),
    )


@torch.no_grad()
def begun(world: Imagination, history: History) -> Any:
    """The world's state at the last frame of each history, of which it reads its context.

    Of an episode that is younger it reads all there is, as it has learned to.
    """
    known = history.valid.sum(1).clamp(max=world.context)
    states, order = [], []
    for frames in known.unique().tolist():
        rows = torch.nonzero(known == frames)[:, 0]
        tokens, actions = history.tokens[rows, -frames:], history.actions[rows, -frames:-1]
        states.append(world.after(tokens, actions))
        order.append(rows)
    return select(joined(states), torch.cat(order).argsort())


@torch.no_grad()
def _next_values(model: ActorCritic, values: Tensor, codes: Tensor, memory: ActorState) -> Tensor:
    """The returns (T, B) that the critic expects after each step, from what it says at the next.

    It said `values` (T, B, bins) at the steps; codes (B, D, gh, gw) were seen after the last one.
    """
    last = model.see(codes, memory).value
    return model.value_of(torch.cat([values[1:], last[None]]))


def real(model: ActorCritic, tokenizer: Tokenizer, history: History, stretch: Stretch) -> Rollout:
    """What was really done, in the frames (B, T) that follow histories.

    The last frame of a history is the first of its stretch.
    """
    memory = memory_of(model, tokenizer, history)
    codes = tokenizer.codes(stretch.tokens)
    logits, values = [], []
    for t in range(stretch.actions.shape[1]):
        opinion = model.see(codes[:, t], memory)
        memory = model.remember(stretch.actions[:, t], opinion.state)
        logits.append(opinion.logits)
        values.append(opinion.value)
    said = torch.stack(values)
    return Rollout(
        logits=torch.stack(logits),
        actions=stretch.actions.argmax(-1).T,
        values=said,
        next_values=_next_values(model, said, codes[:, -1], memory),
        rewards=stretch.rewards.T,
        ends=stretch.ends.T,
        cuts=stretch.cuts.T,
        mask=stretch.valid.T.float(),
    )
