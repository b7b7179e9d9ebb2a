import pytest
import torch
from torch import Tensor

from world_models.losses import conv_vae_loss
from world_models.models.convvae import ConvVAE, ConvVAEDecoder, ConvVAEEncoder, SmallConvVAE


def pictures(batch: int = 4, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(batch, channels, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_parameter_count_is_the_papers() -> None:
    assert sum(weight.numel() for weight in ConvVAE(3, 32).parameters()) == 4_348_547


def test_the_small_one_has_a_quarter_of_the_channels() -> None:
    large, small = ConvVAE(3, 32).state_dict(), SmallConvVAE(3, 32).state_dict()
    ends = {"encoder.conv1.weight": (8, 3, 4, 4), "decoder.deconv4.weight": (8, 3, 6, 6)}
    heads = {"encoder.fc_mu.weight": (32, 256), "decoder.fc.weight": (256, 32)}
    assert {name: tuple(small[name].shape) for name in ends | heads} == ends | heads
    for name in ("conv2", "conv3", "conv4"):
        key = f"encoder.{name}.weight"
        assert small[key].numel() * 16 == large[key].numel()


@pytest.mark.parametrize("kind", [ConvVAE, SmallConvVAE])
@pytest.mark.parametrize(("channels", "latent_size"), [(3, 32), (1, 7), (3, 64)])
def test_shapes_and_range(kind: type[ConvVAE], channels: int, latent_size: int) -> None:
    x = pictures(5, channels)
    recon, mu, logsigma = kind(channels, latent_size)(x)
    assert recon.shape == x.shape
    assert mu.shape == logsigma.shape == (5, latent_size)
    assert recon.min() >= 0 and recon.max() <= 1


def test_encoder_and_decoder_stand_alone() -> None:
    mu, logsigma = ConvVAEEncoder(3, 16)(pictures())
    assert mu.shape == logsigma.shape == (4, 16)
    assert ConvVAEDecoder(16, 3)(mu).shape == (4, 3, 64, 64)


@pytest.mark.parametrize("shape", [(2, 3, 96, 96), (2, 1, 64, 64), (3, 64, 64), (2, 64, 64, 3)])
def test_other_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"pictures \(B, 3, 64, 64\), not"):
        ConvVAE(3, 8)(torch.zeros(shape))


def test_gradient_reaches_every_parameter() -> None:
    vae = ConvVAE(3, 8)
    x = pictures()
    recon, mu, logsigma = vae(x)
    conv_vae_loss(recon, x, mu, logsigma).backward()
    without = [
        name
        for name, weight in vae.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ]
    assert without == []


def test_latent_is_mu_plus_sigma_times_noise() -> None:
    vae = ConvVAE(3, 8)
    x = pictures()
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    recon, mu, logsigma = vae(x, noise)
    torch.testing.assert_close(recon, vae.decoder(mu + logsigma.exp() * noise))
    drawn = vae(x, generator=torch.Generator().manual_seed(1))[0]
    torch.testing.assert_close(drawn, recon)


def test_forward_is_a_function_of_the_generator() -> None:
    vae = ConvVAE(3, 8)
    x = pictures()
    first, again, other = (
        vae(x, generator=torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kind", [ConvVAE, SmallConvVAE])
def test_config_rebuilds_each_part(kind: type[ConvVAE]) -> None:
    vae = kind(1, 6)
    for part in (vae, vae.encoder, vae.decoder):
        type(part)(**part.config).load_state_dict(part.state_dict())


def test_overfits_one_batch() -> None:
    torch.manual_seed(0)
    vae = ConvVAE(3, 8)
    noise = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(pictures(4, seed=3)[:, :, :4, :4], size=64)
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    losses = []
    for _ in range(60):
        recon, mu, logsigma = vae(x, generator=noise)
        loss = conv_vae_loss(recon, x, mu, logsigma)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0], (losses[0], losses[-1])
