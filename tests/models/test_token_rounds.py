"""Drawing the tokens of a frame in rounds, each told what was drawn before."""

from itertools import product

import pytest
import torch
from torch import Tensor

from world_models.losses import token_world_loss
from world_models.models.draws import StreamDraws
from world_models.models.token_choice import draw_tokens
from world_models.models.token_rounds import turns_of
from world_models.models.token_world import TokenWorldModel

B, T, K, V, A, COLUMNS = 2, 3, 6, 5, 2, 3


def model_of(rounds: int, places: int = K, vocabulary: int = V, **sizes: object) -> TokenWorldModel:
    torch.manual_seed(0)
    given = {"width": 16, "heads": 2, "layers": 2, "dropout": 0.0, "blocks": 8, **sizes}
    columns = COLUMNS if places == K else 2
    model = TokenWorldModel(
        vocabulary,
        places,
        A,
        columns=columns,
        rounds=rounds,
        **given,  # type: ignore[arg-type]
    )
    return model.double().eval()


def episodes(rows: int = B, steps: int = T) -> tuple[Tensor, Tensor]:
    """Tokens (B, T+1, K) and actions (B, T, A)."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(V, (rows, steps + 1, K), generator=draw)
    return tokens, torch.randn(rows, steps, A, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("rounds", [2, 3, 4])
@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (3, 3), (4, 7)])
def test_neighbours_are_never_drawn_in_the_same_round(rounds: int, rows: int, columns: int) -> None:
    turns = torch.tensor(turns_of(rows * columns, columns, rounds)).view(rows, columns)
    assert sorted(turns.unique().tolist()) == list(range(rounds))
    near = [(0, 1), (1, 0)] + ([(1, 1), (1, -1)] if rounds == 4 else [])
    for (row, column), (down, right) in product(product(range(rows), range(columns)), near):
        if row + down < rows and 0 <= column + right < columns:
            assert turns[row, column] != turns[row + down, column + right]


@pytest.mark.parametrize("sequence", ["retention", "attention"])
@pytest.mark.parametrize("rounds", [2, 3])
def test_training_says_of_a_round_what_a_dream_does(rounds: int, sequence: str) -> None:
    model, (tokens, actions) = model_of(rounds, sequence=sequence), episodes()
    foreseen = [
        model(tokens, actions, torch.full((B, T), number)).tokens for number in range(rounds)
    ]
    state = model.begin(tokens[:, :1], actions[:, :0])
    for t in range(T):
        left = iter(tokens[:, t + 1][:, model.order].split(model.sizes, dim=1))
        state, found = model.step(state, actions[:, t], lambda logits, left=left: next(left))
        assert torch.equal(state.tokens, tokens[:, t + 1])
        for number, said in enumerate(foreseen):
            turn = model.turns == number
            ours, theirs = found.tokens[:, 0, turn], said[:, t, turn]
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("sequence", ["retention", "attention"])
def test_a_later_round_reads_what_the_first_does(sequence: str) -> None:
    """Also where attention's memory is full, so that the newest block drives out the oldest."""
    model, (tokens, actions) = model_of(2, sequence=sequence, blocks=2), episodes()
    state = model.begin(tokens[:, :T], actions[:, : T - 1])
    blocks = model._blocks(state.before[:, None], state.tokens[:, None], actions[:, T - 1 :])
    told = torch.randn(B, 1, K, model.config["width"], dtype=torch.float64)
    found, memory = model._foresee(blocks, state.memory, state.seen, told)
    again = model._once_more(blocks, state, memory, told)
    torch.testing.assert_close(again, found.tokens[:, 0], rtol=0, atol=1e-10)


def test_a_round_knows_the_rounds_before_it_and_no_other() -> None:
    model, (tokens, actions) = model_of(2), episodes()
    drawn = torch.tensor([[0, 1, 1], [1, 0, 1]])
    said = model(tokens, actions, drawn).tokens
    for place in range(K):
        other = tokens.clone()
        other[:, 1:, place] = (other[:, 1:, place] + 1) % V
        # only what is told of each frame changes, not what stood before
        blocks = model._blocks(tokens[:, :1], tokens[:, :-1], actions)
        told = model._told(other[:, 1:], drawn)
        memory, seen = model.stack.empty(B), torch.zeros(B, dtype=torch.int64)
        changed = model._foresee(blocks, memory, seen, told)[0].tokens
        same = (changed == said).flatten(2).all(-1)
        assert torch.equal(same, model.to_be_drawn(drawn)[..., place])
    torch.testing.assert_close(
        model(tokens, actions).tokens[drawn == 0], said[drawn == 0], rtol=0, atol=1e-10
    )


def test_frames_come_as_often_as_the_rounds_say() -> None:
    """Of 2x2 places and two tokens: the chances of all 16 frames sum to 1 and are met."""
    rows, places = 4000, 4
    model = model_of(2, places, 2)
    frames = torch.tensor(list(product(range(2), repeat=places)))
    first = torch.zeros(1, 1, places, dtype=torch.int64)
    tokens = torch.stack([first[0, 0].expand(16, -1), frames], dim=1)
    actions = torch.zeros(16, 1, A, dtype=torch.float64)
    logs = torch.zeros(16, places, dtype=torch.float64)
    with torch.no_grad():
        for number in range(2):
            said = model(tokens, actions, torch.full((16, 1), number)).tokens[:, 0].log_softmax(-1)
            turn = model.turns == number
            logs[:, turn] = said.gather(-1, frames[..., None])[:, turn, 0]
        chances = logs.sum(1).exp()
        draws = StreamDraws(torch.Generator().manual_seed(0))
        state = model.begin(first.expand(rows, -1, -1), torch.zeros(rows, 0, A).double())
        state, _ = model.step(
            state, torch.zeros(rows, A).double(), lambda logits: draw_tokens(logits, draws)
        )
    assert float(chances.sum()) == pytest.approx(1, abs=1e-12)
    numbers = (state.tokens * torch.tensor([8, 4, 2, 1])).sum(1)
    found = numbers.bincount(minlength=16) / rows
    deviations = (chances * (1 - chances) / rows).sqrt()
    assert ((found - chances).abs() <= 4.5 * deviations).all()


def test_what_is_told_is_not_learned() -> None:
    """The loss of a frame is the mean over the tokens that are still to be drawn."""
    model, (tokens, actions) = model_of(2), episodes()
    drawn = torch.tensor([[0, 1, 1], [1, 0, 1]])
    left = model.to_be_drawn(drawn)
    found = model(tokens, actions, drawn)
    zeros, ones = torch.zeros(B, T).double(), torch.ones(B, T).double()
    nats = -found.tokens.log_softmax(-1).gather(-1, tokens[:, 1:, :, None])[..., 0]
    expected = torch.stack([nats[i, t][left[i, t]].mean() for i in range(B) for t in range(T)])
    _, terms = token_world_loss(
        found.tokens, tokens[:, 1:], zeros, found.done, zeros, ones, ones, places=left
    )
    torch.testing.assert_close(terms["tokens"], expected.mean().detach())


@pytest.mark.parametrize(
    ("rounds", "columns", "sentence"),
    [
        (0, 3, "rounds is 0; it must be at least 1 and at most 4"),
        (5, 3, "rounds is 5; it must be at least 1 and at most 4"),
        (2, 0, "rounds is 2, which needs prediction tokens that are told what stands around"),
        (4, 1, "rounds is 4, and 3 places in 1 columns leave a round without a place"),
    ],
)
def test_rounds_that_cannot_be_are_refused(rounds: int, columns: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TokenWorldModel(V, 3, A, columns=columns, rounds=rounds)


def test_a_model_of_one_round_is_as_it_was() -> None:
    assert "rounds" not in model_of(1).config
    assert model_of(3).config["rounds"] == 3
