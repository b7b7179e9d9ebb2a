"""The columns of every table that a measure or a stage writes and a page reads.

With them go the words that stand above them.
"""

from dataclasses import dataclass

from world_models.runs.rows import column


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """metrics.csv of a stage that trains; after these columns come the terms of its loss."""

    step: int
    epoch: int
    lr: float
    loss: float = column("Loss")
    # where gradients are clipped
    grad_norm: float | None = column("Norm of the gradient before clipping", default=None)


@dataclass(frozen=True, kw_only=True)
class ValidationRow:
    """val_metrics.csv of a stage that trains in epochs.

    A row that is not written yet has no epoch and no step.
    """

    epoch: int | None = None
    step: int | None = None
    loss: float = column("Loss")


@dataclass(frozen=True, kw_only=True)
class VisionRow(ValidationRow):
    """val_metrics.csv of V: the terms of its loss in nats per frame, its pictures, its latents."""

    reconstruction: float = column("Reconstruction error per frame")
    kl: float = column("KL divergence per frame")
    psnr: float = column("PSNR of held-out frames, dB")
    psnr_moving: float = column("PSNR of the pixels that move, dB")
    # number of latents whose posterior mean varies over frames
    active: int
    # share of the latents that say nothing
    at_floor: float


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """baselines.csv of V: what a way to draw held-out frames loses."""

    name: str
    # 0 for the mean image
    components: int
    mse: float
    # dB
    psnr: float
    psnr_moving: float


@dataclass(frozen=True, kw_only=True)
class BlobRow:
    """blobs.csv of V: what a way to draw held-out frames keeps of the bright things that move."""

    name: str
    # sizes of the blobs, in pixels
    pixels: str
    # of the frames, and the share that is in what was drawn
    blobs: int
    recall: float
    # blobs of what was drawn, and the share that is in the frames
    drawn: int
    precision: float


@dataclass(frozen=True, kw_only=True)
class MemoryRow(ValidationRow):
    """val_metrics.csv of M: the terms of its loss, means over steps."""

    gmm: float = column("Next z: negative log-likelihood")
    bce: float = column("End of episode: cross-entropy")
    mse: float = column("Reward: squared error")


@dataclass(frozen=True, kw_only=True)
class LikelihoodRow:
    """likelihood.csv: how likely the next latent was to a model, over all pairs of the episodes."""

    name: str
    nats: float
    bits_per_dim: float
    # bits per dimension more than M, with its 95 % interval
    worse: float
    low: float
    high: float
    pairs: int
    episodes: int
    split: str
    # that a baseline reads; 0: none, or no fixed number. Earlier tables do not say
    frames: int | None = None


KINDS = ("usual", "rare")
"""Of held-out frames, beside the first episodes of a store that was extended."""
MODELS = ("before", "after")
"""Of a model that goes on from another's weights: the other, and itself."""


@dataclass(frozen=True, kw_only=True)
class RareVisionRow:
    """rare.csv of a V that goes on with more episodes."""

    model: str
    kind: str
    frames: int
    # dB
    psnr: float


@dataclass(frozen=True, kw_only=True)
class RareMemoryRow:
    """rare.csv of an M that goes on with more episodes."""

    model: str
    kind: str
    # whose latent was to be predicted
    frames: int
    # per dimension, above V's own uncertainty
    bits: float


PREDICTORS = ("mean", "sampled", "copy", "marginal", "seen")
"""What guesses the frames ahead.

mean, sampled: M, feeding back its mean, or one sample. copy: the last true frame. marginal: the
mean of all training frames, the same at every horizon. seen: V's picture of the true frame itself.
"""
OPEN_LOOP_SHOWN = (1, 5, 15, 50)
"""Steps ahead that tables and logs show."""


@dataclass(frozen=True, kw_only=True)
class OpenLoopRow:
    """open_loop.csv: errors of a predictor `horizon` steps ahead.

    Beside them stand their ratios to copy's, with 95 % intervals over episodes. Latents are judged
    from `starts` places, pictures from `pixel_starts` (in tables of earlier versions: as many).
    """

    predictor: str
    horizon: int
    starts: int
    pixel_starts: int | None = None
    episodes: int
    latent_mse: float = column("Open loop: squared error of z")
    latent_ratio: float
    latent_low: float
    latent_high: float
    pixel_mse: float
    pixel_ratio: float
    pixel_low: float
    pixel_high: float
    psnr: float = column("Open loop: PSNR of the picture, dB")


QUANTITIES = {
    "done": "End of episode: how often it comes",
    "reward": "Reward: predicted and actual",
}
"""What heads predict."""


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """calibration.csv: predictions of a quantity from `start` to `stop`, beside what followed.

    What followed has its 95 % interval.
    """

    split: str | None = None
    quantity: str
    start: float = column(name="from")
    stop: float = column(name="to")
    count: int
    predicted: float
    observed: float
    low: float
    high: float


HEAD_SCORES = {
    "done_brier": "End of episode: Brier score, lower is better",
    "done_auroc": "End of episode: area under the ROC curve",
    "reward_mse": "Reward: squared error",
    "reward_r2": "Reward: R²",
}


@dataclass(frozen=True, kw_only=True)
class HeadScore:
    """calibration_scores.csv, val_head_scores.csv: a score beside its baseline.

    The baseline always says the training mean.
    """

    step: int | None = None
    split: str | None = None
    name: str
    value: float
    baseline: float


@dataclass(frozen=True, kw_only=True)
class EndRow:
    """ends.csv: what a rule by which M's dreams may end does on steps and episodes held out.

    Recall stands beside that of a rule that ends as many steps, any of them, and precision beside
    the share of steps that end.
    """

    split: str
    # the probability above which a step ends, or "drawn": with its probability
    rule: str
    steps: int
    ends: int
    # steps that the rule ends; of those drawn, as many as are expected
    ended: float
    recall: float
    recall_chance: float
    precision: float
    precision_chance: float
    # mean steps of dreams from the first frames of episodes, with their actions, and theirs
    episodes: int
    dream_length: float
    real_length: float


GUESSES = ("copy", "mean", "fade")
"""Of the next frames, without a model."""
HORIZONS_SHOWN = (1, 2, 4, 8, 16, 32)
"""Frames ahead that tables and logs show."""


@dataclass(frozen=True, kw_only=True)
class HorizonRow:
    """rollout_metrics.csv, val_rollout_metrics.csv: a next-frame model beside the guesses.

    Each row is of so many frames ahead.
    """

    step: int | None = None
    split: str | None = None
    horizon: int
    # windows, and levels (or episodes) that they are from
    n: int
    levels: int
    mse: float = column("Mean squared error")
    # of the pooled error
    psnr: float = column("PSNR, dB")
    ssim: float = column("SSIM")
    # mean over windows, no more than 60 dB each
    psnr_per_image: float
    copy_mse: float
    copy_psnr: float
    copy_ssim: float
    mean_mse: float
    mean_psnr: float
    mean_ssim: float
    fade_mse: float
    fade_psnr: float
    fade_ssim: float
    # 1 - error / a guess's error, with 95 % intervals over levels
    skill_copy: float
    skill_copy_low: float
    skill_copy_high: float
    skill_mean: float
    skill_mean_low: float
    skill_mean_high: float
    skill_fade: float
    skill_fade_low: float
    skill_fade_high: float
    # beside the guess with the smallest error
    skill_best: float
    # share of the windows that beat the copy, ties counted half
    win_rate: float
    shuffled_action_mse: float
    # what the true actions are worth, dB
    delta_psnr: float


@dataclass(frozen=True, kw_only=True)
class PixelStepRow(StepRow):
    """metrics.csv of a next-frame model, or of the autoencoder, which is not rolled on."""

    grad_norm: float | None = column("Gradient norm before clipping", default=None)
    unroll: float | None = column("Frames rolled on in training", default=None)


@dataclass(frozen=True, kw_only=True)
class PixelRow:
    """val_metrics.csv of a next-frame model, one frame ahead."""

    step: int | None = None
    val_loss: float = column("Loss")
    val_mse: float
    val_psnr: float
    val_ssim: float
    copy_mse: float
    copy_psnr: float


@dataclass(frozen=True, kw_only=True)
class AutoencoderRow:
    """val_metrics.csv of the autoencoder, beside the mean image."""

    step: int | None = None
    val_loss: float = column("Loss")
    val_recon_loss: float = column("Reconstruction: Huber's loss")
    val_var_reg_loss: float
    val_mse: float
    val_psnr: float = column("PSNR of held-out frames, dB")
    val_ssim: float
    val_latent_var: float = column("Variance of the latents")
    val_latent_mean_norm: float
    mean_mse: float
    mean_psnr: float
