"""Pictures of V: what each row holds."""

import numpy as np
import pytest
import torch

from world_models.measures.vision import LatentStatistics
from world_models.measures.vision_pictures import (
    prior_samples,
    reconstructions,
    striking,
    traversals,
)
from world_models.models.convvae import ConvVAE


@pytest.fixture(scope="module", params=[1, 3])
def model(request: pytest.FixtureRequest) -> ConvVAE:
    torch.manual_seed(0)
    model = ConvVAE(request.param, 10)
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.mul_(3)
    return model.eval()


def frames(model: ConvVAE, count: int) -> torch.Tensor:
    shape = (count, 64, 64, model.config["img_channels"])
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def drawn(model: ConvVAE, z: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return (model.decoder(z).permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)


def mean_latents(model: ConvVAE, given: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.encoder(given.permute(0, 3, 1, 2).float() / 255)[0]


class Grey(torch.nn.Module):
    """Draws 100 of 255 everywhere, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def encoder(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(x), 2), torch.zeros(len(x), 2)

    def decoder(self, z: torch.Tensor) -> torch.Tensor:
        return torch.full((len(z), 3, 64, 64), 100 / 255)


@pytest.mark.parametrize(
    ("off", "label", "shown"),
    [(130, "error", 130), (20, "error, 8 times", 160), (0, "error, 128 times", 0)],
)
def test_the_error_is_brightened_as_its_label_says(off: int, label: str, shown: int) -> None:
    given = torch.full((2, 64, 64, 3), 100 + off, dtype=torch.uint8)
    given[0, 0, 0] = 100
    given[1, 0, 0] = 255
    rows = reconstructions(Grey(), given)
    assert list(rows) == ["frame", "reconstruction", label]
    assert np.array_equal(rows["frame"], given) and (rows["reconstruction"] == 100).all()
    assert (rows[label][0, 0, 0] == 0).all() and (rows[label][0, 1:] == shown).all()
    assert (rows[label][1, 0, 0] == (155 if label == "error" else 255)).all(), (
        "what is too bright is white"
    )


def test_v_draws_from_the_mean_latent(model: ConvVAE) -> None:
    given = frames(model, 3)
    assert np.array_equal(
        reconstructions(model, given)["reconstruction"], drawn(model, mean_latents(model, given))
    )


def test_traversals_move_one_latent_of_the_frame_by_its_deviation(model: ConvVAE) -> None:
    deviations = torch.tensor([0.0, 5, 1, 2, 3, 4, 6, 7, 8, 9])
    latents = LatentStatistics()
    mu = torch.tensor([[-1.0], [1.0]]) * deviations + 7
    latents.add(mu, torch.zeros_like(mu))
    frame = frames(model, 1)
    rows, heads = traversals(model, frame[0], latents)
    assert [label.split()[0] for label in rows] == ["z9", "z8", "z7", "z6", "z1", "z5", "z4", "z3"]
    assert heads == ["-3 sd", "-2 sd", "-1 sd", "frame's z", "+1 sd", "+2 sd", "+3 sd"]
    z = mean_latents(model, frame).repeat(7, 1)
    z[:, 1] += 5.0 * torch.arange(-3, 4)
    moved = next(tiles for label, tiles in rows.items() if label.startswith("z1 "))
    assert np.abs(moved.astype(int) - drawn(model, z)).max() <= 1
    assert not np.array_equal(moved[0], moved[6])
    middle = drawn(model, mean_latents(model, frame))[0].astype(int)
    assert all(np.abs(tiles[3] - middle).max() <= 1 for tiles in rows.values())


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_frame_is_chosen_in_which_something_is_to_be_seen(place: int) -> None:
    frames = torch.full((3, 64, 64, 3), 200, dtype=torch.uint8)
    frames[1] = 90
    frames[place, 20:40, 20:40] = 0
    assert torch.equal(striking(frames), frames[place])


def test_samples_of_the_prior_are_seeded(model: ConvVAE) -> None:
    first, again, other = (
        prior_samples(model, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    tiles = np.concatenate(list(first.values()))
    z = torch.randn(30, 10, generator=torch.Generator().manual_seed(0))
    assert [part.shape[0] for part in first.values()] == [10, 10, 10]
    assert np.array_equal(tiles, drawn(model, z))
    assert np.array_equal(tiles, np.concatenate(list(again.values())))
    assert not np.array_equal(tiles, np.concatenate(list(other.values())))
