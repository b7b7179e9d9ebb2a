"""What all training shares, against closed forms: the schedule of the learning rate, decay, average and clipping."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from world_models.runs.metrics import MetricsLog, read_csv
from world_models.runs.schedule import EarlyStopping, Phase, phases, warmup_cosine
from world_models.runs.training import Average, Training, adamw


def linear(weight: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight), 1, bias=False)
    layer.weight.data = torch.tensor([weight])
    return layer


def rates(steps: int, warmup: float) -> list[float]:
    """The learning rate of each step, and the one after the last."""
    optimizer = torch.optim.SGD(linear([0.0]).parameters(), lr=2.0)
    scheduler, found = warmup_cosine(optimizer, steps, warmup), []
    for _ in range(steps + 1):
        found.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return found


def test_the_learning_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    found = rates(100, 0.1)
    assert found[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert (
        found[10] == pytest.approx(2)
        and found[55] == pytest.approx(1)
        and found[100] == pytest.approx(0)
    )
    assert found[99] == pytest.approx(1 + math.cos(math.pi * 89 / 90)) and found[99] > 0
    assert found[25] == pytest.approx(1 + math.cos(math.pi / 6))


def test_without_warmup_it_begins_at_its_height() -> None:
    assert rates(1, 0.5) == pytest.approx([2, 2])
    assert rates(3, 0.0) == pytest.approx([2, 2, 1, 0])


def test_phases_share_the_steps() -> None:
    assert phases([1, 4, 8], [0.5, 0.3, 0.2], 2000) == [
        Phase(1, 0, 1000),
        Phase(4, 1000, 1600),
        Phase(8, 1600, 2000),
    ]
    assert phases([1, 2], [2, 1], 1) == [Phase(1, 0, 1), Phase(2, 1, 1)]


def test_kernels_and_matrices_decay_biases_and_scales_do_not() -> None:
    """A step without gradients leaves the decay alone: w becomes (1 - rate * decay) w."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(4, 3))
    for weight in model.parameters():
        weight.data.fill_(1.0)
        weight.grad = torch.zeros_like(weight)
    optimizer = adamw(model, 0.1, 0.5)
    optimizer.step()
    found = {name: weight.mean().item() for name, weight in model.named_parameters()}
    decayed = {"0.weight", "3.weight"}
    assert (
        found == {name: pytest.approx(0.95 if name in decayed else 1.0) for name in found}
        and len(found) == 6
    )


def test_the_average_is_the_one_by_hand() -> None:
    """It keeps 2/11, 3/12, ... of itself, and no more than its decay."""
    model = linear([0.0])
    average, expected = Average(model, 0.27), 0.0
    for keep, value in ((2 / 11, 1.0), (3 / 12, 3.0), (0.27, -2.0), (0.27, 5.0)):
        model.weight.data.fill_(value)
        average.update(model)
        expected = keep * expected + (1 - keep) * value
        assert average.model.weight.item() == pytest.approx(expected)  # type: ignore[operator]
    again = Average(linear([9.0]), 0.27)
    again.load_state_dict(average.state_dict())
    assert again.updates == 4 and torch.equal(again.model.weight, average.model.weight)  # type: ignore[arg-type]


@pytest.mark.parametrize(("clip", "length"), [(0.5, 0.5), (100.0, 10.0), (0.0, 10.0)])
def test_the_gradient_of_all_weights_together_is_clipped(
    tmp_path: Path, clip: float, length: float
) -> None:
    """The gradients (6) and (0, 8) are of norm 10 together; with rate 1 the step is as long as what is left."""
    model = nn.ModuleList([linear([0.0]), linear([0.0, 0.0])])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    training = Training("toy", model, optimizer, scheduler, EarlyStopping(1), log_interval=1)
    loss = model[0](torch.tensor([6.0])).sum() + model[1](torch.tensor([0.0, 8.0])).sum()
    training.update(loss, {"loss": loss}, MetricsLog(tmp_path), clip)
    step = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    torch.testing.assert_close(step, -length * torch.tensor([0.6, 0.0, 0.8]))
    row = read_csv(tmp_path / "metrics.csv")[0]
    assert float(row.get("grad_norm", 10)) == pytest.approx(10) and ("grad_norm" in row) == (
        clip > 0
    )
