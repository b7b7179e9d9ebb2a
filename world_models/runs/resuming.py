"""What last.pt says of optimizer and schedules, compared with itself before training goes on.

The step is known from several places, and they must agree. What the configuration says, such as
decay or patience, is not read from the checkpoint.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch.optim import Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from world_models.runs.checkpoint import Trained
from world_models.runs.parsing import Count, Stored, Text, damaged, require
from world_models.runs.schedule import Best, EarlyStopping

MOMENTS: dict[type[Optimizer], tuple[str, ...]] = {
    Adam: ("exp_avg", "exp_avg_sq"),
    AdamW: ("exp_avg", "exp_avg_sq"),
    RMSprop: ("square_avg",),
}
"""What the optimizers that we use keep of each parameter, beside the step."""
FLOAT_COUNTS = 1 << 24
"""Optimizers count steps as float32, which ends here."""
VARYING = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter", "_step_count", "_last_lr")
"""What changes in a scheduler as training goes on."""


class Averaged(Stored):
    """Weights of an average, and how many steps it took in."""

    model: dict[str, torch.Tensor]
    updates: Count


class Progress(Trained):
    """last.pt: all from which training goes on."""

    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    stopper: dict[str, Any]
    batch: Count
    window: list[torch.Tensor]
    carried: Sequence[torch.Tensor]
    names: Sequence[Text]
    average: Averaged | None = None
    csv_offsets: dict[Text, Count]


class _Group(Stored):
    lr: float
    params: list[Count]


class _Moments(Stored):
    state: dict[int, dict[str, torch.Tensor]]
    param_groups: list[_Group]


class _Schedule(Stored):
    last_epoch: Count
    steps: Count = Field(0, alias="_step_count")
    rates: list[float] = Field([], alias="_last_lr")


class _Plateau(_Schedule):
    # infinite before the first epoch
    best: Any
    num_bad_epochs: Count
    cooldown_counter: Count


class _Best(Stored):
    best: float | None


class _Stopping(_Best):
    waited: Count


def require_position(state: dict[str, Any], scheduler: LRScheduler, place: str) -> None:
    """Steps, epochs and batches that cannot be of one training are a ValueError."""
    epoch, step, batch = state["epoch"], state["step"], state["batch"]
    by_epochs = isinstance(scheduler, ReduceLROnPlateau)
    within = epoch + batch <= step and (epoch > 0 or batch == step)
    if not (within if by_epochs else epoch <= step == batch):
        raise damaged(place, f"step {step}, epoch {epoch} and batch {batch} do not go together")
    average = state.get("average")
    if average is not None and average["updates"] != step:
        raise damaged(place, f"average.updates is {average['updates']} at step {step}")


def require_window(
    state: dict[str, Any], carried: Sequence[torch.Tensor], interval: int, place: str
) -> None:
    """The metrics since the last row of `interval` steps, and the state that is carried on, have
    their shapes; a validation in between may have taken some out."""
    if len(state["window"]) > state["step"] % interval:
        raise damaged(place, f"window holds {len(state['window'])} steps at {state['step']}")
    names = len(state["names"])
    for number, values in enumerate(state["window"]):
        if values.dtype != torch.float32 or values.shape != (names,):
            raise damaged(place, f"window[{number}] does not hold {names} numbers")
    found = [(value.dtype, value.shape) for value in state["carried"]]
    if found != [(value.dtype, value.shape) for value in carried]:
        raise damaged(place, "carried is not the state of this model")


def restore_stopper(stopper: Best, state: dict[str, Any], place: str) -> None:
    """Take over the lowest value so far; where epochs are counted there is one after the first."""
    stored, epochs = state["stopper"], state["epoch"]
    counts = isinstance(stopper, EarlyStopping)
    require(_Stopping if counts else _Best, stored, f"{place}, stopper")
    if counts and ((stored["best"] is None) != (epochs == 0) or stored["waited"] > epochs):
        raise damaged(place, f"stopper is {stored['best']}, {stored['waited']} at epoch {epochs}")
    stopper.load_state_dict(stored)


def restore_scheduler(scheduler: LRScheduler, state: dict[str, Any], place: str) -> None:
    """Take over what varies; it must stand where training stands."""
    stored = state["scheduler"]
    by_epochs = isinstance(scheduler, ReduceLROnPlateau)
    require(_Plateau if by_epochs else _Schedule, stored, f"{place}, scheduler")
    reached = state["epoch"] if by_epochs else state["step"]
    if stored["last_epoch"] != reached:
        raise damaged(place, f"scheduler.last_epoch is {stored['last_epoch']} at {reached}")
    if by_epochs:
        _require_plateau(stored, reached, place)
    fresh = scheduler.state_dict()
    scheduler.load_state_dict(fresh | {key: stored[key] for key in VARYING if key in stored})
    if isinstance(scheduler, LambdaLR):
        _require_rates(scheduler, place)


def _require_rates(scheduler: LambdaLR, place: str) -> None:
    """The learning rates are those of the schedule at this step."""
    groups, bases = scheduler.optimizer.param_groups, scheduler.base_lrs
    for group, base, factor in zip(groups, bases, scheduler.lr_lambdas, strict=True):
        rate = base * factor(scheduler.last_epoch)
        if not math.isclose(group["lr"], rate, rel_tol=1e-6, abs_tol=1e-12):
            raise damaged(place, f"optimizer lr is {group['lr']} where its schedule has {rate}")


def _require_plateau(stored: dict[str, Any], epochs: int, place: str) -> None:
    best = stored["best"]
    known = isinstance(best, float) and (math.isfinite(best) or (best == math.inf and not epochs))
    if not known:
        raise damaged(place, f"scheduler.best is {str(best)[:40]}")
    if max(stored["num_bad_epochs"], stored["cooldown_counter"]) > epochs:
        raise damaged(place, "scheduler.num_bad_epochs is more than its epochs")


def restore_optimizer(optimizer: Optimizer, state: dict[str, Any], place: str) -> None:
    """Take over learning rates and moments; they must be those of these parameters."""
    stored = state["optimizer"]
    require(_Moments, stored, f"{place}, optimizer")
    fresh = optimizer.state_dict()
    groups = fresh["param_groups"]
    if [group["params"] for group in groups] != [
        group["params"] for group in stored["param_groups"]
    ]:
        raise damaged(place, "optimizer.param_groups are not of this model")
    for group, other in zip(groups, stored["param_groups"], strict=True):
        if not 0 <= other["lr"] <= group.get("initial_lr", group["lr"]):
            raise damaged(place, f"optimizer lr is {other['lr']}")
        group["lr"] = other["lr"]
    _require_moments(optimizer, stored["state"], state["step"], place)
    optimizer.load_state_dict({"state": stored["state"], "param_groups": groups})


def _require_moments(
    optimizer: Optimizer, stored: dict[int, dict[str, torch.Tensor]], step: int, place: str
) -> None:
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    names = MOMENTS.get(type(optimizer))
    numbers = range(len(parameters)) if step and names else stored
    for number in {*numbers, *stored}:
        if number not in range(len(parameters)) or number not in stored:
            raise damaged(place, f"optimizer.state has no entry {number} of its own")
        moments = stored[number]
        if names is not None and {*moments} != {"step", *names}:
            raise damaged(place, f"optimizer.state[{number}] lacks a moment")
        for name, value in moments.items():
            _require_moment(f"{place}: optimizer.state[{number}].{name}", value, parameters[number])
            if name == "step" and float(value) != min(step, FLOAT_COUNTS):
                raise damaged(place, f"its optimizer made {float(value):g} steps")


def _require_moment(place: str, value: torch.Tensor, parameter: torch.Tensor) -> None:
    wanted = torch.Size() if place.endswith(".step") else parameter.shape
    if value.shape != wanted or value.dtype != parameter.dtype:
        raise damaged(place, f"{value.dtype} {tuple(value.shape)}")
    if place.endswith(("_sq", "square_avg")) and bool((value < 0).any()):
        raise damaged(place, "a mean square is negative")
