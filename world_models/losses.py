"""What V and M minimise: pure functions of tensors, each with its formula."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def vae_terms(recon: Tensor, x: Tensor, mu: Tensor, logsigma: Tensor) -> tuple[Tensor, Tensor]:
    """recon, x (B, C, H, W), mu, logsigma (B, L) -> the two scalar terms of V's loss, each summed over everything.

    Reconstruction: sum((recon - x)^2). KL from N(mu, sigma) to N(0, I), in nats (Kingma & Welling 2014, appendix B):
    -0.5 * sum(1 + 2 logsigma - mu^2 - exp(2 logsigma)).
    """
    assert recon.shape == x.shape and mu.shape == logsigma.shape, (recon.shape, x.shape, mu.shape, logsigma.shape)
    reconstruction = (recon - x).square().sum()
    mu, logsigma = _widen(mu), _widen(logsigma)
    kl = -0.5 * (1 + 2 * logsigma - mu.square() - (2 * logsigma).exp()).sum()
    return reconstruction, kl


def conv_vae_loss(recon: Tensor, x: Tensor, mu: Tensor, logsigma: Tensor) -> Tensor:
    """V's loss, summed over batch, pixels and latents: squared error plus KL. Shapes as for `vae_terms`."""
    reconstruction, kl = vae_terms(recon, x, mu, logsigma)
    return reconstruction + kl


def gmm_loss(target: Tensor, mus: Tensor, sigmas: Tensor, logpi: Tensor, reduce: bool = True) -> Tensor:
    """Negative log likelihood, in nats, of target (..., L) under a mixture of K diagonal Gaussians over all of L.

    mus, sigmas (..., K, L), logpi (..., K) -> the mean, a scalar; with reduce=False one value per target (...).
    -log sum_k pi_k prod_l N(target_l; mu_kl, sigma_kl) (Bishop 1994, eq. 23-29), summed in log space.
    """
    assert mus.shape == sigmas.shape == (*logpi.shape, target.shape[-1]), (target.shape, mus.shape, logpi.shape)
    mus, sigmas, logpi = _widen(mus), _widen(sigmas), _widen(logpi)
    scaled = (target.unsqueeze(-2) - mus) / sigmas
    log_component = -(0.5 * scaled.square() + sigmas.log() + 0.5 * LOG_2PI).sum(-1)
    nll = -torch.logsumexp(logpi + log_component, dim=-1)
    return nll.mean() if reduce else nll


def mdrnn_loss(
    outputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    target_latents: Tensor,
    target_rewards: Tensor,
    target_dones: Tensor,
    mask: Tensor,
    include_reward: bool,
) -> tuple[Tensor, dict[str, Tensor]]:
    """M's loss over the steps where mask (T, B) is 1: (gmm + bce + mse) / (L+2), or (gmm + bce) / (L+1) without reward.

    outputs: mus (T, B, K, L), sigmas (T, B, K, L), logpi (T, B, K), rewards (T, B), done logits (T, B), as MDRNN gives them.
    target_latents (T, B, L) are the latents one step on; target_rewards, target_dones (0 or 1) are (T, B).
    Returns the scalar loss and its detached terms "gmm" (nats), "bce" (nats), "mse" (squared reward); "mse" is
    reported even where it is not part of the loss.
    """
    mus, sigmas, logpi, rewards, dones = outputs
    gmm = _masked_mean(gmm_loss(target_latents, mus, sigmas, logpi, reduce=False), mask)
    bce = _masked_mean(F.binary_cross_entropy_with_logits(_widen(dones), target_dones, reduction="none"), mask)
    mse = _masked_mean((rewards - target_rewards).square(), mask)
    latents = target_latents.shape[-1]
    loss = (gmm + bce + mse) / (latents + 2) if include_reward else (gmm + bce) / (latents + 1)
    return loss, {"gmm": gmm.detach(), "bce": bce.detach(), "mse": mse.detach()}


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (T, B) where mask is 1; what lies elsewhere is not read. An empty mask gives 0."""
    assert values.shape == mask.shape, (values.shape, mask.shape)
    return torch.where(mask > 0, values, 0).sum() / mask.sum().clamp(min=1)


def _widen(values: Tensor) -> Tensor:
    """At least float32: what autocast left in half precision is too coarse for logarithms and long sums."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
