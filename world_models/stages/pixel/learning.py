"""The windows of a step, and the loss on them."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch.nn import functional

from world_models.data.batch import SequenceBatch
from world_models.data.datasets import SequenceDataset
from world_models.data.episode import TERMINATED
from world_models.data.loading import endless_batches, loader
from world_models.data.store import EpisodeStore
from world_models.data.windows import model_actions
from world_models.envs.actions import ActionSpace
from world_models.losses import Counts, masked_mean, pixel_error, shift_error
from world_models.measures.pixel import frames_of
from world_models.models.motion import FARTHEST_SHIFTS, motion
from world_models.models.pixel import PixelModel, PixelPrediction, roll_out
from world_models.runs import ranks, seeding
from world_models.runs.device import Device, autocast
from world_models.runs.run import Run
from world_models.runs.schedule import Phase
from world_models.stages.pixel.config import PixelConfig, windows_of


def phase_batches(
    cfg: PixelConfig, run: Run, store: EpisodeStore, phase: Phase, start: int
) -> Iterator[tuple[ranks.Part, SequenceBatch]]:
    """The training windows of a phase's steps, from its step `start` on.

    Those of this process, and which of a step's they are.
    """
    data = SequenceDataset(store, "train", cfg.n_past_frames - 1 + phase.unroll)
    windows = windows_of(cfg, phase.unroll)
    order = endless_batches(len(data), windows, seed=run.seed, start=start)
    part = ranks.part(min(windows, len(data)))
    own = (indices[part.rows] for indices in islice(order, phase.last - phase.first - start))
    for batch in loader(cfg.data, data, own):
        yield part, batch


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
    part: ranks.Part | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a batch of windows, rolled on open loop, and its terms.

    The windows are a `part` of a batch; None: all of it.
    """
    known = cfg.n_past_frames - 1
    frames = cfg.view(batch.frames, device.value)
    truth = frames[:, known + 1 :]
    context = noisy(frames[:, : known + 1], cfg.context_noise, draw, part)
    with autocast(cfg.precision, device):
        found = roll_out(model, context, model_actions(space, batch.actions, device.value))
    shown = frames_of(found)
    mask = batch.next_mask[:, known:].to(device.value, non_blocking=True)
    counts = _counts(batch, known, part)
    loss = masked_mean(pixel_error(shown, truth, cfg.loss, cfg.delta), mask, counts[1])
    squares = (shown.detach() - truth).square().flatten(2).mean(2)
    terms = {"mse": masked_mean(squares, mask, counts[1])}
    shifts = [one.shifts for one in found if one.shifts is not None]
    if shifts:
        moved = shift_error(torch.stack(shifts, 1), motion(frames[:, known:]), FARTHEST_SHIFTS)
        terms["motion"] = masked_mean(moved, mask, counts[1])
        loss = loss + cfg.motion_weight * terms["motion"]
    for name, weight, error in heads_errors(cfg, found, batch, known, device.value):
        terms[name] = masked_mean(error, batch.mask[:, known:].to(device.value), counts[0])
        loss = loss + weight * terms[name]
    return loss, {name: term.detach() for name, term in terms.items()}


def _counts(batch: SequenceBatch, known: int, part: ranks.Part | None) -> Counts:
    """For `masked_mean`: of mask and next_mask, behind the known frames."""
    if part is None:
        return (None, None)
    return part.counts(batch.mask[:, known:], batch.next_mask[:, known:])


def noisy(
    context: torch.Tensor, most: float, draw: torch.Generator, part: ranks.Part | None = None
) -> torch.Tensor:
    """context (B, k, C, H, W) with Gaussian noise; each window draws a strength up to `most`.

    The windows are a `part` of a batch; None: all of it.
    """
    if not most:
        return context
    part = part or ranks.whole(len(context))
    level = most * torch.rand(part.total, 1, 1, 1, 1, generator=draw, device=context.device)
    shape = (part.total, *context.shape[1:])
    noise = torch.randn(shape, generator=draw, device=context.device)
    return (context + level[part.rows] * noise[part.rows]).clamp_(0, 1)


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
