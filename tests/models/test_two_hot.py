"""Two-hot numbers: shares, means and losses against their closed forms."""

import math

import pytest
import torch

from world_models.models.two_hot import TwoHot, symexp, symlog


def test_symexp_undoes_symlog() -> None:
    x = torch.tensor([-1e4, -3.0, -0.1, 0.0, 0.5, 7.0, 2e4], dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(x)), x, rtol=1e-12, atol=0)
    assert symlog(torch.tensor(math.e - 1)).item() == pytest.approx(1)


def test_bins_lie_evenly_in_symlog_and_mirror_each_other() -> None:
    two_hot = TwoHot(bins=5, limit=2.0)
    wanted = [-(math.e**2) + 1, -math.e + 1, 0, math.e - 1, math.e**2 - 1]
    torch.testing.assert_close(two_hot.values, torch.tensor(wanted))
    values = TwoHot().values
    assert len(values) == 128 and torch.equal(values, -values.flip(0))
    assert values[-1] == pytest.approx(math.e**10 - 1, rel=1e-6)


def test_a_number_is_shared_by_its_two_neighbours() -> None:
    two_hot = TwoHot(bins=5, limit=2.0)
    high = math.e - 1
    shares = two_hot.encode(torch.tensor([[0.0, high / 4], [high, -1e9]]))
    expected = torch.zeros(2, 2, 5)
    expected[0, 0, 2] = 1
    expected[0, 1, 2:4] = torch.tensor([0.75, 0.25])
    expected[1, 0, 3] = 1
    expected[1, 1, 0] = 1
    torch.testing.assert_close(shares, expected, atol=1e-6, rtol=0)


def test_what_is_encoded_is_decoded_to_itself() -> None:
    two_hot = TwoHot()
    numbers = torch.cat([torch.linspace(-30, 30, 301), torch.tensor([0.0, 1.0, 5e3, 2.2e4])])
    shares = two_hot.encode(numbers)
    assert ((shares > 0).sum(-1) <= 2).all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(len(numbers)))
    torch.testing.assert_close(two_hot.decode(shares.log()), numbers, rtol=1e-4, atol=1e-5)


def test_untrained_logits_mean_exactly_nothing() -> None:
    for bins in (128, 63):
        assert (TwoHot(bins).decode(torch.zeros(3, bins)) == 0).all()


def test_the_loss_is_the_cross_entropy_to_the_shares() -> None:
    two_hot = TwoHot()
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 128, generator=draw, requires_grad=True)
    numbers = 20 * torch.randn(4, 6, generator=draw)
    literal = -(two_hot.encode(numbers) * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(two_hot.loss(logits, numbers), literal)
    # the gradient of a cross-entropy: softmax minus target
    two_hot.loss(logits, numbers).sum().backward()
    expected = (logits.softmax(-1) - two_hot.encode(numbers)).detach()
    torch.testing.assert_close(logits.grad, expected, atol=1e-6, rtol=1e-4)


def test_the_best_distribution_has_the_mean_of_the_targets() -> None:
    """Means of logarithms would give symexp(mean(symlog)), 2.2 here and not 10."""
    two_hot = TwoHot(bins=32)
    targets = torch.tensor([0.0, 0.0, 0.0, 40.0])
    best = two_hot.encode(targets).mean(0)
    assert two_hot.decode(best.log()).item() == pytest.approx(10, rel=1e-4)


def test_bins_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="two-hot has 1 bins"):
        TwoHot(bins=1)


def test_it_begins_near_nothing() -> None:
    two_hot = TwoHot(bins=5, limit=2.0)
    chances = two_hot.near_nothing().softmax(0)
    wanted = torch.tensor([math.exp(-4), math.exp(-2), 1, math.exp(-2), math.exp(-4)])
    torch.testing.assert_close(chances, wanted / wanted.sum())
    assert two_hot.decode(two_hot.near_nothing()) == 0
