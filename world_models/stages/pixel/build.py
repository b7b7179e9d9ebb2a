"""What is trained: model, optimizer, schedules; minutes are turned into steps."""

import copy
import logging
import time
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from world_models.data.store import EpisodeStore
from world_models.envs.spec import EnvSpec
from world_models.measures.pixel_baselines import Baselines
from world_models.models.pixel import PixelModel
from world_models.models.pixel_unet import PixelUNet
from world_models.models.pixel_world_model import PixelWorldModel
from world_models.runs import ranks, seeding
from world_models.runs.checkpoint import load_checkpoint
from world_models.runs.device import Device, compile_on_gpu, place
from world_models.runs.parsing import damaged
from world_models.runs.progress import tracked
from world_models.runs.resuming import Progress
from world_models.runs.run import Run
from world_models.runs.schedule import Best, Phase, warmup_cosine
from world_models.runs.training import Average, Training, adamw
from world_models.stages.pixel.config import Architecture, PixelConfig
from world_models.stages.pixel.learning import loss_terms, noise_draw, phase_batches

log = logging.getLogger(__name__)


TIMED = 4
"""Steps of each phase that are timed, after two that are not, to turn minutes into steps."""


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
    given |= {"head": cfg.head, "rewards": cfg.rewards, "ends": cfg.ends}
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
        for step, (part, batch) in enumerate(phase_batches(cfg, run, store, phase, 0)):
            draw = noise_draw(run, step)
            loss, _ = loss_terms(cfg, run.device, space, trial, batch, draw, part)
            optimizer.zero_grad()
            loss.backward()
            ranks.averaged(trial, {}, part.share)
            optimizer.step()
            if run.device is Device.cuda:
                torch.cuda.synchronize()
            clock.append(time.monotonic())
        seconds += share / sum(cfg.unroll_shares) * (clock[-1] - clock[-1 - TIMED]) / TIMED
    found = max(1, round(60 * cfg.minutes / seconds))
    return ranks.from_first(lambda: found)
