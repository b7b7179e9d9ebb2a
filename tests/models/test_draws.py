"""Noise: a stream gives what torch gives, a row's own noise is a function of its seed and step."""

import pytest
import torch

from world_models.models.draws import RowDraws, StreamDraws


def rows(seeds: list[int], steps: list[int]) -> RowDraws:
    return RowDraws(torch.tensor(seeds), torch.tensor(steps))


@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5)])
def test_a_stream_draws_components_as_multinomial_does(shape: tuple[int, ...]) -> None:
    weights = torch.softmax(torch.randn(shape, generator=torch.Generator().manual_seed(1)), -1)
    expected = torch.multinomial(
        weights.flatten(0, -2), 1, generator=torch.Generator().manual_seed(0)
    )
    draws = StreamDraws(torch.Generator().manual_seed(0))
    drawn = (weights / draws.exponential(weights)).argmax(-1)
    assert torch.equal(drawn, expected.view(shape[:-1]))


def test_a_rows_noise_is_its_own() -> None:
    like = torch.zeros(4, 6)
    draws = rows([5, 6, 7, 2**31 - 1], [0, 3, 9, 3])
    first = draws.normal(like)
    second = draws.exponential(like)
    some = rows([7, 6], [9, 3])
    assert torch.equal(some.normal(like[:2]), first[[2, 1]])
    assert torch.equal(some.exponential(like[:2]), second[[2, 1]])
    assert not torch.equal(rows([7, 6], [9, 4]).normal(like[:2])[1], first[1])


def test_noise_has_its_distribution() -> None:
    draws = rows(list(range(2000)), [4] * 2000)
    normal = draws.normal(torch.zeros(2000, 50))
    exponential = draws.exponential(torch.zeros(2000, 50))
    moments = [
        normal.mean(),
        normal.var(),
        (normal**4).mean(),
        exponential.mean(),
        exponential.var(),
    ]
    torch.testing.assert_close(
        torch.stack(moments), torch.tensor([0.0, 1, 3, 1, 1]), atol=0.05, rtol=0
    )
    assert normal.isfinite().all() and (exponential > 0).all()
    between = torch.corrcoef(torch.stack([normal[:-1].flatten(), normal[1:].flatten()]))[0, 1]
    inside = torch.corrcoef(torch.stack([normal[:, :-1].flatten(), normal[:, 1:].flatten()]))[0, 1]
    calls = torch.corrcoef(torch.stack([normal.flatten(), exponential.flatten()]))[0, 1]
    assert max(abs(float(value)) for value in (between, inside, calls)) < 0.015
    later = rows(list(range(2000)), [5] * 2000).normal(torch.zeros(2000, 50))
    steps = torch.corrcoef(torch.stack([normal.flatten(), later.flatten()]))[0, 1]
    assert abs(float(steps)) < 0.015
    assert len(normal.unique()) > 99_000
