"""How different pictures look: LPIPS against plain loops with made-up weights; closed forms."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from world_models.models.perceptual import Lpips, multiscale, weight_shapes

SHIFT = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
SCALE = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)


def made_up() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in weight_shapes().items():
        values = torch.randn(shape, generator=draw)
        if name.startswith("lin"):
            values = values.abs() / shape[1]
        elif len(shape) == 4:
            values = values / (shape[1] * 4.5) ** 0.5
        weights[name] = values
    return weights


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return made_up()


@pytest.fixture(scope="module")
def lpips(weights: dict[str, Tensor]) -> Lpips:
    return Lpips(weights)


def vgg(weights: dict[str, Tensor]) -> nn.Sequential:
    """Layers 0 to 29 of VGG16, laid out as torchvision numbers them."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        if not width:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        channels = width
    features = nn.Sequential(*layers)
    features.load_state_dict(
        {
            name.removeprefix("features."): value
            for name, value in weights.items()
            if name.startswith("features.")
        }
    )
    return features


def test_lpips_by_its_definition(lpips: Lpips, weights: dict[str, Tensor]) -> None:
    draw = torch.Generator().manual_seed(1)
    left, right = torch.rand(2, 2, 3, 32, 32, generator=draw) * 2 - 1
    features = vgg(weights)
    expected = torch.zeros(2)
    with torch.no_grad():
        for block, end in enumerate((4, 9, 16, 23, 30)):
            maps = [features[:end]((x - SHIFT) / SCALE) for x in (left, right)]
            first, second = (x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in maps)
            linear = weights[f"lin{block}.model.1.weight"].flatten()
            per_place = torch.einsum("bchw,c->bhw", (first - second).square(), linear)
            expected += per_place.mean((1, 2))
    torch.testing.assert_close(lpips(left, right), expected, rtol=1e-3, atol=1e-5)


def test_equal_pictures_do_not_differ(lpips: Lpips) -> None:
    x = torch.rand(2, 1, 16, 16).requires_grad_()
    distance = lpips(x, x.detach())
    assert distance.tolist() == [0, 0]
    distance.sum().backward()
    assert bool(torch.isfinite(x.grad).all())


def test_black_pictures_have_a_finite_gradient(lpips: Lpips) -> None:
    x = torch.full((1, 3, 16, 16), -1.0).requires_grad_()
    lpips(x, torch.ones(1, 3, 16, 16)).sum().backward()
    assert bool(torch.isfinite(x.grad).all()) and float(x.grad.abs().max()) > 0


def test_no_checkpoint_and_no_optimizer_takes_its_weights(lpips: Lpips) -> None:
    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Linear(2, 2)
            self.perceptual = lpips

    agent = Agent().train()
    assert not agent.perceptual.training and agent.own.training
    assert {*agent.state_dict()} == {"own.weight", "own.bias"}
    assert sum(value.numel() for value in agent.parameters()) == 6


def test_the_linear_maps_are_named_as_in_the_published_file() -> None:
    spec = find_spec("torchmetrics")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "functional/image/lpips_models/vgg.pth"
    published = torch.load(path, map_location="cpu", weights_only=True)
    ours = {name: shape for name, shape in weight_shapes().items() if name.startswith("lin")}
    assert {name: tuple(value.shape) for name, value in published.items()} == ours


def test_multiscale_of_a_constant_difference() -> None:
    left, right = torch.full((2, 3, 8, 8), 0.5), torch.full((2, 3, 8, 8), -0.25)
    # the same at every scale, and no edges
    torch.testing.assert_close(multiscale(left, right), torch.full((2,), 0.75))


def test_multiscale_of_a_single_pixel() -> None:
    left, right = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    left[0, 0, 3, 4] = 1.0
    at_each_size = 1 / 64
    edges = 2 / (8 * 7)
    assert float(multiscale(left, right)) == pytest.approx(at_each_size + edges)


def test_multiscale_sees_what_cancels_out_in_the_average() -> None:
    left = torch.zeros(1, 1, 8, 8)
    left[..., ::2] = 1.0
    right = 1 - left
    assert float(multiscale(left, right)) == pytest.approx(1 / 3 + 2 / 2)
