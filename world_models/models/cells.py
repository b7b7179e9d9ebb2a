"""What M remembers with: an LSTM, or a recurrent cell of yours."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

CELLS: dict[str, Callable[[int, int], nn.Module]] = {"lstm": nn.LSTMCell}
"""Cells by name: made of the numbers of inputs and hidden units, called with inputs (B, I) and the
state (h, c), each (B, H), they give the next state. What C and the heads read is h."""


class Unrolled(nn.Module):
    """A cell over whole sequences, called as torch's LSTM is."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(
        self, inputs: Tensor, hidden: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """inputs (T, B, I), hidden (h, c) each (1, B, H) -> h of each step, the last state."""
        h, c = (part.squeeze(0) for part in hidden)
        outputs = []
        for given in inputs:
            h, c = self.cell(given, (h, c))
            outputs.append(h)
        return torch.stack(outputs), (h.unsqueeze(0), c.unsqueeze(0))


def of_cell(name: str) -> str:
    """The name of a weight of `Unrolled`, or of torch's LSTM, in the cell itself."""
    return name.removesuffix("_l0").replace("rnn.cell.", "rnn.", 1)
