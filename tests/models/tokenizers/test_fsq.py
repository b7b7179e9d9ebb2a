"""The finite scalar quantiser: its grid, the nearest point by brute force, and its gradient."""

import itertools

import pytest
import torch

from world_models.models.tokenizers.fsq import FSQTokenizer, ScalarQuantiser

LEVELS = [8, 5, 3]


def test_the_codes_are_all_points_of_the_grid() -> None:
    quantiser = ScalarQuantiser(LEVELS)
    axes = [[(k - n // 2) / (n // 2) for k in range(n)] for n in LEVELS]
    # the first number counts fastest
    points = [point[::-1] for point in itertools.product(*axes[::-1])]
    assert quantiser.vocabulary == len(points) == 120 and quantiser.code_size == 3
    torch.testing.assert_close(quantiser.table, torch.tensor(points))


def test_every_code_is_reached_and_is_encoded_as_itself() -> None:
    quantiser = ScalarQuantiser(LEVELS)
    # where tanh gives the middle of each level: the inverse of the bounding
    half = torch.tensor([(n - 1) * (1 - 1e-3) / 2 for n in LEVELS])
    offset = torch.tensor([0.5, 0.0, 0.0])
    steps = quantiser.table * torch.tensor([n // 2 for n in LEVELS])
    inside = ((steps + offset) / half).clamp(-0.999, 0.999)
    z = torch.atanh(inside) - torch.atanh(offset / half)
    tokens = quantiser.nearest(z.T[None, :, :, None])
    assert torch.equal(tokens.flatten(), torch.arange(quantiser.vocabulary))


def test_tokens_are_the_nearest_points_of_what_is_bounded() -> None:
    quantiser = ScalarQuantiser(LEVELS)
    z = 3 * torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    code, tokens, loss = quantiser(z)
    bounded = quantiser.bounded(z.movedim(1, -1))
    points = quantiser.table * torch.tensor([n // 2 for n in LEVELS])
    nearest = torch.cdist(bounded.flatten(0, 2), points).argmin(1).view(2, 4, 4)
    assert torch.equal(tokens, nearest) and torch.equal(tokens, quantiser.nearest(z))
    torch.testing.assert_close(code.movedim(1, -1), quantiser.table[tokens])
    assert float(loss) == 0


def test_zero_is_the_middle_of_the_grid() -> None:
    quantiser = ScalarQuantiser(LEVELS)
    torch.testing.assert_close(quantiser(torch.zeros(1, 3, 1, 1)).z, torch.zeros(1, 3, 1, 1))


def test_rounding_passes_the_gradient_of_what_is_bounded() -> None:
    quantiser = ScalarQuantiser(LEVELS)
    z = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    quantiser(z).z.sum().backward()
    smooth = z.detach().clone().requires_grad_()
    half = torch.tensor([n // 2 for n in LEVELS])
    (quantiser.bounded(smooth.movedim(1, -1)) / half).sum().backward()
    torch.testing.assert_close(z.grad, smooth.grad)
    assert float(z.grad.abs().min()) > 0


def test_a_tokenizer_around_it() -> None:
    torch.manual_seed(0)
    model = FSQTokenizer(3, 16, LEVELS, base_channels=8, downsamplings=2)
    frames = torch.rand(2, 3, 16, 16)
    tokens = model.encode(frames)
    assert tokens.shape == (2, 4, 4) and model.vocabulary == 120
    assert model.codes(tokens).shape == (2, 3, 4, 4)
    assert torch.equal(model(frames).tokens, tokens)
    again = FSQTokenizer(**model.config)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.decode(tokens), model.decode(tokens))


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ([], "give one number or more"),
        ([8, 2], "each 3 or more"),
        ([255, 255], "stage.levels makes 65025 codes; there must be 2 to 32768"),
    ],
)
def test_levels_that_make_no_grid_are_refused(levels: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ScalarQuantiser(levels)
