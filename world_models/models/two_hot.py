"""Numbers as distributions over fixed bins: rewards and values learned by classification."""

import torch
from torch import Tensor, nn


class TwoHot(nn.Module):
    """A number shared out between its two nearest bins, and read back as a mean over all bins.

    The bins lie evenly in symlog(x) = sign(x) ln(1 + |x|), from -limit to limit (Hafner et al.
    2023, section "Robust predictions"). Shares and means are taken of the numbers themselves, not
    of their logarithms, so the distribution that minimises `loss` has the mean of the targets.
    """

    values: Tensor

    def __init__(self, bins: int = 128, limit: float = 10.0) -> None:
        """`limit` is that of symlog(x): 10 reaches to 22,025 on either side."""
        super().__init__()
        if bins < 2 or limit <= 0:
            raise ValueError(
                f"two-hot has {bins} bins and the limit {limit}; it needs 2 bins or more and a "
                "limit above 0"
            )
        self.bins = bins
        places = torch.linspace(-limit, limit, bins, dtype=torch.float64)
        # linspace is symmetric only to its rounding
        places = (places - places.flip(0)) / 2
        self.register_buffer("values", symexp(places).float(), persistent=False)

    def near_nothing(self) -> Tensor:
        """Logits (bins,) to begin with: a bin at x has a chance as 1 / (1 + |x|)^2; the mean is 0.

        Were all bins alike, what is learned first would be that most of them are empty, and what
        a head shares with others would be bent to that.
        """
        return -2 * symlog(self.values).abs()

    def encode(self, numbers: Tensor) -> Tensor:
        """numbers (...) -> shares (..., bins), which are 0 but in two neighbours and sum to 1.

        Numbers beyond the last bin are taken for that bin.
        """
        below, share = self._place(numbers)
        shares = torch.zeros(*numbers.shape, self.bins, dtype=share.dtype, device=share.device)
        shares.scatter_(-1, below[..., None], (1 - share)[..., None])
        return shares.scatter_(-1, below[..., None] + 1, share[..., None])

    def decode(self, logits: Tensor) -> Tensor:
        """logits (..., bins) -> the mean of the distribution (...).

        Bins are added in pairs of opposite sign, so a distribution without a side gives 0 exactly.
        """
        chances = logits.float().softmax(-1)
        half = (self.bins + 1) // 2
        return ((chances - chances.flip(-1)) * self.values)[..., half:].sum(-1)

    def loss(self, logits: Tensor, numbers: Tensor) -> Tensor:
        """The cross-entropy (...) in nats of logits (..., bins) to the shares of numbers (...)."""
        below, share = self._place(numbers)
        said = logits.float().log_softmax(-1)
        near, far = (said.gather(-1, place[..., None])[..., 0] for place in (below, below + 1))
        return -((1 - share) * near + share * far)

    def _place(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The bin below each number (...), and the share in [0, 1] of the bin above."""
        numbers = numbers.float().clamp(self.values[0], self.values[-1])
        above = torch.searchsorted(self.values, numbers.contiguous(), right=True)
        below = (above - 1).clamp(0, self.bins - 2)
        low, high = self.values[below], self.values[below + 1]
        return below, (numbers - low) / (high - low)


class Signs(nn.Module):
    """Rewards as three classes, by their signs; as `TwoHot`."""

    bins = 3

    def decode(self, logits: Tensor) -> Tensor:
        """logits (..., 3) -> the mean of the sign (...)."""
        below, _, above = logits.float().softmax(-1).unbind(-1)
        return above - below

    def loss(self, logits: Tensor, numbers: Tensor) -> Tensor:
        """The cross-entropy (...) in nats of logits (..., 3) to the signs of numbers (...)."""
        said = logits.float().log_softmax(-1)
        return -said.gather(-1, numbers.sign().long()[..., None] + 1)[..., 0]


def symlog(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`: sign(x) (exp|x| - 1)."""
    return x.sign() * x.abs().expm1()
