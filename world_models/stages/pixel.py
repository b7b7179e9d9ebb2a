"""Stage pixel: train a model that predicts the next frame from the last ones and the actions."""

import copy
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch.nn import functional

from world_models.config.stage import Product, Setting, Stage
from world_models.data.batch import SequenceBatch
from world_models.data.datasets import ObservationDataset, SequenceDataset
from world_models.data.episode import TERMINATED
from world_models.data.loading import (
    DataConfig,
    endless_batches,
    loader,
    upstream_episodes,
    watched_split,
)
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import PixelWindows, model_actions
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import MIN_FRAME_SIZE
from world_models.envs.spec import EnvSpec
from world_models.losses import PixelLoss, masked_mean, pixel_error, shift_error
from world_models.measures import calibration, pixel_heads
from world_models.measures.pixel import frames_of, horizon_rows, log_line, pixel_errors
from world_models.measures.pixel_baselines import FADE_WINDOWS, Baselines, fitted_baselines
from world_models.measures.pixel_pictures import save_rollout_plot, save_rollout_video, save_strip
from world_models.measures.rows import PixelRow
from world_models.measures.vision_baselines import Sample, mean_picture
from world_models.models.motion import FARTHEST_SHIFTS, motion
from world_models.models.pixel import (
    LEAST_GROUP_CHANNELS,
    Head,
    PixelModel,
    PixelPrediction,
    roll_out,
)
from world_models.models.pixel_unet import FOLD_FACTOR, PixelUNet
from world_models.models.pixel_world_model import SMALLEST_PICTURE, PixelWorldModel, narrowest
from world_models.runs import seeding
from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.device import Device, Precision, autocast, compile_on_gpu, place
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import require_below_one, require_not_negative, require_positive
from world_models.runs.parsing import damaged
from world_models.runs.progress import ProgressBar, tracked
from world_models.runs.resuming import Progress
from world_models.runs.rows import cells
from world_models.runs.run import RUNTIME, Run
from world_models.runs.schedule import Best, Every, Phase, phases, warmup_cosine
from world_models.runs.training import Average, Training, adamw

log = logging.getLogger(__name__)

MANY_WINDOWS, MANY_LEVELS = 256, 64
"""Fewer to be judged on give figures of little weight."""
TIMED = 4
"""Steps of each phase that are timed, after two that are not, to turn minutes into steps."""


class Architecture(Enum):
    """Which model is trained."""

    pixel_unet = "pixel_unet"
    pixel_world_model = "pixel_world_model"


@dataclass
class PixelConfig:
    """Training lasts `max_steps`, or as many steps as fit into `minutes`.

    The rate is measured once, before the first step; judging comes on top. A step is on
    `data.batch_size` predicted frames: where a phase of the curriculum rolls the model on for n
    frames, on an n-th as many windows. The loss of a rollout is the mean over its frames.
    """

    model: Architecture = Architecture.pixel_unet
    head: Head = Head.advect  # of pixel_unet, as are the next two
    widths: list[int] = field(default_factory=lambda: [24, 48, 64])
    condition: int = 128
    # of pixel_unet: heads for the reward and the end of the episode, without which a dream has
    # neither
    rewards: bool = False
    ends: bool = False
    action_embed_dim: int = 64  # of pixel_world_model, as is the next one
    width_mult: float = 1.0
    n_past_frames: int = 4
    n_past_actions: int = 4  # the last of them leads to the predicted frame
    image_size: int | None = None  # frames are resized to it; null: as stored
    grayscale: bool = False
    data: DataConfig = field(default_factory=DataConfig)
    loss: PixelLoss = PixelLoss.huber
    delta: float = 0.05  # of the Huber loss
    # of the reward's squared error and the end's cross-entropy, beside the frames' loss
    reward_weight: float = 0.01
    end_weight: float = 0.01
    motion_weight: float = 0.001  # of the cross-entropy of the head `advect`'s shifts
    unroll: list[int] = field(default_factory=lambda: [1, 4, 8])
    unroll_shares: list[float] = field(default_factory=lambda: [0.6, 0.2, 0.2])
    context_noise: float = 0.05  # standard deviation at most, drawn for each window
    max_steps: int | None = 2000
    minutes: float | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.05  # of the steps
    grad_clip: float = 1.0
    ema_decay: float = 0.999
    precision: Precision = Precision.auto
    compile: bool = field(default=True, metadata=RUNTIME)  # torch.compile, on cuda only
    log_every: int = 100
    val_every_steps: int = 1000
    val_windows: int = 256
    val_rollout_horizon: int = 32
    val_rollout_fps: int = field(default=10, metadata=RUNTIME)
    checkpoint_interval: int = field(default=200, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive(
            "stage",
            self,
            "condition",
            "action_embed_dim",
            "width_mult",
            "n_past_frames",
            "image_size",
        )
        require_positive(
            "stage",
            self,
            "n_past_actions",
            "delta",
            "max_steps",
            "minutes",
            "learning_rate",
            "log_every",
        )
        require_positive(
            "stage",
            self,
            "val_every_steps",
            "val_windows",
            "val_rollout_horizon",
            "val_rollout_fps",
        )
        require_positive("stage", self, "checkpoint_interval")
        require_not_negative(
            "stage", self, "reward_weight", "end_weight", "motion_weight", "context_noise"
        )
        require_not_negative("stage", self, "weight_decay", "grad_clip")
        require_below_one("stage", self, "warmup", "ema_decay")
        if (self.max_steps is None) == (self.minutes is None):
            raise ValueError(
                "give one of stage.max_steps and stage.minutes, and set the other to null"
            )
        self._check_curriculum()
        self._check_model()

    def _check_curriculum(self) -> None:
        if not self.unroll or len(self.unroll) != len(self.unroll_shares):
            raise ValueError(
                "stage.unroll and stage.unroll_shares must be lists of equal length, not empty"
            )
        if min(self.unroll) < 1 or min(self.unroll_shares) <= 0:
            raise ValueError(
                "every entry of stage.unroll must be 1 or more, and every one of unroll_shares "
                "above 0"
            )

    def _check_model(self) -> None:
        if self.n_past_actions > self.n_past_frames:
            raise ValueError(
                f"stage.n_past_actions is {self.n_past_actions}, and only the actions of the last "
                f"{self.n_past_frames} frames are known"
            )
        if not self.widths or any(width < 4 or width % 4 for width in self.widths):
            raise ValueError(
                f"stage.widths is {self.widths}; every entry must be a multiple of 4, above 0"
            )
        if narrowest(self.width_mult) < LEAST_GROUP_CHANNELS:
            raise ValueError(
                f"stage.width_mult={self.width_mult} leaves layers of fewer than "
                f"{LEAST_GROUP_CHANNELS} channels: set it higher"
            )
        if self.image_size is not None and self.image_size < MIN_FRAME_SIZE:
            raise ValueError(
                f"stage.image_size is {self.image_size}; it must be at least {MIN_FRAME_SIZE}"
            )
        if self.model is Architecture.pixel_world_model and (self.rewards or self.ends):
            raise ValueError("stage.rewards and stage.ends are for stage.model=pixel_unet")

    @property
    def view(self) -> View:
        """How stored frames are seen."""
        return View(self.image_size, self.grayscale)


def resolve(cfg: PixelConfig, setting: Setting) -> PixelConfig:
    """The same; keys for a GPU that is not there, and pictures of a wrong size, are refused."""
    cfg.data.check(setting.env, setting.device)
    size = cfg.image_size or setting.env.preprocessing.size
    if cfg.model is Architecture.pixel_unet and size % FOLD_FACTOR:
        raise ValueError(
            f"stage.model=pixel_unet takes pictures with an even side, not {size}: "
            "set stage.image_size"
        )
    if cfg.model is Architecture.pixel_world_model and size < SMALLEST_PICTURE:
        raise ValueError(
            f"stage.model=pixel_world_model takes pictures of at least {SMALLEST_PICTURE} pixels, "
            f"not {size}: set stage.image_size"
        )
    return cfg


@dataclass(frozen=True)
class Judged:
    """What every validation looks at."""

    # of which split it is
    split: str
    windows: PixelWindows
    # what can be guessed of the windows without a model
    baselines: Baselines
    # on which heads are judged, where the model has any
    steps: pixel_heads.HeldOutSteps | None


def execute(cfg: PixelConfig, run: Run) -> None:
    """Train on the upstream episodes' train split; leaves `best.pt` and how good it is."""
    store = upstream_episodes(run, cfg.data.val_ratio)
    judged = open_judged(cfg, run, store)
    training = build(cfg, run, store, judged.baselines)
    metrics = run.metrics(training.resume(run))
    if not run.last.is_file():
        training.save(run, metrics)
    steps = training.facts["total_steps"]
    with ProgressBar("pixel", steps, training.step, "frames") as bar:
        for phase in phases(cfg.unroll, cfg.unroll_shares, steps):
            train_phase(cfg, run, training, store, phase, judged, metrics, bar)


def open_judged(cfg: PixelConfig, run: Run, store: EpisodeStore) -> Judged:
    """The watched windows and the baselines; that there are few windows or levels is said."""
    space = run.env.action_space
    horizon = cfg.val_rollout_horizon
    split = watched_split(store, "windows")

    def windows(split: str, count: int) -> PixelWindows:
        data = SequenceDataset(store, split, cfg.n_past_frames - 1 + horizon)
        return PixelWindows(data, cfg.n_past_frames, count, space, cfg.view)

    mean = mean_picture(Sample(ObservationDataset(store, "train"), run.seed))
    seen = cfg.view((mean * 255).round().byte()[None], "cpu")[0]
    watched = windows(split, cfg.val_windows)
    levels = len(set(watched.levels.tolist()))
    if len(watched) < MANY_WINDOWS or levels < MANY_LEVELS:
        log.warning(
            "judged on %d windows of %d levels only: for figures to publish have %d windows and "
            "%d levels",
            len(watched),
            levels,
            MANY_WINDOWS,
            MANY_LEVELS,
        )
    steps = None
    if cfg.rewards or cfg.ends:
        steps = pixel_heads.HeldOutSteps.of(store, split, cfg.n_past_frames, space, cfg.view)
    return Judged(split, watched, fitted_baselines(windows("train", FADE_WINDOWS), seen), steps)


def build(
    cfg: PixelConfig, run: Run, store: EpisodeStore, baselines: Baselines
) -> Training[PixelModel]:
    """Model, optimizer and schedules at step 0; minutes are turned into steps here, once."""
    with seeding.seeded_weights(run.seed, "pixel", "weights"):
        model = make_model(cfg, run.env)
    model = place(model, run.device)
    if run.last.is_file():
        steps = total_steps_of(cfg, run.last)
    else:
        steps = cfg.max_steps or steps_in(cfg, run, model, store)
    log.info(
        "%s of %d weights, %d steps",
        cfg.model.value,
        sum(weight.numel() for weight in model.parameters()),
        steps,
    )
    average = Average(model, cfg.ema_decay)
    if cfg.compile:
        compile_on_gpu(model, run.device)
    optimizer = adamw(model, cfg.learning_rate, cfg.weight_decay)
    facts: dict[str, Any] = {
        "architecture": cfg.model.value,
        "env": run.env.to_dict(),
        "view": cfg.view.to_dict(),
        "total_steps": steps,
    }
    facts |= {
        "val_ratio": cfg.data.val_ratio,
        "baselines": {"mean": baselines.mean, "fade": baselines.fade},
    }
    scheduler = warmup_cosine(optimizer, steps, cfg.warmup)
    return Training(
        "pixel", model, optimizer, scheduler, Best(), cfg.log_every, average=average, facts=facts
    )


class _Planned(Progress):
    total_steps: int = Field(ge=1, lt=1 << 62)


def total_steps_of(cfg: PixelConfig, last: Path) -> int:
    """How many steps a training that is resumed was planned for."""
    state = load_checkpoint(last, "pixel", fields=_Planned)
    steps: int = state["total_steps"]
    if state["step"] > steps or cfg.max_steps not in (None, steps):
        raise damaged(last, f"total_steps is {steps} at step {state['step']}")
    return steps


def make_model(cfg: PixelConfig, spec: EnvSpec) -> PixelModel:
    """The untrained model that the configuration names."""
    given: dict[str, Any] = {"img_channels": cfg.view.channels(spec.preprocessing.channels)}
    given |= {
        "action_size": spec.action_space.size,
        "context": cfg.n_past_frames,
        "past_actions": cfg.n_past_actions,
    }
    if cfg.model is Architecture.pixel_world_model:
        return PixelWorldModel(
            **given, action_embed_dim=cfg.action_embed_dim, width_mult=cfg.width_mult
        )
    given |= {"head": cfg.head.value, "rewards": cfg.rewards, "ends": cfg.ends}
    return PixelUNet(**given, widths=cfg.widths, condition=cfg.condition)


def steps_in(cfg: PixelConfig, run: Run, model: PixelModel, store: EpisodeStore) -> int:
    """How many steps fit into `cfg.minutes`: a copy of the model is timed in each phase."""
    assert cfg.minutes is not None
    trial = copy.deepcopy(model)
    seconds = 0.0
    space = run.env.action_space
    if cfg.compile:
        compile_on_gpu(trial, run.device)
    optimizer = adamw(trial, cfg.learning_rate, cfg.weight_decay)
    shares = enumerate(cfg.unroll_shares)
    for number, share in tracked("time a step", shares, len(cfg.unroll), "phases"):
        phase = Phase(cfg.unroll[number], 0, 2 + TIMED)
        clock = [time.monotonic()]
        for step, batch in enumerate(phase_batches(cfg, run, store, phase, 0)):
            loss, _ = loss_terms(cfg, run.device, space, trial, batch, noise_draw(run, step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if run.device is Device.cuda:
                torch.cuda.synchronize()
            clock.append(time.monotonic())
        seconds += share / sum(cfg.unroll_shares) * (clock[-1] - clock[-1 - TIMED]) / TIMED
    return max(1, round(60 * cfg.minutes / seconds))


def phase_batches(
    cfg: PixelConfig, run: Run, store: EpisodeStore, phase: Phase, start: int
) -> Iterator[SequenceBatch]:
    """The training windows of a phase's steps, from its step `start` on."""
    data = SequenceDataset(store, "train", cfg.n_past_frames - 1 + phase.unroll)
    windows = max(1, cfg.data.batch_size // phase.unroll)
    order = endless_batches(len(data), windows, seed=run.seed, start=start)
    yield from loader(cfg.data, data, islice(order, phase.last - phase.first - start))


def train_phase(
    cfg: PixelConfig,
    run: Run,
    training: Training[PixelModel],
    store: EpisodeStore,
    phase: Phase,
    judged: Judged,
    metrics: MetricsLog,
    bar: ProgressBar,
) -> None:
    """What is left of one phase of the curriculum."""
    if training.step >= phase.last:
        return
    total = training.facts["total_steps"]
    log_now = Every(cfg.log_every, last=total)
    judge_now = Every(cfg.val_every_steps, last=total)
    save_now = Every(cfg.checkpoint_interval)
    model = training.model.train()
    space = run.env.action_space
    for batch in phase_batches(cfg, run, store, phase, training.step - phase.first):
        draw = noise_draw(run, training.step)
        loss, terms = loss_terms(cfg, run.device, space, model, batch, draw)
        unroll = loss.new_tensor(float(phase.unroll))
        training.epoch = training.step * cfg.data.batch_size // store.num_frames("train")
        training.update(loss, {"loss": loss, **terms, "unroll": unroll}, metrics, cfg.grad_clip)
        bar.advance(1, len(batch.frames) * phase.unroll, _frames_ahead(phase.unroll))
        step = training.step
        if step == total:
            training.write_window(metrics)
        if log_now(step):
            training.write_timing(metrics, cfg.data.batch_size)
            show(run, training, judged, metrics, "train")
        if judge_now(step):
            validate(cfg, run, training, judged, metrics)
        if judge_now(step) or save_now(step):
            training.save(run, metrics)
        if log_now(step) or judge_now(step):
            training.start_clock()


def _frames_ahead(count: int) -> str:
    return f"learning {count} frame{'s' * (count > 1)} ahead"


def noise_draw(run: Run, step: int) -> torch.Generator:
    """What draws the noise on the context in a step."""
    return seeding.torch_generator(run.seed, "pixel", "noise", step, device=run.device.value)


def loss_terms(
    cfg: PixelConfig,
    device: Device,
    space: ActionSpace,
    model: PixelModel,
    batch: SequenceBatch,
    draw: torch.Generator,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a batch of windows, rolled on open loop, and its terms."""
    known = cfg.n_past_frames - 1
    frames = cfg.view(batch.frames, device.value)
    truth = frames[:, known + 1 :]
    context = noisy(frames[:, : known + 1], cfg.context_noise, draw)
    with autocast(cfg.precision, device):
        found = roll_out(model, context, model_actions(space, batch.actions, device.value))
    shown = frames_of(found)
    mask = batch.next_mask[:, known:].to(device.value, non_blocking=True)
    loss = masked_mean(pixel_error(shown, truth, cfg.loss, cfg.delta), mask)
    terms = {"mse": masked_mean((shown.detach() - truth).square().flatten(2).mean(2), mask)}
    shifts = [one.shifts for one in found if one.shifts is not None]
    if shifts:
        terms["motion"] = masked_mean(
            shift_error(torch.stack(shifts, 1), motion(frames[:, known:]), FARTHEST_SHIFTS), mask
        )
        loss = loss + cfg.motion_weight * terms["motion"]
    for name, weight, error in heads_errors(cfg, found, batch, known, device.value):
        terms[name] = masked_mean(error, batch.mask[:, known:].to(device.value))
        loss = loss + weight * terms[name]
    return loss, {name: term.detach() for name, term in terms.items()}


def noisy(context: torch.Tensor, most: float, draw: torch.Generator) -> torch.Tensor:
    """context (B, k, C, H, W) with Gaussian noise; each window draws a strength up to `most`."""
    if not most:
        return context
    level = most * torch.rand(len(context), 1, 1, 1, 1, generator=draw, device=context.device)
    noise = torch.randn(context.shape, generator=draw, device=context.device)
    return (context + level * noise).clamp_(0, 1)


def heads_errors(
    cfg: PixelConfig, found: list[PixelPrediction], batch: SequenceBatch, known: int, device: str
) -> Iterator[tuple[str, float, torch.Tensor]]:
    """Name, weight and errors (B, T) of each head that there is.

    Reward: squared error. End: cross-entropy in nats.
    """
    rewards = [one.reward for one in found if one.reward is not None]
    if rewards:
        yield (
            "reward_mse",
            cfg.reward_weight,
            (torch.stack(rewards, 1) - batch.rewards[:, known:].to(device)).square(),
        )
    ends = [one.done for one in found if one.done is not None]
    if ends:
        target = (batch.done[:, known:] == TERMINATED).float().to(device)
        logits = torch.stack(ends, 1)
        yield (
            "end_bce",
            cfg.end_weight,
            functional.binary_cross_entropy_with_logits(logits, target, reduction="none"),
        )


def show(
    run: Run, training: Training[PixelModel], judged: Judged, metrics: MetricsLog, when: str
) -> None:
    """A picture of what the model predicts for a few held-out windows, one frame ahead."""
    path = run.path / "images" / f"{when}_step_{training.step:08d}.png"
    save_strip(path, training.judged, judged.windows, run.device.value)
    metrics.picture(when, path)


def validate(
    cfg: PixelConfig, run: Run, training: Training[PixelModel], judged: Judged, metrics: MetricsLog
) -> None:
    """Judge the averaged weights on the fixed windows: tables, plot and video; keep the best."""
    model = training.judged
    name = f"val_rollout_step_{training.step:08d}"

    def loss(frames: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return pixel_error(frames, truth, cfg.loss, cfg.delta)

    errors = pixel_errors(model, judged.windows, judged.baselines, run.device.value, loss)
    rows = horizon_rows(errors)
    for ahead in rows:
        placed = replace(ahead, step=training.step, split=judged.split)
        metrics.write("val_rollout_metrics", placed)
    first = rows[0]
    row = PixelRow(
        step=training.step,
        val_loss=float(errors.loss[:, 0].mean()),
        val_mse=first.mse,
        val_psnr=first.psnr,
        val_ssim=first.ssim,
        copy_mse=first.copy_mse,
        copy_psnr=first.copy_psnr,
    )
    metrics.write("val_metrics", row)
    log.info("step %d: %s", training.step, log_line(rows))
    validate_heads(run, training, judged, metrics)
    save_rollout_plot(run.path / "plots" / f"{name}.png", rows)
    show(run, training, judged, metrics, "val")
    save_rollout_video(
        run.path / "videos" / f"{name}.mp4",
        model,
        judged.windows,
        run.device.value,
        cfg.val_rollout_fps,
    )
    watched = float(errors.squares["model"].mean())
    if training.stopper.update(watched):
        validation = {name: value for name, value in cells(row).items() if name.startswith("val_")}
        training.save_best(run, validation)
    model.train()


def validate_heads(
    run: Run, training: Training[PixelModel], judged: Judged, metrics: MetricsLog
) -> None:
    """Judge the heads for reward and end, where the model has any."""
    if judged.steps is None:
        return
    _, scores = pixel_heads.judge_heads(training.judged, judged.steps, run.device.value)
    for score in scores:
        metrics.write("val_head_scores", replace(score, step=training.step, split=judged.split))
    log.info("%s", calibration.log_line(scores))


STAGE = Stage(
    "pixel",
    PixelConfig,
    execute,
    needs=("rollout",),
    gives=Product("pixel", "checkpoints/best.pt"),
    resolve=resolve,
    evaluated_by="evaluate",
)
