"""Dropout of some rows of a batch, just as they would be dropped in the whole of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class RowDropout(nn.Dropout):
    """`nn.Dropout` of x (B, ...); see `drop_rows`."""

    # which rows of how many x is
    part: tuple[slice, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x (B, ...) -> the same, with some numbers left out in training."""
        if self.part is None or not self.training:
            return super().forward(x)
        rows, total = self.part
        # in the order of memory, in which noise is drawn
        order = sorted(range(x.ndim), key=x.stride, reverse=True)
        shape = (total, *x.shape[1:])
        ones = torch.empty_permuted(shape, order, dtype=x.dtype, device=x.device).fill_(1)
        return x * functional.dropout(ones, self.p)[rows]


def drop_rows(model: nn.Module, rows: slice, total: int) -> None:
    """From now on the model's dropout reads `rows` of a batch of `total`.

    All noise of the batch is drawn, so that each row has its own whatever rows stand beside it.
    """
    for module in model.modules():
        if isinstance(module, RowDropout):
            module.part = rows, total
