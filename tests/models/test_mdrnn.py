import math

import pytest
import torch
from torch import Tensor

from world_models.losses import mdrnn_loss
from world_models.models.draws import RowDraws, StreamDraws
from world_models.models.mdrnn import MAX_LOG_SIGMA, MDRNN, Masks, MDRNNCell, sample_latent

T, B, A, L, H, K = 6, 3, 2, 4, 16, 5
MIXTURES = ["joint", "per_dimension"]


def seeded(seed: int) -> StreamDraws:
    return StreamDraws(torch.Generator().manual_seed(seed))


def inputs(seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(T, B, A, generator=draw), torch.randn(T, B, L, generator=draw)


def test_parameter_count_is_the_contracts() -> None:
    assert sum(weight.numel() for weight in MDRNN(32, 3, 256, 5).parameters()) == 384_071


def test_a_mixture_per_dimension_has_logits_for_each() -> None:
    mdrnn = MDRNN(32, 3, 256, 5, mixture="per_dimension")
    assert mdrnn.gmm_linear.out_features == 3 * 5 * 32 + 2
    with pytest.raises(ValueError, match="'shared' is not a valid Mixture"):
        MDRNN(32, 3, 256, 5, mixture="shared")


@pytest.mark.parametrize(("mixture", "choices"), [("joint", ()), ("per_dimension", (L,))])
def test_shapes(mixture: str, choices: tuple[int, ...]) -> None:
    mus, sigmas, logpi, rewards, dones = MDRNN(L, A, H, K, mixture=mixture)(*inputs())
    assert mus.shape == sigmas.shape == (T, B, K, L)
    assert logpi.shape == (T, B, K, *choices)
    assert rewards.shape == dones.shape == (T, B)
    assert (sigmas > 0).all()
    torch.testing.assert_close(logpi.exp().sum(2), torch.ones(T, B, *choices))


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_initial_hidden(size: int, dtype: torch.dtype) -> None:
    for model in (MDRNN(L, A, H, K).to(dtype), MDRNNCell(L, A, H, K).to(dtype)):
        for state in model.get_init_hidden(size):
            assert state.shape == (size, H) and state.dtype == dtype and not state.any()


@pytest.mark.parametrize("mixture", MIXTURES)
def test_cell_equals_sequence_model(mixture: str) -> None:
    mdrnn = MDRNN(L, A, H, K, mixture=mixture, sigma_floor=0.1)
    cell = MDRNNCell.from_mdrnn(mdrnn)
    actions, latents = inputs()
    expected = mdrnn(actions, latents)
    hidden = cell.get_init_hidden(B)
    for t in range(T):
        *outputs, hidden = cell(actions[t], latents[t], hidden)
        for output, wanted in zip(outputs, expected, strict=True):
            torch.testing.assert_close(output, wanted[t], atol=1e-4, rtol=1e-3)


def test_a_sequence_in_parts_equals_the_whole() -> None:
    mdrnn = MDRNN(L, A, H, K)
    actions, latents = inputs()
    first, state = mdrnn.unroll(actions[:2], latents[:2], mdrnn.get_init_hidden(B))
    rest, state = mdrnn.unroll(actions[2:], latents[2:], state)
    for head, tail, whole in zip(first, rest, mdrnn(actions, latents), strict=True):
        torch.testing.assert_close(torch.cat([head, tail]), whole)
    assert all(part.shape == (B, H) for part in state)


def test_cell_has_its_own_copy_of_the_weights() -> None:
    mdrnn = MDRNN(L, A, H, K)
    cell = MDRNNCell.from_mdrnn(mdrnn)
    with torch.no_grad():
        mdrnn.gmm_linear.bias.add_(1)
    assert not torch.equal(cell.gmm_linear.bias, mdrnn.gmm_linear.bias)


def test_advance_is_forward_without_the_head() -> None:
    cell = MDRNNCell(L, A, H, K)
    actions, latents = inputs()
    start = cell.get_init_hidden(B)
    hidden = cell.advance(actions[0], latents[0], start)
    for state, wanted, before in zip(
        hidden, cell(actions[0], latents[0], start)[-1], start, strict=True
    ):
        assert torch.equal(state, wanted) and not torch.equal(state, before)


def test_action_comes_before_latent() -> None:
    cell = MDRNNCell(L, A, H, K)
    with torch.no_grad():
        cell.rnn.weight_ih[:, :A].zero_()
    actions, latents = inputs()
    start = cell.get_init_hidden(B)
    blind = [cell.advance(action, latents[0], start)[0] for action in (actions[0], actions[1])]
    assert torch.equal(*blind)


@pytest.mark.parametrize("floor", [1e-3, 0.2])
def test_sigma_stays_between_the_floor_and_the_ceiling(floor: float) -> None:
    mdrnn = MDRNN(L, A, H, K, sigma_floor=floor)
    with torch.no_grad():
        mdrnn.gmm_linear.bias[K * L : 2 * K * L] = torch.tensor([-1e3, 1e3]).repeat(K * L // 2)
    low, high = mdrnn(*inputs())[1].aminmax()
    assert low == torch.tensor(floor)
    torch.testing.assert_close(high, torch.tensor(MAX_LOG_SIGMA).exp() + floor)


def test_sigma_at_its_floor_can_rise_again() -> None:
    mdrnn = MDRNN(L, A, H, 1, sigma_floor=0.1)
    with torch.no_grad():
        mdrnn.gmm_linear.bias[L : 2 * L] = -8.0
    _, sigmas, *_ = mdrnn(*inputs())
    sigmas.log().sum().backward()
    assert sigmas.max() < 0.101 and (mdrnn.gmm_linear.bias.grad[L : 2 * L] > 0).all()


@pytest.mark.parametrize("mixture", MIXTURES)
def test_gradient_reaches_every_parameter(mixture: str) -> None:
    mdrnn = MDRNN(L, A, H, K, mixture=mixture)
    actions, latents = inputs()
    ones = torch.ones(T, B)
    outputs = mdrnn(actions, latents)
    loss, _ = mdrnn_loss(outputs, latents, ones, ones, ones, ones, include_reward=True)
    loss.backward()
    without = [
        name
        for name, weight in mdrnn.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]
    assert without == []


def test_config_rebuilds_the_model() -> None:
    mdrnn = MDRNN(L, A, H, K, mixture="per_dimension", sigma_floor=0.3)
    again = MDRNN(**mdrnn.config)
    again.load_state_dict(mdrnn.state_dict())
    for mine, theirs in zip(again(*inputs()), mdrnn(*inputs()), strict=True):
        assert torch.equal(mine, theirs)
    assert MDRNNCell.from_mdrnn(mdrnn).config == mdrnn.config


@pytest.mark.parametrize("mixture", MIXTURES)
def test_overfits_one_batch(mixture: str) -> None:
    torch.manual_seed(0)
    mdrnn = MDRNN(L, A, 32, K, mixture=mixture)
    actions, latents = inputs()
    targets = torch.roll(latents, -1, 0)
    rewards = actions[..., 0]
    dones = (torch.arange(T)[:, None] == T - 1).float().expand(T, B)
    mask = torch.ones(T, B)
    optimizer = torch.optim.Adam(mdrnn.parameters(), 1e-2)
    for _ in range(600):
        loss, metrics = mdrnn_loss(
            mdrnn(actions, latents), targets, rewards, dones, mask, mask, include_reward=True
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(mdrnn.parameters(), 1.0)
        optimizer.step()
    assert metrics["gmm"] < -4 and metrics["bce"] < 0.1 and metrics["mse"] < 0.1, metrics


def test_a_latent_that_never_changes_costs_no_more_than_the_floor_allows() -> None:
    torch.manual_seed(0)
    mdrnn = MDRNN(L, A, H, K, sigma_floor=1e-2)
    actions, _ = inputs()
    latents = torch.full((T, B, L), 0.5)
    ones = torch.ones(T, B)
    optimizer = torch.optim.RMSprop(mdrnn.parameters(), 1e-3, alpha=0.9)
    losses = []
    for _ in range(300):
        outputs = mdrnn(actions, latents)
        loss, metrics = mdrnn_loss(
            outputs, latents, actions[..., 0], ones, ones, ones, include_reward=False
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(mdrnn.parameters(), 1.0)
        optimizer.step()
        losses.append(float(metrics["gmm"]))
    density = -math.log(1e-2 * math.sqrt(2 * math.pi))
    assert outputs[1].min() >= 1e-2 and all(map(math.isfinite, losses))
    assert -L * density <= min(losses) and losses[-1] < -L * density / 2


def by_hand(mdrnn: MDRNN, actions: Tensor, latents: Tensor, masks: Masks) -> Tensor:
    """Outputs (T, B, H) by the LSTM's equations (Hochreiter & Schmidhuber 1997), masked."""
    h, c = mdrnn.get_init_hidden(B)
    seen = []
    for action, latent in zip(actions, latents, strict=True):
        given = torch.cat([action, latent * masks.z, h * masks.h], 1)
        weight = torch.cat([mdrnn.rnn.weight_ih_l0, mdrnn.rnn.weight_hh_l0], 1)
        gates = given @ weight.T + mdrnn.rnn.bias_ih_l0 + mdrnn.rnn.bias_hh_l0
        i, f, g, o = gates.split(H, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        seen.append(h)
    return torch.stack(seen)


def test_dropout_masks_what_m_reads_of_z_and_h_and_nothing_else() -> None:
    mdrnn = MDRNN(L, A, H, K)
    actions, latents = inputs()
    masks = mdrnn.masks(0.4, B, seeded(1))
    found, (h, _) = mdrnn.unroll(actions, latents, mdrnn.get_init_hidden(B), masks)
    hidden = by_hand(mdrnn, actions, latents, masks)
    for output, expected in zip(found, mdrnn._head(hidden), strict=True):
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(h, hidden[-1])


def test_the_cell_drops_as_training_does() -> None:
    mdrnn = MDRNN(L, A, H, K)
    cell = MDRNNCell.from_mdrnn(mdrnn)
    actions, latents = inputs()
    masks = mdrnn.masks(0.4, B, seeded(1))
    rows, fresh = torch.arange(B), torch.ones(B, dtype=torch.bool)
    carried = mdrnn.get_init_hidden(B)
    expected, after = mdrnn.carry_on(actions, latents, carried, rows, fresh, masks)
    hidden = cell.get_init_hidden(B)
    for t in range(T):
        hidden = cell.advance(actions[t], latents[t], hidden, masks)
        for output, wanted in zip(cell.foresee(hidden[0]), expected, strict=True):
            torch.testing.assert_close(output, wanted[t], atol=1e-5, rtol=1e-4)
    for part, wanted in zip(hidden, after, strict=True):
        torch.testing.assert_close(part, wanted)


def test_where_nothing_is_dropped_it_is_the_lstm() -> None:
    mdrnn = MDRNN(L, A, H, K)
    actions, latents = inputs()
    start = mdrnn.get_init_hidden(B)
    masks = mdrnn.masks(0.0, B, seeded(1))
    assert all((mask == 1).all() for mask in masks)
    gradients = []
    for given in (masks, None):
        mdrnn.zero_grad()
        outputs, _ = mdrnn.unroll(actions, latents, start, given)
        sum(output.sum() for output in outputs).backward()
        gradients.append([weight.grad.clone() for weight in mdrnn.parameters()])
        for output, wanted in zip(outputs, mdrnn(actions, latents), strict=True):
            torch.testing.assert_close(output, wanted, atol=1e-5, rtol=1e-4)
    for mine, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dropout", [0.05, 0.3])
def test_masks_keep_their_share_and_the_expectation(dropout: float) -> None:
    for mask in MDRNN(L, A, H, K).masks(dropout, 20_000, seeded(0)):
        values, counts = mask.unique(return_counts=True)
        torch.testing.assert_close(values, torch.tensor([0, 1 / (1 - dropout)]))
        spread = math.sqrt(dropout * (1 - dropout) / mask.numel())
        assert abs(counts[1].item() / mask.numel() - (1 - dropout)) < 4 * spread
        assert abs(mask.mean().item() - 1) < 4 * spread / (1 - dropout)
        assert len(mask.unique(dim=0)) > 10, "rows differ"


def test_a_rows_mask_is_a_function_of_its_seed() -> None:
    mdrnn = MDRNN(L, A, 64, K)
    seeds, steps = torch.tensor([4, 9, 4, 1]), torch.tensor([-1, -1, -1, -1])
    z, h = mdrnn.masks(0.5, 4, RowDraws(seeds, steps))
    alone = mdrnn.masks(0.5, 1, RowDraws(seeds[1:2], steps[:1]))
    assert torch.equal(h[0], h[2]) and not torch.equal(h[0], h[1])
    assert torch.equal(alone.h[0], h[1]) and torch.equal(alone.z[0], z[1])


def mixture(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    mus = torch.tensor([[-2.0, 1.0], [3.0, 0.0], [0.5, -4.0]])
    sigmas = torch.tensor([[0.5, 1.0], [1.5, 0.2], [1.0, 0.7]])
    logpi = torch.tensor([0.2, 0.5, 0.3]).log()
    return mus.expand(rows, 3, 2), sigmas.expand(rows, 3, 2), logpi.expand(rows, 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.3])
def test_samples_have_the_mixtures_moments(temperature: float) -> None:
    mus, sigmas, logpi = mixture(200_000)
    drawn = sample_latent(mus, sigmas, logpi, seeded(0), temperature)
    weight = torch.softmax(logpi[0] / temperature, -1)[:, None]
    mean = (weight * mus[0]).sum(0)
    variance = (weight * (temperature * sigmas[0] ** 2 + mus[0] ** 2)).sum(0) - mean**2
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0), variance, atol=0, rtol=0.02)


def test_temperature_zero_gives_the_most_probable_components_mean() -> None:
    assert torch.equal(
        sample_latent(*mixture(4), temperature=0.0), torch.tensor([3.0, 0.0]).expand(4, 2)
    )


def per_dimension(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `mixture`, but the second dimension weighs the components its own way."""
    mus, sigmas, _ = mixture(rows)
    logpi = torch.tensor([[0.2, 0.6], [0.5, 0.1], [0.3, 0.3]]).log()
    return mus, sigmas, logpi.expand(rows, 3, 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.3])
def test_each_dimension_draws_from_its_own_mixture(temperature: float) -> None:
    mus, sigmas, logpi = per_dimension(200_000)
    drawn = sample_latent(mus, sigmas, logpi, seeded(0), temperature)
    weight = torch.softmax(logpi[0] / temperature, 0)
    mean = (weight * mus[0]).sum(0)
    variance = (weight * (temperature * sigmas[0] ** 2 + mus[0] ** 2)).sum(0) - mean**2
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0), variance, atol=0, rtol=0.02)
    assert abs(torch.corrcoef(drawn.T)[0, 1]) < 0.01, "dimensions choose independently"


def test_a_joint_component_holds_for_all_dimensions() -> None:
    mus, _, logpi = mixture(2_000)
    drawn = sample_latent(mus, torch.full_like(mus, 1e-6), logpi, seeded(0))
    nearest = (drawn.unsqueeze(1) - mus).abs().argmin(1)
    assert torch.equal(nearest[:, 0], nearest[:, 1]) and len(nearest[:, 0].unique()) == 3


def test_temperature_zero_gives_each_dimensions_most_probable_mean() -> None:
    assert torch.equal(
        sample_latent(*per_dimension(4), temperature=0.0), torch.tensor([3.0, 1.0]).expand(4, 2)
    )


def test_each_row_samples_its_own_mixture() -> None:
    mus = torch.arange(6.0).view(2, 3, 1)
    logpi = torch.tensor([[-50.0, 0.0, -50.0], [-50.0, -50.0, 0.0]])
    drawn = sample_latent(mus, torch.full((2, 3, 1), 1e-4), logpi, seeded(0))
    torch.testing.assert_close(drawn, torch.tensor([[1.0], [5.0]]), atol=1e-2, rtol=0)


def test_sampling_is_a_function_of_the_generator() -> None:
    first, again, other = (sample_latent(*mixture(9), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_negative_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature must be 0 or more"):
        sample_latent(*mixture(1), temperature=-1.0)
