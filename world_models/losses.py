"""What the models minimise: pure functions of tensors, each with its formula."""

import math
from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)

Number = TypeVar("Number", float, Tensor)
Counts = Sequence[Tensor | None]


def vae_terms(recon: Tensor, x: Tensor, mu: Tensor, logsigma: Tensor) -> tuple[Tensor, Tensor]:
    """The squared error and the KL (B,) of each frame; recon, x (B, C, H, W), mu, logsigma (B, L).

    Squared error: sum((recon - x)^2). That is the negative log-likelihood in nats of x under a
    Gaussian of mean recon and variance 1/2, less the constant C*H*W*log(pi)/2.
    KL from N(mu, sigma) to N(0, I), in nats: `latent_kl` summed over the latents.
    """
    assert recon.shape == x.shape, (recon.shape, x.shape)
    return (recon - x).square().flatten(1).sum(1), latent_kl(mu, logsigma).sum(1)


def latent_kl(mu: Tensor, logsigma: Tensor) -> Tensor:
    """mu, logsigma (B, L) -> the KL of each latent from N(mu, sigma) to N(0, 1), in nats (B, L).

    -0.5 * (1 + 2 logsigma - mu^2 - exp(2 logsigma)) (Kingma & Welling 2014, appendix B).
    """
    assert mu.shape == logsigma.shape and mu.ndim == 2, (mu.shape, logsigma.shape)
    mu, logsigma = _widen(mu), _widen(logsigma)
    return -0.5 * (1 + 2 * logsigma - mu.square() - (2 * logsigma).exp())


def free_bits(kl: Tensor, floor: float) -> Tensor:
    """kl (B,) -> max(kl, floor), in nats.

    A frame whose KL is below the floor is pushed no further towards the prior. The idea is
    Kingma et al.'s (2016, appendix C.8), who hold up groups of latents. Held up here is the sum
    over a frame's latents, as in the code of Ha & Schmidhuber (2018): 0.5 nats for each latent.
    """
    return kl.clamp(min=floor)


def conv_vae_loss(recon: Tensor, x: Tensor, mu: Tensor, logsigma: Tensor) -> Tensor:
    """V's plain loss: squared error plus KL, summed over batch, pixels and latents.

    Shapes as for `vae_terms`.
    """
    reconstruction, kl = vae_terms(recon, x, mu, logsigma)
    return (reconstruction + kl).sum()


def vae_loss(
    recon: Tensor,
    x: Tensor,
    mu: Tensor,
    logsigma: Tensor,
    kl_weight: float,
    floor: float,
    extra: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """V's loss in training, reconstruction + kl_weight * max(kl, floor), mean over the frames.

    Shapes as for `vae_terms`; `floor` is in nats for each frame. `extra` (B, 1, H, W) is how much
    more than 1 a pixel's squared error weighs in the loss. Returns the scalar loss and the means
    "reconstruction" and "kl" in nats, the true ones, without floor and weights.
    """
    reconstruction, kl = vae_terms(recon, x, mu, logsigma)
    loss = reconstruction + kl_weight * free_bits(kl, floor)
    if extra is not None:
        loss = loss + (extra * (recon - x).square()).flatten(1).sum(1)
    return loss.mean(), {"reconstruction": reconstruction.mean(), "kl": kl.mean()}


def rarity(x: Tensor, mean: Tensor) -> Tensor:
    """How far each pixel of x (B, C, H, W) is from the mean of all frames (C, H, W).

    Largest difference of a channel, (B, 1, H, W). What stands still is in the mean; what moves,
    and is seldom in one place, is far from it.
    """
    return (x - mean).abs().amax(1, keepdim=True)


def gmm_loss(
    target: Tensor, mus: Tensor, sigmas: Tensor, logpi: Tensor, reduce: bool = True
) -> Tensor:
    """The negative log-likelihood, in nats, of targets under mixtures of K Gaussians.

    target (..., L), mus and sigmas (..., K, L): they may broadcast. Two kinds of mixture, both
    summed in log space, told apart by the number of axes:
    logpi (..., K), or fewer: one over all of L, -log sum_k pi_k prod_l N(target_l; mu_kl, sigma_kl)
    (Bishop 1994, eq. 23-29).
    logpi (..., K, L): one for each dimension, -sum_l log sum_k pi_kl N(target_l; mu_kl, sigma_kl)
    (Ha & Schmidhuber 2018).
    Returns the mean, a scalar; with reduce=False one value per target (...). Shapes that do not
    belong together are a ValueError.
    """
    shape = _mixture_shape(target, mus, sigmas, logpi)
    mus, sigmas, logpi = _widen(mus), _widen(sigmas), _widen(logpi)
    scaled = (target.unsqueeze(-2) - mus) / sigmas
    log_normal = -(0.5 * scaled.square() + sigmas.log() + 0.5 * LOG_2PI)
    if logpi.ndim == len(shape):
        nll = -torch.logsumexp(logpi + log_normal, dim=-2).sum(-1)
    else:
        nll = -torch.logsumexp(logpi + log_normal.sum(-1), dim=-1)
    return nll.mean() if reduce else nll


def _mixture_shape(target: Tensor, mus: Tensor, sigmas: Tensor, logpi: Tensor) -> torch.Size:
    """(..., K, L), to which the parts of a mixture broadcast; L is the target's own."""
    given = [tuple(value.shape) for value in (target, mus, sigmas, logpi)]
    wanted = torch.Size([])
    try:
        wanted = torch.broadcast_shapes(target.unsqueeze(-2).shape, mus.shape, sigmas.shape)
        weighed = wanted if logpi.ndim == len(wanted) else wanted[:-1]
        fits = torch.broadcast_shapes(weighed, logpi.shape) == weighed
    except (RuntimeError, IndexError):
        fits = False
    if not fits or wanted[-1] != target.shape[-1]:
        raise ValueError(
            "target, means, deviations and weights of a mixture have the shapes "
            f"{', '.join(map(str, given))}, which do not broadcast to (..., K, L)"
        )
    return wanted


def mdrnn_loss(
    outputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    target_latents: Tensor,
    target_rewards: Tensor,
    target_dones: Tensor,
    mask: Tensor,
    next_mask: Tensor,
    include_reward: bool,
    done_weight: float = 1.0,
    counts: Counts = (None, None),
) -> tuple[Tensor, dict[str, Tensor]]:
    """M's loss over a batch of sequences: `mdrnn_total` of its terms, and these.

    outputs: mus, sigmas (T, B, K, L), logpi, rewards (T, B), done logits (T, B), as MDRNN gives
    them. target_latents (T, B, L) are the latents one step on, read where next_mask (T, B) is 1.
    target_rewards and target_dones (0 or 1), both (T, B), are read where mask (T, B) is 1.
    counts are of mask and next_mask, for `masked_mean`.

    Returns the scalar loss and its detached terms: "gmm" in nats, "bce" in nats (those of ends
    times `done_weight`), "mse" of the reward, which is there even where it is not in the loss.
    """
    mus, sigmas, logpi, rewards, dones = outputs
    nll = gmm_loss(target_latents, mus, sigmas, logpi, reduce=False)
    ends = F.binary_cross_entropy_with_logits(
        _widen(dones),
        target_dones,
        reduction="none",
        pos_weight=target_dones.new_tensor(done_weight),
    )
    errors = (rewards - target_rewards).square()
    terms = {
        "gmm": masked_mean(nll, next_mask, counts[1]),
        "bce": masked_mean(ends, mask, counts[0]),
        "mse": masked_mean(errors, mask, counts[0]),
    }
    loss = mdrnn_total(**terms, latents=target_latents.shape[-1], include_reward=include_reward)
    return loss, {name: term.detach() for name, term in terms.items()}


def mdrnn_total(
    gmm: Number, bce: Number, mse: Number, latents: int, include_reward: bool
) -> Number:
    """M's loss from its terms: (gmm + bce + mse) / (L+2), or (gmm + bce) / (L+1) without reward."""
    return (gmm + bce + mse) / (latents + 2) if include_reward else (gmm + bce) / (latents + 1)


def token_world_loss(
    logits: Tensor,
    tokens: Tensor,
    reward_nats: Tensor,
    done: Tensor,
    terminated: Tensor,
    mask: Tensor,
    next_mask: Tensor,
    reward_weight: float = 1.0,
    done_weight: float = 1.0,
    counts: Counts = (None, None),
    places: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a token world model, tokens + reward_weight * reward + end, in nats.

    logits (B, T, K, V), tokens (B, T, K) of the next frames are read where next_mask (B, T) is 1;
    the rewards' cross-entropies (B, T), and logits and truth of the ends (B, T), where mask is.
    Each term is the mean over what is read. A step that ends its episode weighs `done_weight`.
    counts are of mask and next_mask, for `masked_mean`. places (B, T, K): the tokens of a frame
    that count, at least one; None: all.

    Returns the scalar loss and its detached terms "tokens", "reward" and "end".
    """
    nats = F.cross_entropy(_widen(logits).flatten(0, 2), tokens.flatten(), reduction="none")
    nats = nats.view(tokens.shape)
    frames = nats.mean(-1) if places is None else (nats * places).sum(-1) / places.sum(-1)
    ends = F.binary_cross_entropy_with_logits(
        _widen(done),
        terminated,
        reduction="none",
        pos_weight=terminated.new_tensor(done_weight),
    )
    terms = {
        "tokens": masked_mean(frames, next_mask, counts[1]),
        "reward": masked_mean(reward_nats, mask, counts[0]),
        "end": masked_mean(ends, mask, counts[0]),
    }
    loss = terms["tokens"] + reward_weight * terms["reward"] + terms["end"]
    return loss, {name: term.detach() for name, term in terms.items()}


class PixelLoss(Enum):
    """What a pixel model minimises, per pixel value."""

    huber = "huber"  # squared up to `delta`, linear above
    mse = "mse"  # squared error
    l1 = "l1"  # absolute error


def pixel_error(frames: Tensor, truth: Tensor, kind: PixelLoss, delta: float = 0.05) -> Tensor:
    """frames, truth (B, T, C, H, W) in [0, 1] -> the mean over each frame's values, (B, T).

    huber: e^2/2 up to delta, beyond it delta (abs(e) - delta/2) (Huber 1964). With delta 1 it
    would be mse/2 on [0, 1].
    """
    assert frames.shape == truth.shape and frames.ndim == 5, (frames.shape, truth.shape)
    if kind is PixelLoss.huber:
        errors = F.huber_loss(frames, truth, reduction="none", delta=delta)
    else:
        errors = (frames - truth).abs() if kind is PixelLoss.l1 else (frames - truth).square()
    return errors.flatten(2).mean(2)


def shift_error(logits: Tensor, target: Tensor, reach: tuple[int, int]) -> Tensor:
    """The cross-entropy (...) in nats of the shifts that happened under the kernels' mean.

    target (..., S), logits (..., K, S). S is the shifts down and then those to the right
    (`models/motion.py`); each half is a distribution.
    """
    sizes = [2 * far + 1 for far in reach]
    said = [
        part.log_softmax(-1).logsumexp(-2) - math.log(logits.shape[-2])
        for part in logits.split(sizes, dim=-1)
    ]
    return -(torch.cat(said, dim=-1) * target).sum(-1)


class VarianceForm(Enum):
    """Whose variance is held near its target: a picture's, or each channel's."""

    scalar = "scalar"  # all latents of a picture
    per_channel = "per_channel"  # each channel, over the batch


def latent_variance(z: Tensor, form: VarianceForm) -> Tensor:
    """z (B, L, h, w) -> biased variances.

    scalar: over all of a picture's latents, mean over the batch, (1,). Differences between
    channels that are the same in every picture count as variance, so it can be met by latents
    that say nothing.
    per_channel: over batch and places, (L,).
    """
    z = _widen(z)
    if form is VarianceForm.scalar:
        return z.flatten(1).var(1, correction=0).mean(0, keepdim=True)
    return z.transpose(0, 1).flatten(1).var(1, correction=0)


def autoencoder_loss(
    recon: Tensor,
    x: Tensor,
    z: Tensor,
    form: VarianceForm,
    var_reg_lambda: float,
    var_target: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """recon, x (B, C, H, W) in [0, 1]; z (B, L, h, w) -> the scalar loss and its terms.

    Huber's loss with delta 1, mean over all values ("recon_loss"), plus var_reg_lambda *
    (Var(z) - var_target)^2, mean over the variances ("var_reg_loss"); "latent_var" is their mean.
    """
    assert recon.shape == x.shape, (recon.shape, x.shape)
    recon_loss = F.huber_loss(_widen(recon), x, delta=1.0)
    var_reg_loss, variance = variance_terms(z, form, var_reg_lambda, var_target)
    terms = {"recon_loss": recon_loss, "var_reg_loss": var_reg_loss, "latent_var": variance}
    return recon_loss + var_reg_loss, terms


def variance_terms(
    z: Tensor, form: VarianceForm, var_reg_lambda: float, var_target: float
) -> tuple[Tensor, Tensor]:
    """z (B, L, h, w) -> var_reg_lambda * (Var(z) - var_target)^2, and Var(z).

    Both are means over the variances of `latent_variance`.
    """
    variance = latent_variance(z, form)
    return var_reg_lambda * (variance - var_target).square().mean(), variance.mean()


def masked_mean(values: Tensor, mask: Tensor, count: Tensor | None = None) -> Tensor:
    """The mean of values (T, B) where mask is 1; an empty mask gives 0.

    What lies elsewhere is not read. Where these are a part of a larger batch, their sum is divided
    by `count` in place of the number of ones.
    """
    assert values.shape == mask.shape, (values.shape, mask.shape)
    total = mask.sum().clamp(min=1) if count is None else count
    return torch.where(mask > 0, values, 0).sum() / total


def _widen(values: Tensor) -> Tensor:
    """At least float32: half precision is too coarse for logarithms and long sums."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def lambda_returns(
    rewards: Tensor,
    next_values: Tensor,
    ends: Tensor,
    cuts: Tensor,
    discount: float,
    trace: float,
) -> Tensor:
    """The returns G (T, B) towards which actor and critic learn (Sutton & Barto 2018, eq. 12.18).

    rewards (T, B) followed step t, next_values (T, B) are the critic's of what was seen then.
    G_t = r_t + discount (1 - end_t) ((1 - trace) v_t + trace G_{t+1}), v_t the next value. After
    the last step, and where an episode was cut but has not ended (`cuts`), v_t stands for all that
    would follow. ends and cuts (T, B) are bool.
    """
    assert rewards.shape == next_values.shape == ends.shape == cuts.shape, rewards.shape
    going_on = discount * (~ends).to(rewards.dtype)
    following = next_values[-1]
    returns = []
    for t in reversed(range(len(rewards))):
        mixed = (1 - trace) * next_values[t] + trace * following
        following = rewards[t] + going_on[t] * torch.where(cuts[t], next_values[t], mixed)
        returns.append(following)
    return torch.stack(returns[::-1])


def before_ends(ends: Tensor) -> Tensor:
    """ends (T, B) bool -> 1 for steps that no end came before, and else 0 (T, B) float32."""
    ended = ends.int().cumsum(0) - ends.int()
    return (ended == 0).float()


def normalised(values: Tensor, mask: Tensor) -> Tensor:
    """values (T, B) with mean 0 and deviation 1 where mask is 1; equal values give 0."""
    centred = values - masked_mean(values, mask)
    deviation = masked_mean(centred.square(), mask).sqrt()
    return centred / deviation.clamp(min=1e-4)


def actor_critic_loss(
    logits: Tensor,
    actions: Tensor,
    advantages: Tensor,
    value_errors: Tensor,
    mask: Tensor,
    entropy_weight: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """REINFORCE with a baseline, the critic's error, and a reward for entropy, means over the mask.

    logits (T, B, A), actions (T, B) int64, advantages (T, B) without gradient (the return less the
    critic's value), value_errors (T, B), mask (T, B). actor = -mean(log p(a) advantage), critic =
    mean(value_errors), entropy in nats. Loss: actor + critic - entropy_weight * entropy.
    """
    log_chances = logits.float().log_softmax(-1)
    chosen = log_chances.gather(-1, actions[..., None])[..., 0]
    entropy = masked_mean(-(log_chances.exp() * log_chances).sum(-1), mask)
    actor = -masked_mean(chosen * advantages.detach(), mask)
    critic = masked_mean(value_errors, mask)
    terms = {"actor": actor.detach(), "critic": critic.detach(), "entropy": entropy.detach()}
    return actor + critic - entropy_weight * entropy, terms
