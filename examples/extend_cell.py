"""A memory of your own for M: python examples/extend_cell.py stage=mdrnn stage.cell=gru"""

import sys

from torch import nn

from world_models.main import main
from world_models.models.cells import CELLS


class GRU(nn.Module):
    """A gated recurrent unit (Cho et al. 2014) in the place of the LSTM; c stays as it is."""

    def __init__(self, inputs, hiddens):
        super().__init__()
        self.gru = nn.GRUCell(inputs, hiddens)

    def forward(self, given, state):
        """given (B, I), state (h, c) each (B, H) -> the next state."""
        h, c = state
        return self.gru(given, h), c


CELLS["gru"] = GRU

if __name__ == "__main__":
    sys.exit(main())
