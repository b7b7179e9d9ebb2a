"""Stage pixel: train a model that predicts the next frame from the last ones and the actions."""

from world_models.config.stage import Product, Stage
from world_models.data.loading import upstream_episodes
from world_models.data.store import EpisodeStore
from world_models.measures.rows import HeadScore, HorizonRow, PixelRow, PixelStepRow
from world_models.models.pixel import PixelModel
from world_models.runs import ranks
from world_models.runs.metrics import MetricsLog
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import TimingRow
from world_models.runs.run import Run
from world_models.runs.schedule import Every, Phase, phases
from world_models.runs.training import Training
from world_models.stages.pixel.build import build
from world_models.stages.pixel.config import PixelConfig, resolve, shared_out
from world_models.stages.pixel.learning import loss_terms, noise_draw, phase_batches
from world_models.stages.pixel.watching import Judged, open_judged, show, validate


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
    for part, batch in phase_batches(cfg, run, store, phase, training.step - phase.first):
        draw = noise_draw(run, training.step)
        loss, terms = loss_terms(cfg, run.device, space, model, batch, draw, part)
        unroll = loss.new_tensor(float(phase.unroll))
        training.epoch = training.step * cfg.data.batch_size // store.num_frames("train")
        values = {"loss": loss, **terms, "unroll": unroll}
        training.update(loss, values, metrics, cfg.grad_clip, part.share)
        bar.advance(1, part.total * phase.unroll, _frames_ahead(phase.unroll))
        step = training.step
        if step == total:
            training.write_window(metrics)
        if log_now(step):
            training.write_timing(metrics, cfg.data.batch_size)
            if ranks.is_first():
                show(run, training, judged, metrics, "train")
        if judge_now(step) and ranks.is_first():
            validate(cfg, run, training, judged, metrics)
        if judge_now(step) or save_now(step):
            training.save(run, metrics)
        if log_now(step) or judge_now(step):
            training.start_clock()


def _frames_ahead(count: int) -> str:
    return f"learning {count} frame{'s' * (count > 1)} ahead"


STAGE = Stage(
    "pixel",
    PixelConfig,
    execute,
    needs=("rollout",),
    gives=Product("pixel", "checkpoints/best.pt"),
    tables={
        "metrics": PixelStepRow,
        "val_metrics": PixelRow,
        "val_rollout_metrics": HorizonRow,
        "val_head_scores": HeadScore,
        "timing": TimingRow,
    },
    resolve=resolve,
    shared_out=shared_out,
    evaluated_by="evaluate",
    played_in="pixel",
)
