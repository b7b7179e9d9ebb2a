import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from world_models.losses import (
    PixelLoss,
    conv_vae_loss,
    free_bits,
    gmm_loss,
    latent_kl,
    mdrnn_loss,
    pixel_error,
    rarity,
    vae_loss,
    vae_terms,
)

T, B, K, L = 4, 3, 5, 6


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_kl_equals_torchs() -> None:
    mu, logsigma, x = draw(7, 5), draw(7, 5, seed=1), draw(7, 3, 8, 8)
    _, kl = vae_terms(x, x, mu, logsigma)
    expected = kl_divergence(Normal(mu, logsigma.exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(latent_kl(mu, logsigma), expected)
    torch.testing.assert_close(kl, expected.sum(1))


def test_kl_is_zero_for_the_prior() -> None:
    x, zero = draw(2, 3, 8, 8), torch.zeros(2, 5)
    assert not vae_terms(x, x, zero, zero)[1].any()


def test_squared_error_is_a_gaussians_log_likelihood() -> None:
    x, recon, zero = draw(3, 2, 4, 4), draw(3, 2, 4, 4, seed=1), torch.zeros(3, 5)
    reconstruction, _ = vae_terms(recon, x, zero, zero)
    nll = -Independent(Normal(recon, math.sqrt(0.5)), 3).log_prob(x)
    torch.testing.assert_close(reconstruction + 0.5 * 32 * math.log(math.pi), nll)


def test_free_bits_hold_up_each_frame() -> None:
    mu, logsigma = draw(50, 4), draw(50, 4, seed=1)
    found = free_bits(latent_kl(mu, logsigma).sum(1), floor=6.0)
    each = [
        float(kl_divergence(Normal(m, s.exp()), Normal(0.0, 1.0)).sum())
        for m, s in zip(mu, logsigma, strict=True)
    ]
    assert min(each) < 6 < max(each)
    torch.testing.assert_close(found, torch.tensor([max(value, 6.0) for value in each]))


def test_free_bits_push_no_frame_below_the_floor() -> None:
    mu = torch.stack([torch.full((4,), 0.1), torch.full((4,), 3.0)]).requires_grad_()
    free_bits(latent_kl(mu, torch.zeros(2, 4)).sum(1), floor=2.0).sum().backward()
    assert not mu.grad[0].any()
    torch.testing.assert_close(mu.grad[1], mu[1].detach())


def test_vae_loss_is_the_sum_over_everything() -> None:
    x, mu, logsigma = torch.zeros(2, 3, 8, 8), draw(2, 5), draw(2, 5, seed=1)
    recon = torch.full_like(x, 0.5)
    reconstruction, kl = vae_terms(recon, x, mu, logsigma)
    assert reconstruction.tolist() == [0.25 * x[0].numel()] * 2
    torch.testing.assert_close(
        conv_vae_loss(recon, x, mu, logsigma), reconstruction.sum() + kl.sum()
    )


def test_vae_loss_weighs_the_kl_above_its_floor() -> None:
    draw = torch.Generator().manual_seed(0)
    recon, x = torch.rand(2, 6, 3, 4, 4, generator=draw)
    mu, logsigma = torch.randn(2, 6, 5, generator=draw)
    error, kl = vae_terms(recon, x, mu, logsigma)
    floor = float(kl.median())
    loss, terms = vae_loss(recon, x, mu, logsigma, kl_weight=0.3, floor=floor)
    by_hand = [float(e) + 0.3 * max(float(k), floor) for e, k in zip(error, kl, strict=True)]
    assert float(loss) == pytest.approx(sum(by_hand) / 6)
    assert float(terms["kl"]) == pytest.approx(float(kl.mean())), "the true one"
    assert float(terms["reconstruction"]) == pytest.approx(float(error.mean()))


def test_vae_loss_weighs_pixels_by_their_distance_from_the_mean() -> None:
    x, recon = torch.rand(2, 3, 4, 5, 3).unbind()
    mean = torch.rand(4, 5, 3)[..., :3]
    x, recon = x.movedim(-1, 1), recon.movedim(-1, 1)
    mu, logsigma = torch.randn(2, 3, 7).unbind()
    extra = 6 * rarity(x, mean.movedim(-1, 0))
    loss, terms = vae_loss(recon, x, mu, logsigma, kl_weight=0.3, floor=0.0, extra=extra)
    plain, same = vae_loss(recon, x, mu, logsigma, kl_weight=0.3, floor=0.0)
    assert terms == same
    far = (x - mean.movedim(-1, 0)).abs().numpy().max(1, keepdims=True)
    weighted = ((1 + 6 * far) * (recon - x).numpy() ** 2).sum((1, 2, 3)).mean()
    assert float(loss) == pytest.approx(weighted + 0.3 * float(terms["kl"]), rel=1e-5)
    assert loss > plain


def test_better_reconstruction_costs_less() -> None:
    x, zero = torch.rand(2, 3, 8, 8), torch.zeros(2, 5)
    costs = [conv_vae_loss(x + error, x, zero, zero) for error in (0.0, 0.1, 0.4)]
    assert costs[0] == 0 and costs[0] < costs[1] < costs[2]


def test_half_precision_is_summed_in_single() -> None:
    mu, logsigma, x = draw(64, 32).bfloat16(), draw(64, 32, seed=1).bfloat16(), draw(64, 3, 8, 8)
    loss = conv_vae_loss(x.bfloat16(), x, mu, logsigma)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, conv_vae_loss(x.bfloat16().float(), x, mu.float(), logsigma.float())
    )


def mixture() -> tuple[Tensor, Tensor, Tensor]:
    return (
        draw(T, B, K, L),
        draw(T, B, K, L, seed=1).exp(),
        torch.log_softmax(draw(T, B, K, seed=2), -1),
    )


def mixtures_of_each_dimension() -> tuple[Tensor, Tensor, Tensor]:
    return *mixture()[:2], torch.log_softmax(draw(T, B, K, L, seed=2), -2)


def test_gmm_loss_equals_torchs_for_a_mixture_per_dimension() -> None:
    mus, sigmas, logpi = mixtures_of_each_dimension()
    target = draw(T, B, L, seed=3)
    normals = Normal(mus.movedim(-2, -1), sigmas.movedim(-2, -1))
    independent = Independent(
        MixtureSameFamily(Categorical(logits=logpi.movedim(-2, -1)), normals), 1
    )
    expected = -independent.log_prob(target)
    torch.testing.assert_close(gmm_loss(target, mus, sigmas, logpi, reduce=False), expected)
    torch.testing.assert_close(gmm_loss(target, mus, sigmas, logpi), expected.mean())


def test_one_dimension_has_one_mixture_either_way() -> None:
    mus, sigmas, target = draw(T, B, K, 1), draw(T, B, K, 1, seed=1).exp(), draw(T, B, 1, seed=3)
    logpi = torch.log_softmax(draw(T, B, K, seed=2), -1)
    joint, apart = (
        gmm_loss(target, mus, sigmas, each, reduce=False) for each in (logpi, logpi.unsqueeze(-1))
    )
    torch.testing.assert_close(joint, apart)


def test_gmm_loss_refuses_shapes_that_do_not_belong_together() -> None:
    mus, sigmas, logpi = mixture()
    for given in (logpi[..., :-1], draw(T + 1, B, K), draw(T, B, L, K), draw(2, T, B, K, L)):
        with pytest.raises(ValueError, match=r"do not broadcast to \(\.\.\., K, L\)"):
            gmm_loss(draw(T, B, L), mus, sigmas, given)
    for means in (draw(T, B, K, L + 1), draw(T, B + 2, K, L), draw(T, B, K + 2, L)):
        with pytest.raises(ValueError, match=r"the shapes \("):
            gmm_loss(draw(T, B, L), means, sigmas, logpi)
    with pytest.raises(ValueError, match="do not broadcast"):
        gmm_loss(draw(T, B, 1), mus, sigmas, logpi)


@pytest.mark.parametrize("per_dimension", [False, True])
@pytest.mark.parametrize(
    "parts",
    [
        ((K, L), (T, B, K, L), (T, B, K)),
        ((T, B, K, L), (K, 1), (T, B, K)),
        ((T, B, K, L), (1, 1, 1, 1), (K,)),
        ((1, B, K, L), (T, 1, K, L), (B, K)),
        ((K, L), (K, L), (K,)),
    ],
)
def test_gmm_loss_broadcasts(parts: tuple[tuple[int, ...], ...], per_dimension: bool) -> None:
    target, mus, sigmas = draw(T, B, L, seed=3), draw(*parts[0]), draw(*parts[1], seed=1).exp()
    logpi = torch.log_softmax(draw(*parts[2], seed=2), -1)
    whole = logpi.expand(T, B, K)
    if per_dimension:
        logpi = logpi.view(*(1,) * (3 - logpi.ndim), *logpi.shape, 1)
        whole = whole[..., None].expand(T, B, K, L)
    spread = [value.expand(T, B, K, L).contiguous() for value in (mus, sigmas)]
    expected = gmm_loss(target, *spread, whole.contiguous(), reduce=False)
    found = gmm_loss(target, mus, sigmas, logpi, reduce=False)
    assert found.shape == (T, B)
    torch.testing.assert_close(found, expected)


def test_gmm_loss_equals_torchs() -> None:
    mus, sigmas, logpi = mixture()
    target = draw(T, B, L, seed=3)
    expected = -MixtureSameFamily(
        Categorical(logits=logpi), Independent(Normal(mus, sigmas), 1)
    ).log_prob(target)
    torch.testing.assert_close(gmm_loss(target, mus, sigmas, logpi, reduce=False), expected)
    torch.testing.assert_close(gmm_loss(target, mus, sigmas, logpi), expected.mean())


@pytest.mark.parametrize("make", [mixture, mixtures_of_each_dimension])
@pytest.mark.parametrize("distance", [1e2, 1e5, 1e8])
def test_gmm_loss_is_stable_far_away(
    distance: float, make: Callable[[], tuple[Tensor, Tensor, Tensor]]
) -> None:
    mus, sigmas, logpi = make()
    mus.requires_grad_()
    loss = gmm_loss(torch.full((T, B, L), distance), mus, sigmas, logpi)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(mus.grad).all() and mus.grad.any()


def test_gmm_loss_keeps_single_sizes_apart() -> None:
    mus, sigmas, logpi = torch.zeros(5, 1, 1, 1), torch.ones(5, 1, 1, 1), torch.zeros(5, 1, 1)
    loss = gmm_loss(torch.zeros(5, 1, 1), mus, sigmas, logpi, reduce=False)
    torch.testing.assert_close(loss, torch.full((5, 1), 0.5 * math.log(2 * math.pi)))


def test_nearer_mean_costs_less() -> None:
    target, sigmas, logpi = draw(T, B, L), torch.ones(T, B, 1, L), torch.zeros(T, B, 1)
    near, far = (
        gmm_loss(target, (target + shift).unsqueeze(-2), sigmas, logpi) for shift in (0.1, 2.0)
    )
    assert near < far


def outputs() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return *mixture(), draw(T, B, seed=4), draw(T, B, seed=5)


def targets() -> tuple[Tensor, Tensor, Tensor]:
    return draw(T, B, L, seed=6), draw(T, B, seed=7), (draw(T, B, seed=8) > 0).float()


def ones() -> tuple[Tensor, Tensor]:
    return torch.ones(T, B), torch.ones(T, B)


def test_mdrnn_loss_is_the_scaled_sum_of_its_terms() -> None:
    mask = torch.ones(T, B)
    with_reward, metrics = mdrnn_loss(outputs(), *targets(), mask, mask, include_reward=True)
    gmm, bce, mse = metrics["gmm"], metrics["bce"], metrics["mse"]
    torch.testing.assert_close(with_reward, (gmm + bce + mse) / (L + 2))
    without, _ = mdrnn_loss(outputs(), *targets(), mask, mask, include_reward=False)
    torch.testing.assert_close(without, (gmm + bce) / (L + 1))


def test_mdrnn_terms_are_means() -> None:
    mus, sigmas, logpi, rewards, dones = outputs()
    latents, target_rewards, target_dones = targets()
    metrics = mdrnn_loss(outputs(), *targets(), *ones(), include_reward=True)[1]
    torch.testing.assert_close(metrics["gmm"], gmm_loss(latents, mus, sigmas, logpi))
    torch.testing.assert_close(
        metrics["mse"], torch.nn.functional.mse_loss(rewards, target_rewards)
    )
    bce = torch.nn.functional.binary_cross_entropy_with_logits(dones, target_dones)
    torch.testing.assert_close(metrics["bce"], bce)


@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
def test_masked_steps_change_nothing(garbage: float) -> None:
    mask = torch.ones(T, B)
    mask[2:, 1] = 0
    clean, _ = mdrnn_loss(outputs(), *targets(), mask, mask, include_reward=True)
    spoilt = tuple(
        value.masked_fill(mask.view(T, B, *[1] * (value.ndim - 2)) == 0, garbage)
        for value in targets()
    )
    loss, _ = mdrnn_loss(outputs(), *spoilt, mask, mask, include_reward=True)
    assert loss == clean
    shorter, _ = mdrnn_loss(outputs(), *targets(), *ones(), include_reward=True)
    assert shorter != clean


def test_masked_steps_have_no_gradient() -> None:
    mask = torch.ones(T, B)
    mask[1:, 0] = 0
    given = [value.detach().requires_grad_() for value in outputs()]
    mdrnn_loss(tuple(given), *targets(), mask, mask, include_reward=True)[0].backward()
    for value in given:
        assert not value.grad[1:, 0].any() and value.grad[0, 0].any()


def test_a_step_without_a_next_latent_still_has_its_reward_and_end() -> None:
    mask, next_mask = ones()
    next_mask[-1, 1] = 0
    latents, rewards, dones = targets()
    spoilt = latents.clone()
    spoilt[-1, 1] = float("nan")
    loss, metrics = mdrnn_loss(
        outputs(), spoilt, rewards, dones, mask, next_mask, include_reward=True
    )
    whole = mdrnn_loss(outputs(), latents, rewards, dones, *ones(), include_reward=True)[1]
    without = mdrnn_loss(
        outputs(), latents, rewards, dones, next_mask, next_mask, include_reward=True
    )[1]
    assert metrics["bce"] == whole["bce"] and metrics["mse"] == whole["mse"]
    assert metrics["gmm"] == without["gmm"] != whole["gmm"] and torch.isfinite(loss)
    assert without["bce"] != whole["bce"]


@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_ends_weigh_done_weight_times_as_much(weight: float) -> None:
    _, _, dones = targets()
    given = outputs()
    probability = torch.sigmoid(given[-1])
    by_hand = -(weight * dones * probability.log() + (1 - dones) * (1 - probability).log()).mean()
    metrics = mdrnn_loss(given, *targets(), *ones(), include_reward=True, done_weight=weight)[1]
    torch.testing.assert_close(metrics["bce"], by_hand)


def test_metrics_are_detached_scalars() -> None:
    given = tuple(value.requires_grad_() for value in outputs())
    _, metrics = mdrnn_loss(given, *targets(), *ones(), include_reward=False)
    assert set(metrics) == {"gmm", "bce", "mse"}
    assert all(value.ndim == 0 and not value.requires_grad for value in metrics.values())


def test_better_predictions_cost_less() -> None:
    latents, rewards, dones = targets()
    good = (
        latents.unsqueeze(-2),
        torch.ones(T, B, 1, L),
        torch.zeros(T, B, 1),
        rewards,
        10 * (dones - 0.5),
    )
    bad = (good[0] + 3, *good[1:3], rewards + 1, -good[4])
    mask = torch.ones(T, B)
    good_metrics, bad_metrics = (
        mdrnn_loss(given, *targets(), mask, mask, True)[1] for given in (good, bad)
    )
    assert all(good_metrics[name] < bad_metrics[name] for name in good_metrics)


@pytest.mark.parametrize(
    ("kind", "delta", "expected"),
    [
        (PixelLoss.huber, 0.05, [(0.04**2 / 2 + 0.05 * (0.2 - 0.025)) / 2, 0.03**2 / 2]),
        (PixelLoss.huber, 0.1, [(0.04**2 / 2 + 0.1 * (0.2 - 0.05)) / 2, 0.03**2 / 2]),
        (PixelLoss.huber, 1.0, [(0.04**2 / 2 + 0.2**2 / 2) / 2, 0.03**2 / 2]),
        (PixelLoss.mse, 0.05, [(0.04**2 + 0.2**2) / 2, 0.03**2]),
        (PixelLoss.l1, 0.05, [(0.04 + 0.2) / 2, 0.03]),
    ],
)
def test_pixel_errors_are_those_by_hand(
    kind: PixelLoss, delta: float, expected: list[float]
) -> None:
    """Two frames of two values: off by 0.04 and -0.2, and both by 0.03."""
    truth = torch.tensor([0.5, 0.6, 0.1, 0.9]).view(1, 2, 1, 1, 2)
    frames = torch.tensor([0.54, 0.4, 0.13, 0.87]).view(1, 2, 1, 1, 2)
    torch.testing.assert_close(pixel_error(frames, truth, kind, delta), torch.tensor([expected]))
