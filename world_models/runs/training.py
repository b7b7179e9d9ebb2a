"""Where training stands: all that a checkpoint must hold to go on as if never stopped."""

import copy
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from world_models.runs import ranks
from world_models.runs.checkpoint import load_checkpoint, save_checkpoint
from world_models.runs.folder import display_path
from world_models.runs.metrics import MetricsLog, Value
from world_models.runs.parsing import damaged
from world_models.runs.resuming import (
    Progress,
    require_position,
    require_window,
    restore_optimizer,
    restore_scheduler,
    restore_stopper,
)
from world_models.runs.rows import TimingRow
from world_models.runs.run import Run
from world_models.runs.schedule import Best
from world_models.runs.weights import load_weights

M = TypeVar("M", bound=nn.Module)


class Average(Generic[M]):
    """An exponential moving average of a model's weights.

    Over the first steps it forgets faster: it keeps min(decay, (1+n)/(10+n)) of itself.
    """

    def __init__(self, model: M, decay: float) -> None:
        self.model: M = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: M) -> None:
        """Take in the weights after a step of the optimizer."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(
            list(self.model.parameters()),
            [weight.detach() for weight in model.parameters()],
            1 - keep,
        )

    def state_dict(self) -> dict[str, Any]:
        """Weights and count."""
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any] | None, place: str = "average") -> None:
        """The inverse of `state_dict`; none, and weights of another model, are ValueErrors."""
        if state is None:
            raise damaged(place, "average is missing")
        load_weights(self.model, state["model"], f"{place}, average")
        self.updates = state["updates"]


def adamw(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) that decays matrices and kernels, not biases and scales."""
    groups = [
        {
            "params": [weight for weight in model.parameters() if weight.ndim > 1],
            "weight_decay": weight_decay,
        },
        {
            "params": [weight for weight in model.parameters() if weight.ndim <= 1],
            "weight_decay": 0.0,
        },
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


@dataclass
class Training(Generic[M]):
    """Model, optimizer, schedules and position.

    `batch` counts inside `epoch`, `step` from the start.

    A `scheduler` of torch's own kind goes on after every step, one on a plateau after every epoch.
    Where there is an `average`, its weights are the ones that `best.pt` gets. `facts` go into every
    checkpoint. `window` holds the metrics of the steps since the last row of metrics.csv; rows are
    means over `log_interval` steps. `carried` is what the next step takes over from the last one
    beside weights: the state of a recurrent model.

    `part` is for a run of several trainings: the name of this one, without "_". Its checkpoints lie
    in checkpoints/<part>/, and its tables are called <part>_metrics and so on.
    """

    kind: str
    model: M
    optimizer: Optimizer
    scheduler: LRScheduler
    stopper: Best
    log_interval: int = 50
    epoch: int = 0
    batch: int = 0
    step: int = 0
    window: list[torch.Tensor] = field(default_factory=list)
    carried: tuple[torch.Tensor, ...] = ()
    average: Average[M] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    began: float = field(default_factory=time.monotonic)
    first: int = 0
    part: str = ""

    def __post_init__(self) -> None:
        assert "_" not in self.part, self.part

    def table(self, name: str) -> str:
        """How the table `name` of this training is called among those of the run."""
        return table_of(self.part, name)

    def last(self, run: Run) -> Path:
        """The checkpoint from which this training is resumed."""
        return run.checkpoints / self.part / "last.pt"

    def best(self, run: Run) -> Path:
        """The checkpoint that the next stage reads."""
        return run.checkpoints / self.part / "best.pt"

    def resume(self, run: Run) -> dict[str, int] | None:
        """Take over `last.pt` where there is one; returns the CSV offsets it holds."""
        if not self.last(run).is_file():
            return None
        path = self.last(run)
        state = load_checkpoint(path, self.kind, run.device.value, Progress)
        place = display_path(path)
        self._restore(state, place)
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.window = list(state["window"])
        self.carried = tuple(state["carried"])
        self.names = tuple(state["names"])
        self.first = self.step
        return dict(state["csv_offsets"])

    def _restore(self, state: dict[str, Any], place: str) -> None:
        """Weights, moments and schedules; what does not go together is a ValueError."""
        if state["config"] != self.model.config:
            raise ValueError(f"{place} holds a model of other sizes than this run's: start anew")
        require_position(state, self.scheduler, place)
        require_window(state, self.carried, self.log_interval, place)
        load_weights(self.model, state["model"], place)
        restore_optimizer(self.optimizer, state, place)
        restore_scheduler(self.scheduler, state, place)
        restore_stopper(self.stopper, state, place)
        if self.average is not None:
            self.average.load_state_dict(state["average"], place)

    def save(self, run: Run, metrics: MetricsLog) -> None:
        """Write `last.pt`; the offsets that go into it are those of this training's own tables."""
        self._require_finite()
        self.carried = tuple(map(ranks.joined, self.carried))
        if not ranks.is_first():
            return
        state = {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "stopper": self.stopper.state_dict(),
            "batch": self.batch,
            "window": self.window,
            "carried": self.carried,
            "names": self.names,
            "average": None if self.average is None else self.average.state_dict(),
            "csv_offsets": own_offsets(metrics, self.part),
        }
        save_checkpoint(self.last(run), self.kind, {**self._identity(run), **state})

    def save_best(self, run: Run, validation: dict[str, Value]) -> None:
        """Write `best.pt`: weights and what they are, for the next stage."""
        if not ranks.is_first():
            return
        weights = {"model": self.judged.state_dict(), "validation": validation}
        save_checkpoint(self.best(run), self.kind, {**self._identity(run), **weights})

    @property
    def judged(self) -> M:
        """The model that is validated and kept: the average, where there is one."""
        return self.model if self.average is None else self.average.model

    def _identity(self, run: Run) -> dict[str, Any]:
        return {
            "config": dict(self.model.config),  # type: ignore[arg-type]
            "model": self.model.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "inputs": run.manifest["inputs"],
            **self.facts,
        }

    def update(
        self,
        loss: torch.Tensor,
        values: dict[str, torch.Tensor],
        metrics: MetricsLog,
        clip: float = 0.0,
        share: float = 1.0,
    ) -> None:
        """One step of the optimizer on `loss`, and its part in a row of metrics.csv.

        The norm of the gradient is clipped to `clip`; 0: it is not. `share` of the batch is what
        this process has seen of it.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        values = ranks.averaged(self.model, values, share)
        if clip > 0:
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip)
            values = {**values, "grad_norm": norm}
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
        self.step += 1
        self.batch += 1
        self.names = tuple(values)
        self.window.append(torch.stack([value.detach().float() for value in values.values()]))
        if self.step % self.log_interval == 0:
            self.write_window(metrics)

    def write_window(self, metrics: MetricsLog) -> None:
        """A row of metrics.csv: means over the steps since the last one, if there were any."""
        if not self.window:
            return
        self._require_finite()
        means = torch.stack(self.window).mean(0).tolist()
        rate = self.optimizer.param_groups[0]["lr"]
        row = {"step": self.step, "epoch": self.epoch, "lr": rate}
        metrics.write(self.table("metrics"), {**row, **dict(zip(self.names, means, strict=True))})
        self.window = []

    def _require_finite(self, watched: float = 0.0) -> None:
        values = [
            torch.tensor(watched),
            *self.window,
            *(weight.detach() for weight in self.model.parameters()),
        ]
        if not all(bool(torch.isfinite(value).all()) for value in values):
            raise ValueError(
                f"the {self.kind} loss or a weight became NaN or infinite before step {self.step}: "
                "start again with a lower stage.learning_rate"
            )

    def write_timing(self, metrics: MetricsLog, frames: int | None = None) -> None:
        """A row of timing.csv: seconds and steps per second since the last one.

        Or since the clock was started. With so many `frames` in a step also frames per second.
        """
        seconds = time.monotonic() - self.began
        rate = (self.step - self.first) / seconds
        row = TimingRow(
            step=self.step,
            seconds=round(seconds, 3),
            rate=round(rate, 2),
            frames_per_s=None if frames is None else round(rate * frames, 1),
        )
        metrics.write(self.table("timing"), row)
        self.start_clock()

    def start_clock(self) -> None:
        """What was done up to now, pictures or judging, is no part of timing.csv's next row."""
        self.began = time.monotonic()
        self.first = self.step

    def end_epoch(self, watched: float) -> bool:
        """Go to the next epoch; True when the watched loss is the best yet.

        Scheduler and early stopping are fed with it.
        """
        self._require_finite(watched)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(watched)
        self.epoch += 1
        self.batch = 0
        return self.stopper.update(watched)


def table_of(part: str, name: str) -> str:
    """How the table `name` of a part is called among those of its run."""
    return f"{part}_{name}" if part else name


def own_offsets(metrics: MetricsLog, part: str) -> dict[str, int]:
    """The offsets of the tables of a part; without a part, those of all."""
    begins = table_of(part, "")
    return {name: offset for name, offset in metrics.offsets.items() if name.startswith(begins)}


def resume_together(run: Run, *trainings: Training[Any]) -> MetricsLog:
    """Let several trainings of a run take over their checkpoints; returns the run's log.

    Each has a `part` of its own, takes turns with the others, and saves at the end of its turn: so
    all but one stand at the end of a turn, wherever the run was stopped, and each table is cut to
    what the checkpoint of its own training saw. Tables that belong to no part are emptied.
    """
    parts = [training.part for training in trainings]
    assert all(parts) and len(set(parts)) == len(parts), parts
    offsets: dict[str, int] = {}
    for training in trainings:
        offsets |= training.resume(run) or {}
    return run.metrics(offsets)
