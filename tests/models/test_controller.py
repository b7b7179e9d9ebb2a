import numpy as np
import pytest
import torch

from world_models.models.controller import (
    Controller,
    act_many,
    controller_features,
    flatten_parameters,
    load_parameters,
    num_parameters,
)
from world_models.models.mdrnn import MDRNN


def test_parameter_count_is_the_papers() -> None:
    count = sum(weight.numel() for weight in Controller(32, 256, 3).parameters())
    assert count == num_parameters(32, 256, 3) == 867
    assert count == len(flatten_parameters(Controller(32, 256, 3)))


def test_a_controller_knows_its_sizes() -> None:
    controller = Controller(7, 5, 2, features="z", hidden_units=4)
    sizes = (controller.latent_size, controller.hidden_size, controller.action_size)
    assert sizes == (7, 5, 2) and set(controller.state_dict()) == {
        "hidden.0.0.weight",
        "hidden.0.0.bias",
        "linear.weight",
        "linear.bias",
    }


@pytest.mark.parametrize(
    ("features", "hidden_units", "count"),
    [("z", 0, 99), ("z", 40, 1443), ("zh", 0, 867), ("zch", 0, 1635), ("zch", 10, 5483)],
)
def test_each_way_to_see_has_its_parameters(features: str, hidden_units: int, count: int) -> None:
    """1443 is the paper's V with a hidden layer."""
    controller = Controller(32, 256, 3, features=features, hidden_units=hidden_units)
    assert count == num_parameters(**controller.config) == len(flatten_parameters(controller))


def test_features_are_latent_then_hidden() -> None:
    features = controller_features(torch.zeros(2, 3), torch.ones(2, 4))
    assert torch.equal(features, torch.tensor([[0.0] * 3 + [1.0] * 4] * 2))
    assert Controller(3, 4, 2)(features).shape == (2, 2)


@pytest.mark.parametrize("module", [Controller(5, 7, 3), MDRNN(4, 2, 8, 3)])
def test_parameters_round_trip(module: torch.nn.Module) -> None:
    vector = (
        np.random.default_rng(0).standard_normal(len(flatten_parameters(module))).astype(np.float32)
    )
    load_parameters(module, vector)
    assert flatten_parameters(module).dtype == np.float64
    assert np.array_equal(flatten_parameters(module), vector)


def test_vector_is_weight_by_rows_then_bias() -> None:
    controller = Controller(2, 1, 2)
    load_parameters(controller, np.arange(8.0))
    assert torch.equal(controller.linear.weight, torch.tensor([[0.0, 1, 2], [3, 4, 5]]))
    assert torch.equal(controller.linear.bias, torch.tensor([6.0, 7]))


def test_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="Controller has 867 parameters"):
        load_parameters(Controller(32, 256, 3), np.zeros(868))


SHAPES = [("zh", 0), ("z", 40), ("zch", 10)]


def many(
    rows: int, features: str = "zh", hidden_units: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    width = {"z": 32, "zh": 288, "zch": 544}[features]
    size = num_parameters(32, 256, 3, features, hidden_units)
    return torch.randn(rows, size, generator=draw), torch.randn(rows, width, generator=draw)


@pytest.mark.parametrize(("seen", "units"), SHAPES)
def test_act_many_equals_each_rows_controller(seen: str, units: int) -> None:
    vectors, features = many(9, seen, units)
    together = act_many(vectors, features, units)
    controller = Controller(32, 256, 3, features=seen, hidden_units=units)
    for row in range(9):
        load_parameters(controller, vectors[row].numpy())
        torch.testing.assert_close(together[row], controller(features[row]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("seen", "units"), SHAPES)
def test_act_many_does_not_depend_on_the_number_of_rows(seen: str, units: int) -> None:
    vectors, features = many(64, seen, units)
    together = act_many(vectors, features, units)
    for rows in (1, 2, 7, 33):
        assert torch.equal(act_many(vectors[:rows], features[:rows], units), together[:rows])


def test_one_controller_can_play_every_row() -> None:
    vectors, features = many(5)
    shared = vectors[:1].expand(5, -1)
    assert torch.equal(act_many(shared, features), act_many(vectors[:1].repeat(5, 1), features))
