"""How a token world model reads tokens: an embedding, and the tokenizer's codes beside it."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class TokenInput(nn.Module):
    """Tokens as vectors: an embedding, and beside it the tokenizer's codes through a linear map.

    The codes say what is alike, the embedding tells apart what the codes hardly do.
    """

    codes: Tensor

    def __init__(self, vocabulary: int, code_size: int, width: int, as_they_are: bool) -> None:
        """`code_size` 0: no codes are read. `as_they_are`: of codes, nothing but the codes."""
        super().__init__()
        if code_size and as_they_are and code_size != width:
            raise ValueError(
                f"codes of {code_size} numbers go in as they are only at a width of {code_size}, "
                f"not {width}"
            )
        self.as_they_are = bool(code_size) and as_they_are
        self.register_buffer("codes", torch.zeros(vocabulary, code_size) if code_size else None)
        if not self.as_they_are:
            self.own = nn.Parameter(torch.randn(vocabulary, width))
            self.map = nn.Linear(code_size, width, bias=False) if code_size else None
            if self.map is not None:
                nn.init.normal_(self.map.weight, std=code_size**-0.5)

    def use(self, codes: Tensor) -> None:
        """Read these vectors (V, D) of the tokenizer from now on."""
        assert codes.shape == self.codes.shape, (codes.shape, self.codes.shape)
        with torch.no_grad():
            self.codes.copy_(codes)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (...) -> (..., D)."""
        if self.as_they_are:
            return functional.embedding(tokens, self.codes)
        table: Tensor = self.own
        if self.map is not None:
            table = table + self.map(standardised(self.codes))
        return functional.embedding(tokens, table)


def standardised(codes: Tensor) -> Tensor:
    """codes (V, D) around their mean, of mean square 1, so that it does not matter where they lie.

    Codes of nothing but 0 are not in use yet: they stay 0 and do not count.
    """
    used = (codes != 0).any(1, keepdim=True)
    count = used.sum().clamp(min=1)
    centred = torch.where(used, codes - codes.sum(0) / count, 0)
    return centred / (centred.square().sum() / (count * codes.shape[1])).sqrt().clamp(min=1e-12)
