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
    assert count == num_parameters(32, 256, 3) == len(flatten_parameters(Controller(32, 256, 3))) == 867


def test_features_are_latent_then_hidden() -> None:
    features = controller_features(torch.zeros(2, 3), torch.ones(2, 4))
    assert torch.equal(features, torch.tensor([[0.0] * 3 + [1.0] * 4] * 2))
    assert Controller(3, 4, 2)(features).shape == (2, 2)


@pytest.mark.parametrize("module", [Controller(5, 7, 3), MDRNN(4, 2, 8, 3)])
def test_parameters_round_trip(module: torch.nn.Module) -> None:
    vector = np.random.default_rng(0).standard_normal(len(flatten_parameters(module))).astype(np.float32)
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


def many(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(rows, num_parameters(32, 256, 3), generator=draw), torch.randn(rows, 288, generator=draw)


def test_act_many_equals_each_rows_controller() -> None:
    vectors, features = many(9)
    together, controller = act_many(vectors, features), Controller(32, 256, 3)
    for row in range(9):
        load_parameters(controller, vectors[row].numpy())
        torch.testing.assert_close(together[row], controller(features[row]), atol=1e-4, rtol=1e-4)


def test_act_many_does_not_depend_on_the_number_of_rows() -> None:
    vectors, features = many(64)
    together = act_many(vectors, features)
    for rows in (1, 2, 7, 33):
        assert torch.equal(act_many(vectors[:rows], features[:rows]), together[:rows])


def test_one_controller_can_play_every_row() -> None:
    vectors, features = many(5)
    shared = vectors[:1].expand(5, -1)
    assert torch.equal(act_many(shared, features), act_many(vectors[:1].repeat(5, 1), features))
