"""What all training shares, against closed forms: the schedule of the learning rate, decay,
average and clipping.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from equality import assert_equal_runs
from torch import nn

from world_models.runs.device import Device
from world_models.runs.metrics import MetricsLog, read_csv
from world_models.runs.resuming import require_window
from world_models.runs.run import Run
from world_models.runs.schedule import Best, Every, Phase, phases, warmup_cosine
from world_models.runs.training import Average, Training, adamw, resume_together


class Line(nn.Linear):
    """A model that has a config, as checkpoints want it."""

    config: ClassVar[dict[str, int]] = {}


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
    assert again.updates == 4
    assert torch.equal(again.model.weight, average.model.weight)  # type: ignore[arg-type]


@pytest.mark.parametrize(("clip", "length"), [(0.5, 0.5), (100.0, 10.0), (0.0, 10.0)])
def test_the_gradient_of_all_weights_together_is_clipped(
    tmp_path: Path, clip: float, length: float
) -> None:
    """The gradients (6) and (0, 8) are of norm 10 together;
    with rate 1 the step is as long as what is left.
    """
    model = nn.ModuleList([linear([0.0]), linear([0.0, 0.0])])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    training = Training("toy", model, optimizer, scheduler, Best(), log_interval=1)
    loss = model[0](torch.tensor([6.0])).sum() + model[1](torch.tensor([0.0, 8.0])).sum()
    training.update(loss, {"loss": loss}, MetricsLog(tmp_path), clip)
    step = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    torch.testing.assert_close(step, -length * torch.tensor([0.6, 0.0, 0.8]))
    row = read_csv(tmp_path / "metrics.csv")[0]
    assert float(row.get("grad_norm", 10)) == pytest.approx(10) and ("grad_norm" in row) == (
        clip > 0
    )


PARTS = ("tokenizer", "world", "actor")
TURNS, STEPS = 3, 5  # of each training, in turns


def a_run(path: Path) -> Run:
    path.mkdir(exist_ok=True)
    manifest = {"stage": "toy", "inputs": []}
    return Run(path, 0, Device.cpu, "gymnasium", {}, manifest=manifest)


def a_part(part: str) -> Training[Line]:
    """A training whose weights begin at 1, with momentum, an average and a falling rate."""
    model = Line(2, 1, bias=False)
    model.weight.data.fill_(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = warmup_cosine(optimizer, TURNS * STEPS, 0.2)
    average = Average(model, 0.9)
    return Training(
        f"toy {part}", model, optimizer, scheduler, Best(), 2, average=average, part=part
    )


def train_in_turns(run: Run) -> None:
    """Three trainings in one folder; what each learns depends on the weights of the one before."""
    trainings = [a_part(part) for part in PARTS]
    metrics, save_now = resume_together(run, *trainings), Every(2)
    for turn in range(1, TURNS + 1):
        for training, before in zip(trainings, trainings[-1:] + trainings[:-1], strict=True):
            while training.step < turn * STEPS:
                x = torch.randn(4, 2, generator=torch.Generator().manual_seed(training.step))
                target = before.model(x).detach() + len(training.part)
                loss = (training.model(x) - target).square().mean()
                training.update(loss, {"loss": loss}, metrics)
                if training.step == turn * STEPS:
                    watched = float(training.judged.weight.sum())
                    row = {"turn": turn, "weight": watched}
                    metrics.write(training.table("val_metrics"), row)
                    if training.stopper.update(watched):
                        training.save_best(run, {"weight": watched})
                    training.save(run, metrics)
                elif save_now(training.step):
                    training.save(run, metrics)


class Interrupted(BaseException):
    """What ends a run of the test."""


class Countdown:
    """Ends the run at the n-th call of any of several functions, before or after it."""

    def __init__(self, call: int, after: bool) -> None:
        self.left, self.after = call, after

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise Interrupted
            result = function(*args, **kwargs)
            if self.left == 0:
                raise Interrupted
            return result

        return counted


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_three_trainings_in_a_folder_are_resumed_wherever_they_were_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    train_in_turns(a_run(tmp_path / "whole"))
    names = {str(path.relative_to(tmp_path / "whole")) for path in tmp_path.rglob("*.*t")}
    assert {f"checkpoints/{part}/{name}.pt" for part in PARTS for name in ("last", "best")} == names
    tables = {f"{part}_{name}.csv" for part in PARTS for name in ("metrics", "val_metrics")}
    assert {path.name for path in (tmp_path / "whole").glob("*.csv")} == tables
    stopped, call = True, 0
    while stopped:
        call += 1
        run, countdown = a_run(tmp_path / f"stopped_{call}"), Countdown(call, after)
        stopped = False
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", countdown.wrap(os.replace))
            patch.setattr(MetricsLog, "write", countdown.wrap(MetricsLog.write))
            try:
                train_in_turns(run)
            except Interrupted:
                stopped = True
        train_in_turns(a_run(run.path))
        assert_equal_runs(tmp_path / "whole", run.path)
    assert call > 3 * (7 + 3 + 9), "rows of metrics, rows of validation, checkpoints"


def test_parts_have_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        a_part("world_model")
    with pytest.raises(AssertionError):
        resume_together(a_run(tmp_path), a_part("world"), a_part("world"))


@pytest.mark.parametrize(("window", "fits"), [(60, True), (10, True), (0, True), (61, False)])
def test_validation_may_take_steps_out_of_the_window(window: int, fits: bool) -> None:
    """At step 260 of a row each 100; a validation at step 250 wrote a row of its own."""
    state = {"step": 260, "window": [torch.zeros(1)] * window, "names": ("loss",), "carried": ()}
    if fits:
        require_window(state, (), 100, "last.pt")
    else:
        with pytest.raises(ValueError, match="window holds 61 steps at 260"):
            require_window(state, (), 100, "last.pt")
