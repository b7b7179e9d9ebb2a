"""What is said of a tokenizer: its codes in closed form, its pictures, what is shown of it."""

import math

import numpy as np
import pytest
import torch

from world_models.measures.codebook import (
    COPY,
    TokenizerJudgement,
    copy_row,
    perplexity,
    tokenizer_quality,
    usage_entropy,
)
from world_models.measures.codebook_pictures import cells_of, codes_in_use
from world_models.models.tokenizers.patch import PatchTokenizer


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5, 5, 5, 5], 4.0),
        ([9, 0, 0, 0], 1.0),
        ([0, 0], 1.0),
        ([3, 1], math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))),
    ],
)
def test_perplexity_in_closed_form(counts: list[int], expected: float) -> None:
    assert perplexity(torch.tensor(counts)) == pytest.approx(expected)
    assert usage_entropy(torch.tensor(counts)) == pytest.approx(math.log(expected))


def judged() -> TokenizerJudgement:
    """Two batches: three frames come back exactly, one is off by half in a quarter of its pixels.

    What is off moves, and nothing else.
    """
    found = TokenizerJudgement(vocabulary=6)
    x = torch.zeros(2, 3, 4, 4)
    drawn, moving = x.clone(), torch.zeros(2, 4, 4, dtype=torch.bool)
    found.add({"loss": torch.tensor(1.0)}, x, x, moving, torch.tensor([[[0, 1]], [[1, 1]]]))
    drawn[1, :, 0] = 0.5
    moving[1, 0] = True
    terms = {"loss": torch.tensor(3.0), "reconstruction": torch.tensor(2.0)}
    found.add(terms, drawn, x, moving, torch.tensor([[[5, 1]], [[1, 1]]]))
    return found


def test_a_judgement_pools_its_batches() -> None:
    row = judged().row()
    assert row.loss == pytest.approx(2.0) and row.reconstruction == pytest.approx(1.0)
    assert row.psnr == pytest.approx(-10 * math.log10(0.25 / 16))
    assert row.psnr_moving == pytest.approx(-10 * math.log10(0.25))
    assert row.exact == 0.75
    assert (row.used, row.dead) == (3, 3)
    shares = [1 / 8, 6 / 8, 1 / 8]
    assert row.perplexity == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))


def test_quality_says_it_beside_the_baselines() -> None:
    frames = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    before = frames.clone()
    before[0, 0, 0] = 255
    table = [copy_row([(frames, before)])]
    facts = tokenizer_quality("vq", judged(), table, tokens=2)
    assert [row["name"] for row in facts["pictures"]] == ["tokenizer", COPY]
    assert facts["pictures"][1]["mse"] == pytest.approx(1 / 32)
    assert facts["pictures"][1]["psnr_moving"] == 0
    assert facts["usage"] == [6, 1, 1] and facts["exact"] == 0.75
    assert (facts["tokens"], facts["vocabulary"], facts["used"]) == (2, 6, 3)


def test_pictures_without_an_error_have_no_number_in_json() -> None:
    found = TokenizerJudgement(2)
    x = torch.zeros(1, 1, 4, 4)
    terms = {"loss": torch.tensor(0.0), "reconstruction": torch.tensor(0.0)}
    found.add(terms, x, x, torch.zeros(1, 4, 4, dtype=torch.bool), torch.tensor([[[0]]]))
    (ours,) = tokenizer_quality("patch", found, [], 1)["pictures"]
    assert ours["mse"] == 0 and ours["psnr"] is None and math.isinf(found.row().psnr)


def test_cells_are_cut_row_by_row() -> None:
    frames = torch.arange(2 * 4 * 6).view(2, 4, 6, 1).byte()
    cells = cells_of(frames, (2, 3))
    assert cells.shape == (12, 2, 2, 1)
    assert torch.equal(cells[4, ..., 0], frames[0, 2:4, 2:4, 0])
    assert torch.equal(cells[11, ..., 0], frames[1, 2:4, 4:6, 0])


def test_codes_are_shown_by_their_use_and_where_they_stand() -> None:
    frames = torch.zeros(4, 16, 16, 3, dtype=torch.uint8)
    frames[0, :8, :8] = 200
    model = PatchTokenizer(3, 16, 8)
    model.fit(frames.permute(0, 3, 1, 2) / 255)
    shown = codes_in_use(model, frames, "cpu")
    assert list(shown) == ["1 · 93.8 %", "0 · 6.2 %"]
    bright = shown["0 · 6.2 %"]
    assert bright.shape == (12, 32, 32, 3) and bright.dtype == np.uint8
    assert (bright[0] == 200).all() and (bright[1:] == 255).all()
    assert (shown["1 · 93.8 %"] == 0).all()
