"""Next-frame pixel models.

Untrained they copy, no layer is blind to actions, shifts are shifts, rollouts are causal.
"""

import numpy as np
import pytest
import torch
from torch import nn

from world_models.models.pixel import FiLM, Head, PixelModel, PixelPrediction, group_norm, roll_out
from world_models.models.pixel_heads import Advect, shift_matrices
from world_models.models.pixel_unet import PixelUNet
from world_models.models.pixel_world_model import PixelWorldModel

NUM_ACTIONS = 5


def inputs(
    size: int = 64, channels: int = 3, batch: int = 2, steps: int = 4
) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    frames = torch.rand(batch, 4, channels, size, size, generator=draw)
    numbers = torch.randint(NUM_ACTIONS, (batch, steps), generator=draw)
    return frames, torch.eye(NUM_ACTIONS)[numbers]


def models() -> dict[str, PixelModel]:
    torch.manual_seed(0)
    small = (8, 12, 16)
    unets = {
        head.value: PixelUNet(
            3, NUM_ACTIONS, head=head.value, widths=small, rewards=True, ends=True
        )
        for head in Head
    }
    return {**unets, "pixel_world_model": PixelWorldModel(3, NUM_ACTIONS, width_mult=0.25)}


def randomised(model: PixelModel) -> PixelModel:
    """Every weight drawn anew, those that begin at zero too."""
    draw = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=draw) / max(1, weight[0].numel()) ** 0.5
    return model


@pytest.mark.parametrize("name", list(models()))
@pytest.mark.parametrize(("size", "channels"), [(64, 3), (84, 3)])
def test_pictures_in_pictures_out(name: str, size: int, channels: int) -> None:
    model = models()[name]
    found = model(*inputs(size, channels))
    assert found.frame.shape == (2, channels, size, size) and found.frame.dtype == torch.float32
    assert found.frame.min() >= 0 and found.frame.max() <= 1
    if name == "pixel_world_model":
        assert found.reward is None and found.done is None
    else:
        assert found.reward is not None and found.done is not None
        assert found.reward.shape == found.done.shape == (2,)


@pytest.mark.parametrize("name", ["advect", "residual"])
def test_untrained_they_copy_the_last_frame(name: str) -> None:
    frames, actions = inputs()
    model = models()[name]
    assert (model(frames, actions).frame - frames[:, -1]).abs().max() < 1e-2
    _, many = inputs(steps=12)
    assert (roll_out(model, frames, many)[-1].frame - frames[:, -1]).abs().max() < 3e-2


@pytest.mark.parametrize("name", list(models()))
def test_no_layer_is_blind_to_the_actions(name: str) -> None:
    """With random weights each FiLM alone changes the output.

    All others are held at the first actions' values.
    """
    model = randomised(models()[name])
    frames, actions = inputs()
    others = actions.roll(1, dims=2)
    films = [layer for layer in model.modules() if isinstance(layer, FiLM)]
    reference = model(frames, actions).frame
    conditions: list[torch.Tensor] = []
    hooks = [
        film.register_forward_pre_hook(lambda _, args: conditions.append(args[1])) for film in films
    ]
    model(frames, others)
    for hook in hooks:
        hook.remove()
    assert len(films) == len(conditions) >= 8
    for film, condition in zip(films, conditions, strict=True):
        hook = film.register_forward_pre_hook(
            lambda _, args, condition=condition: (args[0], condition)
        )
        changed = (model(frames, actions).frame - reference).abs().max()
        hook.remove()
        assert changed > 1e-3, film


def test_a_norm_after_the_condition_would_cancel_it() -> None:
    """Why groups have at least four channels and the norm comes first."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 32, 6, 6, generator=draw)
    condition = 0.1 * torch.randn(2, 7, generator=draw)
    film = FiLM(7, 32)
    nn.init.normal_(film.linear.weight, generator=draw)
    one_each = nn.GroupNorm(32, 32, affine=False)
    assert (one_each(film(x, condition)) - one_each(x)).abs().max() < 1e-4
    assert (film(group_norm(32)(x), condition) - group_norm(32)(x)).abs().max() > 0.1
    assert all(
        width // group_norm(width).num_groups >= 4 for width in (4, 24, 32, 48, 64, 100, 256)
    )


def test_shift_matrices_shift_and_repeat_the_edge() -> None:
    column = torch.arange(6.0)
    expected = {-2: [2, 3, 4, 5, 5, 5], 0: [0, 1, 2, 3, 4, 5], 1: [0, 0, 1, 2, 3, 4]}
    for shift, values in expected.items():
        weights = torch.eye(5)[shift + 2]
        assert (shift_matrices(weights, 6) @ column).tolist() == values
    # by -2 and by 1
    halves = torch.tensor([0.5, 0, 0, 0.5, 0])
    torch.testing.assert_close(
        shift_matrices(halves, 6) @ column, torch.tensor([1, 1.5, 2.5, 3.5, 4, 4.5])
    )


def test_kernels_move_the_frame_as_numpy_rolls_it() -> None:
    head = Advect(3, 7, kernels=2, reach=(3, 2))
    frame = inputs()[0][:, -1]
    logits = torch.full((2, 2, 12), -30.0)
    shifts = [[(1, -2), (-3, 0)], [(0, 2), (2, 1)]]
    for row in range(2):
        for kernel, (down, right) in enumerate(shifts[row]):
            logits[row, kernel, down + 3] = 30.0
            logits[row, kernel, 7 + right + 2] = 30.0
    moved = head.moved(frame, logits)
    for row in range(2):
        for kernel, (down, right) in enumerate(shifts[row]):
            padded = np.pad(frame[row].numpy(), ((0, 0), (4, 4), (4, 4)), mode="edge")
            expected = np.roll(padded, (down, right), (1, 2))[:, 4:-4, 4:-4]
            np.testing.assert_allclose(moved[row, kernel].numpy(), expected, atol=1e-6)


def test_rollouts_feed_on_themselves_and_see_no_later_action() -> None:
    model = randomised(models()["residual"])
    frames, actions = inputs(steps=7)
    found = roll_out(model, frames, actions)
    assert len(found) == 4
    once = model(frames, actions[:, :4]).frame
    torch.testing.assert_close(found[0].frame, once)
    torch.testing.assert_close(
        found[1].frame, model(torch.cat([frames[:, 1:], once[:, None]], 1), actions[:, 1:5]).frame
    )
    changed = actions.clone()
    changed[:, 5] = actions[:, 5].roll(1, dims=1)
    others = roll_out(model, frames, changed)
    assert torch.equal(found[1].frame, others[1].frame)
    assert not torch.equal(found[2].frame, others[2].frame)


def test_the_published_model_has_its_layers_and_84_pixels() -> None:
    model = PixelWorldModel(1, 15, past_actions=1)
    sizes = [layer[0].weight.shape[:2] for layer in (*model.encoder, *model.decoder)]
    assert sizes == [
        (32, 6),
        (64, 32),
        (128, 64),
        (256, 128),
        (128, 256),
        (64, 128),
        (32, 64),
        (32, 32),
    ]
    frames = torch.rand(2, 4, 84, 84)
    actions = torch.tensor([3, 14])
    found = model.predict(frames, actions)
    assert found.shape == (2, 1, 84, 84)
    numbered = torch.eye(15)[actions][:, None].expand(-1, 4, -1)
    assert torch.equal(found, model(frames[:, :, None], numbered).frame)


@pytest.mark.parametrize("name", ["advect", "residual", "direct"])
def test_it_learns_one_batch(name: str) -> None:
    """Frames of which each is the last one moved by what the action says."""
    torch.manual_seed(0)
    model = PixelUNet(1, NUM_ACTIONS, head=name, widths=(8, 12, 16))
    frames, actions = inputs(size=16, channels=1, batch=8)
    target = torch.stack(
        [
            frame[-1].roll(int(action[-1].argmax()) - 2, dims=2)
            for frame, action in zip(frames, actions, strict=True)
        ]
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    errors = []
    for _ in range(80):
        error = (model(frames, actions).frame - target).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.3 * errors[0]


class Dimmer(PixelModel):
    """Each frame is the last one times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"context": 1, "img_channels": 1, "action_size": NUM_ACTIONS}
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, frames: torch.Tensor, actions: torch.Tensor) -> PixelPrediction:
        return PixelPrediction(self.weight * frames[:, -1])


def test_gradients_go_back_through_the_frames_that_were_fed_back() -> None:
    """After n frames w^n x is shown, of which the derivative is n w^(n-1) x."""
    for count in (1, 2, 4):
        model = Dimmer()
        found = roll_out(
            model, torch.full((1, 1, 1, 2, 2), 0.8), torch.zeros(1, count, NUM_ACTIONS)
        )
        found[-1].frame.mean().backward()
        assert model.weight.grad is not None
        assert model.weight.grad.item() == pytest.approx(count * 0.5 ** (count - 1) * 0.8)


@pytest.mark.parametrize("name", list(models()))
def test_every_model_lets_gradients_through(name: str) -> None:
    found = roll_out(randomised(models()[name]), *inputs(size=40, steps=6))
    found[0].frame.retain_grad()
    found[-1].frame.square().mean().backward()
    assert found[0].frame.grad is not None and found[0].frame.grad.abs().max() > 0


@torch.no_grad()
@pytest.mark.parametrize("name", list(models()))
def test_with_any_weights_long_rollouts_stay_in_range(name: str) -> None:
    """Also from black and white pictures with large weights.

    A sum of parts may be off in its last bit.
    """
    model = randomised(models()[name])
    frames, actions = inputs(size=40, steps=19)
    rounding = 1e-6 if name == "advect" else 0
    for scale in (1, 3):
        for weight in model.parameters():
            weight.mul_(scale)
        found = torch.stack([one.frame for one in roll_out(model, frames.round(), actions)])
        assert len(found) == 16 and (found[-1] - found[0]).abs().max() > 0.01
        assert found.min() >= 0 and found.max() <= 1 + rounding


def test_the_kernels_of_advect_learn_apart() -> None:
    torch.manual_seed(0)
    model = PixelUNet(3, 5, widths=[8, 12], condition=16, head="advect")
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    frames = torch.rand(8, model.context, 3, 16, 16)
    actions = torch.rand(8, model.context, 5)
    for _ in range(5):
        optimizer.zero_grad()
        (model(frames, actions).frame - frames[:, -1].roll(1, -1)).square().mean().backward()
        optimizer.step()
    head = model.head
    assert isinstance(head, Advect)
    kernels = head.shifts.weight.grad.view(head.kernels, -1)
    assert kernels.norm(dim=1).min() > 0
    assert all(
        float((kernels[0] - other).norm() / kernels[0].norm()) > 0.1 for other in kernels[1:]
    )
