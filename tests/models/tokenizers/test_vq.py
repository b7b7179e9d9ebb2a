"""The VQ-VAE: published sizes, the nearest code, and where gradients go."""

import pytest
import torch
from torch import Tensor

from world_models.models.tokenizers.vq import VectorQuantiser, VQTokenizer


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spread(vocabulary: int = 7, code_size: int = 5) -> VectorQuantiser:
    """A quantiser whose codes are far apart."""
    quantiser = VectorQuantiser(vocabulary, code_size)
    quantiser.codebook.data = draws(vocabulary, code_size, seed=1)
    return quantiser


def small(size: int = 16) -> VQTokenizer:
    torch.manual_seed(0)
    return VQTokenizer(3, size, base_channels=8, downsamplings=2, vocabulary=7, code_size=5)


def weights(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_published_size_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        model = VQTokenizer(3, 64)
    assert weights(model.encoder) == 1_754_048
    assert weights(model.decoder) == 1_172_963
    assert weights(model.before) + weights(model.after) == 131_584
    assert weights(model.quantiser) == 131_072
    assert weights(model) == 3_189_667
    assert model.grid == (8, 8) and model.vocabulary == 512 and model.code_size == 256


@pytest.mark.parametrize(("size", "downsamplings", "side"), [(64, 4, 4), (32, 3, 4), (48, 3, 6)])
def test_any_size_that_the_halvings_divide(size: int, downsamplings: int, side: int) -> None:
    model = VQTokenizer(1, size, 8, downsamplings, vocabulary=9, code_size=4)
    frames = torch.rand(2, 1, size, size)
    tokens = model.encode(frames)
    assert tokens.shape == (2, side, side) and tokens.dtype == torch.int64
    drawn = model.decode(tokens).detach()
    assert drawn.shape == frames.shape and 0 <= float(drawn.min()) <= float(drawn.max()) <= 1
    assert model.codes(tokens).shape == (2, 4, side, side)


def test_tokens_are_the_nearest_codes_by_brute_force() -> None:
    quantiser = spread().double()
    z = draws(4, 5, 3, 2).double()
    tokens = quantiser.nearest(z)
    for b in range(4):
        for i in range(3):
            for j in range(2):
                distances = [float((z[b, :, i, j] - code).norm()) for code in quantiser.table]
                assert int(tokens[b, i, j]) == min(range(7), key=distances.__getitem__)


def test_a_map_of_codes_is_encoded_as_itself() -> None:
    quantiser = spread()
    tokens = torch.arange(12).view(1, 3, 4) % 7
    z = quantiser.table[tokens].movedim(-1, 1)
    assert torch.equal(quantiser.nearest(z), tokens)


def test_codes_are_the_rows_of_the_table_without_gradient() -> None:
    model = small()
    tokens = torch.arange(2 * 3 * 16).view(2, 3, 4, 4) % 7
    codes = model.codes(tokens)
    assert codes.shape == (2, 3, 5, 4, 4) and not codes.requires_grad
    assert torch.equal(codes[1, 2, :, 3, 0], model.quantiser.codebook[tokens[1, 2, 3, 0]])


def test_the_decoder_sees_the_codes_and_its_gradient_goes_straight_through() -> None:
    model = small()
    z = model.features(torch.rand(2, 3, 16, 16)).detach().requires_grad_()
    through, tokens, _ = model.quantiser(z)
    torch.testing.assert_close(through, model.codes(tokens))
    through.retain_grad()
    model.draw(through).square().mean().backward()
    assert torch.equal(z.grad, through.grad) and float(z.grad.abs().max()) > 0
    assert model.quantiser.codebook.grad is None


def test_each_term_of_the_codebook_moves_one_side_alone() -> None:
    codebook_only = spread()
    codebook_only.commitment = 0.0
    z = draws(2, 5, 3, 3, seed=3).requires_grad_()
    codebook_only(z).loss.backward()
    assert float(z.grad.abs().max()) == 0 and float(codebook_only.codebook.grad.abs().max()) > 0


def test_commitment_draws_features_to_their_codes() -> None:
    quantiser = spread()
    quantiser.codebook.requires_grad_(False)
    z = draws(2, 5, 3, 3, seed=3).requires_grad_()
    before = quantiser(z)
    before.loss.backward()
    with torch.no_grad():
        moved = z - 0.1 * z.numel() * z.grad
    codes = quantiser.table[before.tokens].movedim(-1, 1)
    # one step of length 0.1 on |z - e|^2 takes away 0.2 of the way
    torch.testing.assert_close(moved - codes, 0.8 * (z.detach() - codes))


def test_the_loss_in_closed_form() -> None:
    quantiser = VectorQuantiser(2, 2, commitment=0.5)
    quantiser.codebook.data = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    z = torch.tensor([[[[1.0]], [[2.0]]]])
    assert float(quantiser(z).loss.detach()) == pytest.approx(1.5 * (1 + 4) / 2)


def test_frames_all_alike_make_no_code_nan() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    frames = torch.full((4, 3, 16, 16), 0.5)
    for _ in range(3):
        found = model(frames)
        loss = found.loss + (found.frames - (2 * frames - 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(bool(torch.isfinite(value).all()) for value in model.parameters())


def test_half_precision_around_it_changes_no_token() -> None:
    quantiser = spread(64, 8)
    z = draws(8, 8, 6, 6, seed=5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantiser.nearest(z), spread(64, 8).nearest(z))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"size": 36, "downsamplings": 3}, "36x36 cannot be cut into cells of 8x8"),
        ({"size": 32, "base_channels": 12}, "base_channels is 12; it must be a multiple of 8"),
        ({"size": 32, "vocabulary": 1}, "stage.vocabulary makes 1 codes; there must be 2 to 32768"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(keys: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        VQTokenizer(3, **keys)


def test_frames_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes frames \(B, 3, 16, 16\), not \(1, 3, 32, 32\)"):
        small().encode(torch.zeros(1, 3, 32, 32))


@pytest.mark.slow
def test_it_learns_sixteen_frames_by_heart() -> None:
    torch.manual_seed(1)
    colours, picks = torch.rand(6, 3), torch.randint(6, (16, 4, 4))
    frames = colours[picks].permute(0, 3, 1, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    model = VQTokenizer(3, 8, base_channels=16, downsamplings=1, vocabulary=32, code_size=16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(500):
        found = model(frames)
        loss = found.loss + (found.frames - (2 * frames - 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((model.decode(model.encode(frames)) - frames).abs().mean().detach()) < 0.02
