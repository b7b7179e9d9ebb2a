"""The columns of every table that a measure or a stage writes and a page reads.

With them go the words that stand above them.
"""

from dataclasses import dataclass

from world_models.runs.rows import column


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """metrics.csv of a stage that trains; after these columns come the terms of its loss."""

    # updates of the weights so far
    step: int
    # of training, from 0
    epoch: int
    # learning rate of the optimizer [1]
    lr: float
    # what training makes small, as all that follows the mean since the last row [of its terms]
    loss: float = column("Loss")
    # norm of the gradient before it was clipped, where it is [1]
    grad_norm: float | None = column("Norm of the gradient before clipping", default=None)


@dataclass(frozen=True, kw_only=True)
class ValidationRow:
    """val_metrics.csv of a stage that trains in epochs.

    A row that is not written yet has no epoch and no step.
    """

    # finished epochs of training
    epoch: int | None = None
    # updates of the weights by then
    step: int | None = None
    # what training makes small, on held-out episodes [of its terms]
    loss: float = column("Loss")


@dataclass(frozen=True, kw_only=True)
class VisionStepRow(StepRow):
    """metrics.csv of V: the terms of its loss."""

    # squared error summed over a picture: with variance 1/2 its nats [nats per frame]
    reconstruction: float
    # divergence of V's posterior from the prior [nats per frame]
    kl: float


@dataclass(frozen=True, kw_only=True)
class VisionRow(ValidationRow):
    """val_metrics.csv of V: the terms of its loss in nats per frame, its pictures, its latents."""

    # squared error summed over a picture: with variance 1/2 its nats [nats per frame]
    reconstruction: float = column("Reconstruction error per frame")
    # divergence of V's posterior from the prior [nats per frame]
    kl: float = column("KL divergence per frame")
    # from the squared error of all held-out frames together [dB]
    psnr: float = column("PSNR of held-out frames, dB")
    # the same, of pixels that differ from the frame before [dB]
    psnr_moving: float = column("PSNR of the pixels that move, dB")
    # latents whose posterior mean varies over frames, by more than 0.01 [latents]
    active: int
    # latents that say nothing: their divergence is no more than `kl_tolerance` [share]
    at_floor: float


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """baselines.csv of V: what a way to draw held-out frames loses."""

    # PCA, mean image, or previous frame
    name: str
    # numbers that it has for a frame; 0 for the mean image
    components: int
    # of all pixels, in [0, 1] [squared]
    mse: float
    # from that error [dB]
    psnr: float
    # the same, of pixels that move [dB]
    psnr_moving: float


@dataclass(frozen=True, kw_only=True)
class BlobRow:
    """blobs.csv of V: what a way to draw held-out frames keeps of the bright things that move."""

    # who draws: V, or PCA
    name: str
    # sizes of the blobs, or all [pixels]
    pixels: str
    # in the held-out frames [blobs]
    blobs: int
    # of these, what is in the drawn pictures, too [share]
    recall: float
    # in the drawn pictures [blobs]
    drawn: int
    # of these, what is in the frames, too [share]
    precision: float


@dataclass(frozen=True, kw_only=True)
class MemoryStepRow(StepRow):
    """metrics.csv of M: the terms of its loss."""

    # negative log-likelihood of the next z under M's mixture [nats per step]
    gmm: float
    # cross-entropy of the end of the episode [nats per step]
    bce: float
    # error of the predicted reward [reward squared]
    mse: float


@dataclass(frozen=True, kw_only=True)
class MemoryRow(ValidationRow):
    """val_metrics.csv of M: the terms of its loss, means over steps."""

    # negative log-likelihood of the next z under M's mixture [nats per step]
    gmm: float = column("Next z: negative log-likelihood")
    # cross-entropy of the end of the episode [nats per step]
    bce: float = column("End of episode: cross-entropy")
    # error of the predicted reward [reward squared]
    mse: float = column("Reward: squared error")


@dataclass(frozen=True, kw_only=True)
class LikelihoodRow:
    """likelihood.csv: how likely the next latent was to a model, over all pairs of the episodes."""

    # M, floor (V's own uncertainty), or a baseline fitted on the training pairs
    name: str
    # negative log-likelihood of the next z, mean over pairs [nats per step]
    nats: float
    # the same for each number of z [bits per dimension]
    bits_per_dim: float
    # what the model needs more than M [bits per dimension]
    worse: float
    # lower end of its 95 % interval over episodes [bits per dimension]
    low: float
    # upper end of it [bits per dimension]
    high: float
    # of a z and the next one, that were judged [pairs]
    pairs: int
    # that they are from [episodes]
    episodes: int
    # that the episodes belong to: train or validation
    split: str
    # that a baseline reads; 0: none, or no fixed number. Earlier tables do not say [frames]
    frames: int | None = None


KINDS = ("usual", "rare")
"""Of held-out frames, beside the first episodes of a store that was extended."""
MODELS = ("before", "after")
"""Of a model that goes on from another's weights: the other, and itself."""


@dataclass(frozen=True, kw_only=True)
class RareVisionRow:
    """rare.csv of a V that goes on with more episodes."""

    # before: the V whose weights it began with; after: itself
    model: str
    # usual: frames as the first episodes show them; rare: others
    kind: str
    # that were judged [frames]
    frames: int
    # of what V draws of them [dB]
    psnr: float


@dataclass(frozen=True, kw_only=True)
class RareMemoryRow:
    """rare.csv of an M that goes on with more episodes."""

    # before: the M whose weights it began with; after: itself
    model: str
    # usual: frames as the first episodes show them; rare: others
    kind: str
    # whose latent was to be predicted [frames]
    frames: int
    # of the next z, above V's own uncertainty [bits per dimension]
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

    # who guesses: mean and sampled (M), copy, marginal, or seen (V, which sees the true frame)
    predictor: str
    # how far ahead [steps]
    horizon: int
    # places in episodes from which latents are judged [starts]
    starts: int
    # places from which pictures are judged [starts]
    pixel_starts: int | None = None
    # that the places are from [episodes]
    episodes: int
    # error of z, from V's mean of the true frame [squared]
    latent_mse: float = column("Open loop: squared error of z")
    # of that error to copy's [ratio]
    latent_ratio: float
    # lower end of its 95 % interval over episodes [ratio]
    latent_low: float
    # upper end of it [ratio]
    latent_high: float
    # error of the picture, pixels in [0, 1] [squared]
    pixel_mse: float
    # of that error to copy's [ratio]
    pixel_ratio: float
    # lower end of its 95 % interval over episodes [ratio]
    pixel_low: float
    # upper end of it [ratio]
    pixel_high: float
    # of the picture [dB]
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

    # that the episodes belong to
    split: str | None = None
    # what is predicted: done (the end of an episode) or reward
    quantity: str
    # predictions of this bin begin here [probability, or reward]
    start: float = column(name="from")
    # and end here [probability, or reward]
    stop: float = column(name="to")
    # predictions in the bin [steps]
    count: int
    # their mean [probability, or reward]
    predicted: float
    # mean of what followed [share, or reward]
    observed: float
    # lower end of its 95 % interval [share, or reward]
    low: float
    # upper end of it [share, or reward]
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

    # updates of the weights by then
    step: int | None = None
    # that the episodes belong to
    split: str | None = None
    # done_brier and done_auroc of the end of an episode, reward_mse and reward_r2 of rewards
    name: str
    # of the head [by name: squared, area, reward squared, R²]
    value: float
    # of always saying the training mean [as the value]
    baseline: float


@dataclass(frozen=True, kw_only=True)
class EndRow:
    """ends.csv: what a rule by which M's dreams may end does on steps and episodes held out.

    Recall stands beside that of a rule that ends as many steps, any of them, and precision beside
    the share of steps that end.
    """

    # that the episodes belong to
    split: str
    # the probability above which a step ends, or "drawn": with its probability
    rule: str
    # held out [steps]
    steps: int
    # of these, what truly ends an episode [steps]
    ends: int
    # that the rule ends; of those drawn, as many as are expected [steps]
    ended: float
    # of the true ends, what the rule ends [share]
    recall: float
    # of a rule that ends as many steps, any of them [share]
    recall_chance: float
    # of what the rule ends, true ends [share]
    precision: float
    # true ends among all steps [share]
    precision_chance: float
    # from whose first frames M dreams, with their actions [episodes]
    episodes: int
    # of these dreams, mean [steps]
    dream_length: float
    # of the episodes themselves, mean [steps]
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

    # updates of the weights by then
    step: int | None = None
    # that the windows are from
    split: str | None = None
    # how far ahead [frames]
    horizon: int
    # held out, that were judged [windows]
    n: int
    # or episodes, that they are from [levels]
    levels: int
    # error of the model's picture, pixels in [0, 1] [squared]
    mse: float = column("Mean squared error")
    # from that error, of all windows together [dB]
    psnr: float = column("PSNR, dB")
    # structural similarity (Wang et al. 2004), mean over windows [similarity, at most 1]
    ssim: float = column("SSIM")
    # mean over windows of each one's own, which counts as no more than 60 [dB]
    psnr_per_image: float
    # error of copying the last frame [squared]
    copy_mse: float
    # of copying the last frame [dB]
    copy_psnr: float
    # of copying the last frame [similarity, at most 1]
    copy_ssim: float
    # error of the mean training frame [squared]
    mean_mse: float
    # of the mean training frame [dB]
    mean_psnr: float
    # of the mean training frame [similarity, at most 1]
    mean_ssim: float
    # error of fading from the one to the other [squared]
    fade_mse: float
    # of fading from the one to the other [dB]
    fade_psnr: float
    # of fading from the one to the other [similarity, at most 1]
    fade_ssim: float
    # 1 - error / error of copying the last frame [share]
    skill_copy: float
    # lower end of its 95 % interval over levels [share]
    skill_copy_low: float
    # upper end of it [share]
    skill_copy_high: float
    # 1 - error / error of the mean training frame [share]
    skill_mean: float
    # lower end of its 95 % interval over levels [share]
    skill_mean_low: float
    # upper end of it [share]
    skill_mean_high: float
    # 1 - error / error of fading from the one to the other [share]
    skill_fade: float
    # lower end of its 95 % interval over levels [share]
    skill_fade_low: float
    # upper end of it [share]
    skill_fade_high: float
    # beside the guess with the smallest error [share]
    skill_best: float
    # windows that beat the copy, ties counted half [share]
    win_rate: float
    # error of the model under the actions of other windows [squared]
    shuffled_action_mse: float
    # what the true actions are worth: PSNR less that under the actions of others [dB]
    delta_psnr: float


@dataclass(frozen=True, kw_only=True)
class PixelStepRow(StepRow):
    """metrics.csv of a next-frame model, or of the autoencoder, which is not rolled on."""

    # error of the predicted frames, pixels in [0, 1] [squared]
    mse: float
    # cross-entropy of the shifts that happened, of the head advect [nats]
    motion: float | None = None
    # error of the predicted reward, where there is such a head [reward squared]
    reward_mse: float | None = None
    # cross-entropy of the end of an episode, where there is such a head [nats]
    end_bce: float | None = None
    # as of every stage that trains [1]
    grad_norm: float | None = column("Gradient norm before clipping", default=None)
    # how far the model was rolled on [frames]
    unroll: float | None = column("Frames rolled on in training", default=None)


@dataclass(frozen=True, kw_only=True)
class AutoencoderStepRow(StepRow):
    """metrics.csv of the autoencoder: the terms of its loss."""

    # Huber's loss with delta 1, pixels in [0, 1] [1]
    recon_loss: float
    # how far the latents' variance is from its target [1]
    var_reg_loss: float
    # variance of the latents [1]
    latent_var: float


@dataclass(frozen=True, kw_only=True)
class PixelRow:
    """val_metrics.csv of a next-frame model, one frame ahead."""

    # updates of the weights by then
    step: int | None = None
    # what training makes small, on held-out windows [1]
    val_loss: float = column("Loss")
    # error of the picture, pixels in [0, 1] [squared]
    val_mse: float
    # from that error [dB]
    val_psnr: float
    # structural similarity [similarity, at most 1]
    val_ssim: float
    # error of copying the last frame [squared]
    copy_mse: float
    # of copying it [dB]
    copy_psnr: float


@dataclass(frozen=True, kw_only=True)
class AutoencoderRow:
    """val_metrics.csv of the autoencoder, beside the mean image."""

    # updates of the weights by then
    step: int | None = None
    # what training makes small, on held-out frames [1]
    val_loss: float = column("Loss")
    # Huber's loss with delta 1, pixels in [0, 1] [1]
    val_recon_loss: float = column("Reconstruction: Huber's loss")
    # how far the latents' variance is from its target [1]
    val_var_reg_loss: float
    # error of the picture, pixels in [0, 1] [squared]
    val_mse: float
    # from that error [dB]
    val_psnr: float = column("PSNR of held-out frames, dB")
    # structural similarity [similarity, at most 1]
    val_ssim: float
    # over all held-out frames [1]
    val_latent_var: float = column("Variance of the latents")
    # norm of a picture's mean latent, mean over pictures [1]
    val_latent_mean_norm: float
    # error of the mean training frame [squared]
    mean_mse: float
    # of it [dB]
    mean_psnr: float
