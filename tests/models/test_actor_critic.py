"""The actor-critic: memory by steps and by burn-in, what reaches what, drawn actions."""

import pytest
import torch

from world_models.models.actor_critic import ActorCritic, ActorState, Usual, draw_actions
from world_models.models.draws import StreamDraws
from world_models.runs import weights

SIZES = (6, (2, 3), 4)


def model_of(**values: object) -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(*SIZES, channels=8, hidden=16, **values)  # type: ignore[arg-type]


def history(rows: int, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    codes = torch.randn(rows, steps, 6, 2, 3, generator=draw)
    numbers = torch.randint(4, (rows, steps), generator=draw)
    return codes, torch.nn.functional.one_hot(numbers, 4).float()


def online(model: ActorCritic, codes: torch.Tensor, actions: torch.Tensor) -> ActorState:
    state = model.begin(len(codes))
    for t in range(codes.shape[1]):
        state = model.remember(actions[:, t], model.see(codes[:, t], state).state)
    return state


def test_published_sizes() -> None:
    """4,572,357 parameters at 4 actions, 8x8 codes of 256 numbers, values as one number."""
    published = ActorCritic(256, (8, 8), 4, value_bins=0)
    assert sum(value.numel() for value in published.parameters()) == 4_572_357


@pytest.mark.parametrize("action_inputs", [True, False])
def test_burn_in_is_stepping_through_the_same_history(action_inputs: bool) -> None:
    model = model_of(action_inputs=action_inputs)
    codes, actions = history(3, 5)
    valid = torch.ones(3, 5, dtype=torch.bool)
    valid[1, :2] = valid[2, :5] = False
    state = model.burn_in(codes, actions, valid)
    for row, first in ((0, 0), (1, 2), (2, 5)):
        alone = online(model, codes[row : row + 1, first:], actions[row : row + 1, first:])
        for part, other in zip(state, alone, strict=True):
            torch.testing.assert_close(part[row], other[0], atol=1e-6, rtol=0)


def test_what_is_padding_is_not_read() -> None:
    model = model_of()
    codes, actions = history(2, 4)
    valid = torch.tensor([[False, False, True, True]] * 2)
    state = model.burn_in(codes, actions, valid)
    codes[:, :2], actions[:, :2] = 1e6, 1e6
    assert torch.equal(model.burn_in(codes, actions, valid).h, state.h)


def test_actions_are_remembered_where_they_are_inputs_and_only_there() -> None:
    codes, actions = history(2, 3)
    other = actions.roll(1, -1)
    valid = torch.ones(2, 3, dtype=torch.bool)
    for action_inputs in (True, False):
        model = model_of(action_inputs=action_inputs)
        states = [model.burn_in(codes, done, valid).h for done in (actions, other)]
        assert torch.equal(*states) is not action_inputs


def test_a_row_depends_on_no_row_beside_it() -> None:
    model = model_of()
    codes, actions = history(4, 3)
    valid = torch.ones(4, 3, dtype=torch.bool)
    state = model.burn_in(codes, actions, valid)
    turned = model.burn_in(codes.flip(0), actions.flip(0), valid)
    torch.testing.assert_close(turned.h.flip(0), state.h)


def test_what_is_usual_is_the_mean_of_what_was_seen() -> None:
    """Of all batches alike at first, and later mostly of the newest."""
    usual = Usual((6, 2, 3), decay=0.75)
    batches = torch.randn(10, 5, 6, 2, 3, generator=torch.Generator().manual_seed(2))
    expected = torch.zeros(6, 2, 3)
    for number, batch in enumerate(batches):
        kept = min(0.75, number / (number + 1))
        expected = kept * expected + (1 - kept) * batch.mean(0)
        usual.take_in(batch)
        torch.testing.assert_close(usual.mean, expected)
        if number < 4:
            torch.testing.assert_close(usual.mean, batches[: number + 1].mean((0, 1)))
    torch.testing.assert_close(usual(batches[0]), batches[0] - expected)


def test_what_all_frames_share_changes_nothing() -> None:
    """The LSTM reads the same, of mean 0 and deviation 1, whatever is added to every frame."""
    codes, _ = history(32, 1)
    codes = codes[:, 0]
    ground = 5 * torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(3))
    read = []
    for shared in (0, ground):
        model = model_of(centred=True)
        model.get_used_to(codes + shared)
        read.append(model.features(codes + shared))
    torch.testing.assert_close(*read, atol=1e-4, rtol=0)
    scaled = model.convs[:-1](1e-3 * codes)
    torch.testing.assert_close(scaled.mean(1), torch.zeros(32), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.var(1, correction=0), torch.ones(32), atol=1e-2, rtol=0)


@pytest.mark.parametrize("value_bins", [128, 0])
def test_the_critic_learns_a_mean(value_bins: int) -> None:
    model = model_of(value_bins=value_bins)
    said = torch.zeros(1, value_bins or 1, requires_grad=True)
    assert model.value_of(said).item() == 0
    optimizer = torch.optim.Adam([said], lr=0.1)
    targets = torch.tensor([0.0, 0.0, 6.0])
    for _ in range(400):
        optimizer.zero_grad()
        model.value_error(said.expand(3, -1), targets).sum().backward()
        optimizer.step()
    assert model.value_of(said.detach()).item() == pytest.approx(2, abs=0.1)


def test_agents_of_before_are_read_as_they_were() -> None:
    """Their configuration says nothing of `centred`."""
    before = model_of()
    config = {key: value for key, value in before.config.items() if key != "centred"}
    stored = {"config": config, "model": before.state_dict()}
    after = weights.model_of(ActorCritic, stored, "agent.pt")
    codes, _ = history(2, 1)
    assert torch.equal(after.features(codes[:, 0]), before.features(codes[:, 0]))


def test_actions_are_drawn_as_often_as_their_chances_say() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0]).expand(20_000, 3)
    for temperature in (1.0, 0.5):
        draws = StreamDraws(torch.Generator().manual_seed(0))
        drawn = draw_actions(logits, temperature, draws)
        shares = drawn.bincount(minlength=3) / len(drawn)
        chances = (logits[0] / temperature).softmax(0)
        error = (chances * (1 - chances) / len(drawn)).sqrt()
        assert ((shares - chances).abs() < 4 * error).all()
    assert (draw_actions(logits, 0, draws) == 1).all()
