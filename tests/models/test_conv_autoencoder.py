"""The convolutional autoencoder: shapes, its loss, and what each variance term holds."""

import numpy as np
import pytest
import torch

from world_models.losses import VarianceForm, autoencoder_loss, latent_variance
from world_models.models.conv_autoencoder import ConvAutoencoder
from world_models.runs import seeding


@pytest.mark.parametrize(
    ("size", "factor", "side"),
    [((64, 64), 8, (8, 8)), ((84, 84), 8, (10, 10)), ((84, 60), 16, (5, 3))],
)
def test_shapes(size: tuple[int, int], factor: int, side: tuple[int, int]) -> None:
    model = ConvAutoencoder(3, factor, latent_channels=5, base_channels=8)
    recon, z = model(torch.rand(2, 3, *size))
    assert tuple(recon.shape) == (2, 3, *size) and tuple(z.shape) == (2, 5, *side)
    assert float(recon.detach().min()) >= 0 and float(recon.detach().max()) <= 1
    assert torch.equal(
        ConvAutoencoder(**model.config).encode(torch.zeros(1, 3, *size)).isnan().any(),
        torch.tensor(False),
    )


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (3, 64, 64), (1, 3, 7, 64)], ids=str)
def test_pictures_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes pictures \(B, 3, H, W\) of at least 8x8"):
        ConvAutoencoder(3, base_channels=8).encode(torch.rand(shape))


def test_the_loss_in_closed_form() -> None:
    draw = np.random.default_rng(0)
    x, recon = draw.random((2, 4, 3, 8, 8))
    z = draw.normal(size=(4, 5, 2, 2)) * np.arange(1, 6)[None, :, None, None] + 3
    given = (torch.tensor(recon), torch.tensor(x), torch.tensor(z))
    _, scalar = autoencoder_loss(*given, VarianceForm.scalar, 0.1, 2.0)
    loss, channels = autoencoder_loss(*given, VarianceForm.per_channel, 0.1, 2.0)
    # |e| < 1, so Huber's is e^2/2
    assert float(scalar["recon_loss"]) == pytest.approx(((recon - x) ** 2).mean() / 2)
    variance = np.mean([picture.var() for picture in z])
    assert float(scalar["latent_var"]) == pytest.approx(variance)
    assert float(scalar["var_reg_loss"]) == pytest.approx(0.1 * (variance - 2) ** 2)
    each = np.array([z[:, channel].var() for channel in range(5)])
    assert float(channels["latent_var"]) == pytest.approx(each.mean())
    assert float(channels["var_reg_loss"]) == pytest.approx(0.1 * ((each - 2) ** 2).mean())
    assert float(loss) == pytest.approx(float(channels["recon_loss"] + channels["var_reg_loss"]))


def test_the_scalar_form_is_met_by_latents_that_say_nothing() -> None:
    constant = torch.tensor([1.0, -1.0])[None, :, None, None].expand(6, 2, 3, 3)
    assert float(latent_variance(constant, VarianceForm.scalar)) == 1
    assert latent_variance(constant, VarianceForm.per_channel).tolist() == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("form", VarianceForm, ids=lambda form: form.value)
def test_training_holds_every_channel_near_the_target_in_the_per_channel_form_alone(
    form: VarianceForm,
) -> None:
    draw = seeding.torch_generator(0, "autoencoder test")
    with seeding.seeded_weights(0, "autoencoder test"):
        model = ConvAutoencoder(1, latent_channels=4, base_channels=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        x = torch.rand(32, 1, 4, 4, generator=draw).repeat_interleave(8, 2).repeat_interleave(8, 3)
        recon, z = model(x)
        optimizer.zero_grad()
        autoencoder_loss(recon, x, z, form, 0.01, 1.0)[0].backward()
        optimizer.step()
    variances = latent_variance(model.encode(x).detach(), VarianceForm.per_channel)
    near = bool(((variances > 0.7) & (variances < 1.4)).all())
    assert near == (form is VarianceForm.per_channel), variances
