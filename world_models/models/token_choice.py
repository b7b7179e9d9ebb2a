"""How the tokens of a frame are drawn from what a model says of each."""

from enum import StrEnum

import torch
from torch import Tensor

from world_models.models.draws import Draws


class Drawing(StrEnum):
    """How the tokens of a frame are drawn."""

    independent = "independent"  # each by itself
    counted = "counted"  # each comes as often as is expected: nothing is doubled or lost


LEAST_LEFT = 0.01
"""Where all tokens that a frame still has to give are less likely than this, any may come."""


def draw_tokens(logits: Tensor, draws: Draws, temperature: float = 1.0) -> Tensor:
    """logits (B, ..., V) -> one token of each distribution, int64 (B, ...), drawn independently.

    A temperature of 0 takes the likeliest.
    """
    if temperature == 0:
        return logits.argmax(-1)
    return _inverse(_chances(logits, temperature), _uniform(logits, draws))


def draw_counted(logits: Tensor, draws: Draws, temperature: float = 1.0) -> Tensor:
    """logits (B, K, V) -> the tokens of a frame, int64 (B, K), as many of each as are expected.

    Drawn independently, a thing that is about to move to one of two places is soon at both or at
    neither. Here it is first drawn how often each token comes: its expected number, rounded up or
    down so that the mean is right. Then places take their tokens, the surest place first, each in
    proportion to its own chances and to what is left of what later places expect. Costs no call of
    the model.
    """
    if temperature == 0:
        return logits.argmax(-1)
    chances = _chances(logits, temperature)
    left = _rounded(chances.sum(1), _uniform(logits[:, :1], draws)[:, 0])
    order = chances.amax(-1).argsort(dim=1, descending=True, stable=True)
    chances = chances.gather(1, order[..., None].expand_as(chances))
    expected = chances.flip(1).cumsum(1).flip(1)
    shares = _uniform(logits, draws)
    tokens = torch.empty_like(order)
    for place in range(order.shape[1]):
        own = chances[:, place]
        weighed = own * left / expected[:, place].clamp(min=torch.finfo(own.dtype).tiny)
        possible = (own * (left > 0)).sum(-1, keepdim=True) >= LEAST_LEFT
        token = _inverse(torch.where(possible, weighed, own), shares[:, place])
        left = left.scatter_add(1, token[:, None], left.new_full((len(left), 1), -1)).clamp(min=0)
        tokens[:, place] = token
    return tokens.scatter(1, order, tokens.clone())


DRAWINGS = {Drawing.independent: draw_tokens, Drawing.counted: draw_counted}
"""Ways to draw the tokens of a frame."""


def _chances(logits: Tensor, temperature: float) -> Tensor:
    wide = torch.promote_types(logits.dtype, torch.float32)
    return (logits.to(wide) / temperature).softmax(-1)


def _uniform(like: Tensor, draws: Draws) -> Tensor:
    """A number in (0, 1) for each distribution (B, ..., V) -> (B, ..., 1)."""
    # an exponential number's own probability to be exceeded is uniform
    return (-draws.exponential(like[..., :1].float())).exp()


def _inverse(weights: Tensor, shares: Tensor) -> Tensor:
    """The tokens at these shares (..., 1) of the weights (..., V) summed up: one number each."""
    reached = weights.cumsum(-1)
    return torch.searchsorted(reached, (shares.to(reached.dtype) * reached[..., -1:]))[..., 0]


def _rounded(expected: Tensor, share: Tensor) -> Tensor:
    """expected (B, V), whole in sum, rounded to whole numbers of the same sum and mean.

    By systematic sampling (Madow 1949), from one number (B, 1) in (0, 1).
    """
    reached = expected.cumsum(-1)
    reached = torch.cat([reached[:, :-1], reached[:, -1:].round()], dim=-1)
    return torch.diff((reached + share).floor(), dim=-1, prepend=torch.zeros_like(share))
