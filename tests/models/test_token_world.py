"""The token world model: what is foreseen in training is what a dream foresees, step by step."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from world_models.losses import token_world_loss
from world_models.models.draws import RowDraws, StreamDraws
from world_models.models.token_choice import draw_counted, draw_tokens
from world_models.models.token_input import standardised
from world_models.models.token_world import Foreseen, TokenState, TokenWorldModel
from world_models.models.two_hot import Signs
from world_models.worlds.world import place, select

B, T, K, V, A, D = 3, 4, 6, 7, 2, 5
KINDS = [
    pytest.param({"sequence": sequence, **how}, id=f"{sequence}-{name}")
    for sequence in ("retention", "attention")
    for name, how in {
        "pop": {},
        "informed": {"columns": 3},
        "one-by-one": {"pop": False},
    }.items()
]


def model_of(**options: object) -> TokenWorldModel:
    torch.manual_seed(0)
    sizes = {"code_size": D, "width": 16, "heads": 2, "layers": 2, "dropout": 0.0, "blocks": 8}
    model = TokenWorldModel(V, K, A, **{**sizes, **options})  # type: ignore[arg-type]
    if model.config["code_size"]:
        model.read_tokens.use(torch.randn(V, model.config["code_size"]))
    # it begins at 0, where it would say the same of everything
    torch.nn.init.normal_(model.reward_head[-1].weight)
    return model.double().eval()


def episodes(seed: int = 0, rows: int = B, steps: int = T) -> tuple[Tensor, Tensor]:
    """Tokens (B, T+1, K) and actions (B, T, A)."""
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(V, (rows, steps + 1, K), generator=draw)
    return tokens, torch.randn(rows, steps, A, generator=draw, dtype=torch.float64)


class Forced:
    """Chooses what is given, whatever the model says: all tokens of a frame, or one by one."""

    def __init__(self, frame: Tensor) -> None:
        self.left = frame

    def __call__(self, logits: Tensor) -> Tensor:
        count = logits.shape[1]
        chosen, self.left = self.left[:, :count], self.left[:, count:]
        return chosen


def walked(
    model: TokenWorldModel, state: TokenState, tokens: Tensor, actions: Tensor
) -> tuple[TokenState, Foreseen]:
    """Step by step under these actions, every frame forced to be the true one."""
    found = []
    for t in range(actions.shape[1]):
        state, one = model.step(state, actions[:, t], Forced(tokens[:, t]))
        assert torch.equal(state.tokens, tokens[:, t])
        found.append(one)
    return state, Foreseen(*(torch.cat(part, dim=1) for part in zip(*found, strict=True)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("context", [1, 3])
def test_training_foresees_what_a_dream_does(kind: dict[str, object], context: int) -> None:
    model, (tokens, actions) = model_of(**kind), episodes()
    known = context - 1
    state = model.begin(tokens[:, :context], actions[:, :known])
    after, dreamt = walked(model, state, tokens[:, context:], actions[:, known:])
    for ours, theirs in zip(dreamt, model(tokens, actions), strict=True):
        torch.testing.assert_close(ours, theirs[:, known:], rtol=0, atol=1e-10)
    # a dream stands where an episode does that has seen the same
    for ours, theirs in zip(after, model.begin(tokens, actions), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("columns", [0, 8])
@pytest.mark.parametrize("sequence", ["retention", "attention"])
def test_at_the_published_sizes_they_agree_in_single_precision(sequence: str, columns: int) -> None:
    torch.manual_seed(0)
    model = TokenWorldModel(512, 64, 4, sequence=sequence, columns=columns).eval()
    tokens = torch.randint(512, (1, 5, 64))
    actions = torch.eye(4)[torch.randint(4, (1, 4))]
    with torch.inference_mode():
        state = model.begin(tokens[:, :2], actions[:, :1])
        _, dreamt = walked(model, state, tokens[:, 2:], actions[:, 1:])
        for ours, theirs in zip(dreamt, model(tokens, actions), strict=True):
            torch.testing.assert_close(ours, theirs[:, 1:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("places", [4, 6, 24])
def test_a_frame_costs_one_call_or_one_for_each_round_or_token(places: int) -> None:
    tokens = torch.zeros(B, 1, places, dtype=torch.int64)
    for options, calls in (
        ({"pop": True}, 1),
        ({"columns": 2}, 1),
        ({"columns": 2, "rounds": 2}, 2),
        ({"pop": False}, places + 1),
    ):
        model = TokenWorldModel(V, places, A, width=16, heads=2, layers=2, **options).eval()
        state = model.begin(tokens, torch.zeros(B, 0, A))
        seen = []
        model.stack.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        model.step(state, torch.zeros(B, A), lambda logits: logits.argmax(-1))
        assert len(seen) == calls, options


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_state_are_episodes(kind: dict[str, object]) -> None:
    model, (tokens, actions) = model_of(**kind), episodes()
    old = model.begin(tokens[:, :3], actions[:, :2])
    young = model.begin(tokens[:1, :1], actions[:1, :0])
    mixed = place(old, torch.tensor([1]), young)
    _, found = model.step(mixed, actions[:, 2], lambda logits: logits.argmax(-1))
    _, alone = model.step(young, actions[1:2, 2], lambda logits: logits.argmax(-1))
    _, first = model.step(select(old, [0]), actions[:1, 2], lambda logits: logits.argmax(-1))
    torch.testing.assert_close(found.tokens[1:2], alone.tokens, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.tokens[:1], first.tokens, rtol=0, atol=1e-10)


@pytest.mark.parametrize("columns", [0, 3])
def test_tokens_of_a_frame_reach_only_later_frames(columns: int) -> None:
    model, (tokens, actions) = model_of(columns=columns), episodes()
    other = tokens.clone()
    other[:, 2, 3] = (other[:, 2, 3] + 1) % V
    found, changed = model(tokens, actions), model(other, actions)
    for ours, theirs in zip(found, changed, strict=True):
        same = (ours == theirs).view(B, T, -1).all(-1).all(0)
        assert same[:2].all() and not same[2:].any()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ({}, []),
        # of a frame of 2x3: all that is around place 3, and after it at the same places
        ({"columns": 3}, [(2, 0), (2, 1), (2, 3), (2, 4), (3, 0), (3, 1), (3, 3), (3, 4)]),
        ({"pop": False}, [(1, 4)]),
    ],
)
def test_a_token_begins_with_what_it_is_told(
    kind: dict[str, object], told: list[tuple[int, int]]
) -> None:
    """Where all mixing says 0, only what a token begins with can reach what is foreseen."""
    model, (tokens, actions) = model_of(layers=1, **kind), episodes()
    for weight in model.stack.layers[0].mix.parameters():
        torch.nn.init.zeros_(weight)
    other = tokens.clone()
    other[:, 2, 3] = (other[:, 2, 3] + 1) % V
    same = (model(tokens, actions).tokens == model(other, actions).tokens).all(-1)
    known = torch.ones(B, T, K, dtype=torch.bool)
    for step, where in told:
        known[:, step, where] = False
    assert torch.equal(same, known)


@pytest.mark.parametrize("wrong", [{"columns": 4}, {"columns": -3}, {"columns": 3, "pop": False}])
def test_columns_in_which_a_frame_does_not_stand_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cannot stand in"):
        model_of(**wrong)


@pytest.mark.parametrize("columns", [0, 3])
def test_an_action_reaches_what_it_leads_to(columns: int) -> None:
    model, (tokens, actions) = model_of(columns=columns), episodes()
    other = actions.clone()
    other[:, 2] += 1
    for ours, theirs in zip(model(tokens, actions), model(tokens, other), strict=True):
        same = (ours == theirs).view(B, T, -1).all(-1).all(0)
        assert same[:2].all() and not same[2:].any()


def test_an_untrained_model_foresees_no_reward() -> None:
    tokens, actions = episodes()
    model = TokenWorldModel(V, K, A, width=16, heads=2, layers=1)
    assert (model.reward_code.decode(model(tokens, actions.float()).reward) == 0).all()


def test_codes_are_read_wherever_they_lie_and_not_trained() -> None:
    model, given = model_of(), episodes()
    expected = model(*given).tokens
    codes = model.read_tokens.codes.clone()
    model.read_tokens.use(codes / 512 - 3)
    torch.testing.assert_close(model(*given).tokens, expected, rtol=0, atol=1e-10)
    model.read_tokens.use(codes.flip(0))
    assert (model(*given).tokens - expected).abs().max() > 0.01
    assert "read_tokens.codes" not in dict(model.named_parameters())
    assert "read_tokens.codes" in model.state_dict()
    assert "read_tokens.codes" not in model_of(code_size=0).state_dict()


def test_codes_that_are_not_in_use_do_not_count() -> None:
    codes = torch.randn(5, D, generator=torch.Generator().manual_seed(0)) + 4
    found = standardised(torch.cat([codes, torch.zeros(3, D)]))
    torch.testing.assert_close(found[:5], standardised(codes))
    assert not found[5:].any() and abs(float(found.mean())) < 1e-6
    assert float(found[:5].square().mean()) == pytest.approx(1, rel=1e-5)


def test_parity_is_the_published_size() -> None:
    # retention of five layers, heads and actions as published; the unused half of the embedding,
    # and a prediction token that is never read, are left out
    model = TokenWorldModel(512, 64, 4, code_size=256, parity=True)
    trained = sum(weight.numel() for weight in model.parameters())
    assert sum(weight.numel() for weight in model.stack.parameters()) == 4_277_760
    # one logit of the end in place of two
    assert trained == 4_277_760 + (330_245 - 257) + 4 * 256 + 64 * 256
    with pytest.raises(ValueError, match="codes of 5 numbers go in as they are only at a width"):
        TokenWorldModel(V, K, A, code_size=D, width=16, parity=True)


def test_no_reward_can_be_said_with_certainty() -> None:
    code = model_of().reward_code
    sure = 50.0 * torch.nn.functional.one_hot(torch.tensor(code.bins // 2), code.bins)
    assert float(code.loss(sure, torch.tensor(0.0))) < 1e-6 and float(code.decode(sure)) == 0


def test_signs_are_three_classes() -> None:
    logits = torch.tensor([[1.0, 0.0, 3.0]])
    chances = logits.softmax(-1)[0]
    assert Signs().decode(logits)[0] == pytest.approx(float(chances[2] - chances[0]))
    for number, place_ in ((-7.0, 0), (0.0, 1), (0.2, 2)):
        found = Signs().loss(logits, torch.tensor([number]))
        assert float(found) == pytest.approx(-float(chances[place_].log()))


def loss_of(model: TokenWorldModel, tokens: Tensor, actions: Tensor, mask: Tensor) -> Tensor:
    """As in training, the frame after the last step of a row unknown."""
    found = model(tokens, actions)
    rewards = tokens[:, 1:, 0].double() - 3
    nats = model.reward_code.loss(found.reward, rewards)
    ends = (tokens[:, 1:, 1] == 0).double()
    next_mask = mask * torch.nn.functional.pad(mask[:, 1:], (0, 1))
    return token_world_loss(
        found.tokens, tokens[:, 1:], nats, found.done, ends, mask, next_mask, done_weight=2.0
    )[0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_masked_neither_counts_nor_teaches(kind: dict[str, object]) -> None:
    tokens, actions = episodes()
    mask = torch.ones(B, T, dtype=torch.float64)
    mask[1, 2:] = 0
    other, moved = tokens.clone(), actions.clone()
    # of the last step that counts, the next frame is unknown, but its reward and end are not:
    # what is read of them here stays
    other[1, 2, 2:], other[1, 3:], moved[1, 2:] = 0, 0, 9
    found = []
    for given in ((tokens, actions), (other, moved)):
        model = model_of(**kind)
        loss = loss_of(model, *given, mask)
        loss.backward()
        found.append([loss, *(weight.grad for weight in model.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert ours is None or torch.equal(ours, theirs)


def test_each_term_is_a_mean_over_what_is_read() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, K, V, generator=draw)
    tokens = torch.randint(V, (2, 3, K), generator=draw)
    nats, done = torch.rand(2, 3, generator=draw), torch.randn(2, 3, generator=draw)
    ends = torch.tensor([[0.0, 0, 1], [0, 0, 0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0]])
    next_mask = torch.tensor([[1.0, 1, 0], [1, 0, 0]])
    loss, terms = token_world_loss(
        logits, tokens, nats, done, ends, mask, next_mask, reward_weight=0.5, done_weight=3.0
    )
    said = logits.log_softmax(-1)
    read = [(0, 0), (0, 1), (1, 0)]
    by_hand = [-said[b, t, k, tokens[b, t, k]] for b, t in read for k in range(K)]
    assert float(terms["tokens"]) == pytest.approx(float(torch.stack(by_hand).mean()), rel=1e-5)
    assert float(terms["reward"]) == pytest.approx(float(nats[0].sum() + nats[1, 0]) / 4, rel=1e-5)
    chance = done.sigmoid()
    ended = -3 * chance[0, 2].log() - (1 - chance[[0, 0, 1], [0, 1, 0]]).log().sum()
    assert float(terms["end"]) == pytest.approx(float(ended) / 4, rel=1e-5)
    assert float(loss) == pytest.approx(
        float(terms["tokens"] + 0.5 * terms["reward"] + terms["end"]), rel=1e-5
    )


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([2.0, 0.0, -torch.inf, 1.0]).expand(20_000, 1, 4)
    generator = torch.Generator().manual_seed(0)
    for temperature in (1.0, 0.5):
        drawn = draw_tokens(logits, StreamDraws(generator), temperature)
        found = drawn.flatten().bincount(minlength=4) / 20_000
        chances = (logits[0, 0] / temperature).softmax(-1)
        spread = (chances * (1 - chances) / 20_000).sqrt()
        assert ((found - chances).abs() <= 3 * spread).all(), (found, chances)
    assert (draw_tokens(logits, StreamDraws(generator), 0.0) == 0).all()


def test_a_rows_tokens_are_its_own() -> None:
    logits = torch.randn(4, K, V, generator=torch.Generator().manual_seed(0))
    seeds, steps = torch.tensor([5, 6, 7, 8]), torch.tensor([0, 3, 0, 1])
    whole = draw_tokens(logits, RowDraws(seeds, steps))
    part = draw_tokens(logits[[2, 1]], RowDraws(seeds[[2, 1]], steps[[2, 1]]))
    assert torch.equal(part, whole[[2, 1]])


@pytest.mark.parametrize("sequence", ["retention", "attention"])
def test_a_few_segments_are_learnt_by_heart(sequence: str) -> None:
    model = model_of(sequence=sequence, width=32, layers=1).float()
    tokens, actions = episodes(rows=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(120):
        found = model(tokens, actions.float())
        loss = cross_entropy(found.tokens.flatten(0, 2), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-20:]) < 0.05 < losses[0]


def independent_and_counted(chances: Tensor) -> tuple[Tensor, Tensor]:
    """Draws (N, K) of frames with these chances (K, V), place by place and counted."""
    logits = chances.log().expand(4000, -1, -1)
    draws = StreamDraws(torch.Generator().manual_seed(0))
    return draw_tokens(logits, draws), draw_counted(logits, draws)


def test_a_thing_that_appears_somewhere_appears_once() -> None:
    # one thing in one of 16 places: drawn place by place, there is one in (15/16)^15 of the frames
    chances = torch.tensor([15 / 16, 1 / 16]).expand(16, 2)
    independent, counted = independent_and_counted(chances)
    once = (independent == 1).sum(1).eq(1).double().mean()
    assert float(once) == pytest.approx((15 / 16) ** 15, abs=0.03)
    assert (counted == 1).sum(1).eq(1).all()
    # and at every place as often
    found = (counted == 1).double().mean(0)
    assert ((found - 1 / 16).abs() < 4 * (15 / 256 / 4000) ** 0.5).all()


def test_a_thing_that_moves_is_at_one_place() -> None:
    # 0 is empty; thing 1 goes to one of two places, thing 2 comes in half of the frames
    rows = [[1, 0, 0]] * 6 + [[0.5, 0.5, 0]] * 2 + [[0.5, 0, 0.5]]
    chances = torch.tensor(rows).clamp(min=1e-9)
    independent, counted = independent_and_counted(chances)
    assert (independent == 1).sum(1).ne(1).double().mean() > 0.45
    assert (counted == 1).sum(1).ne(1).double().mean() < 0.2
    for thing, places in ((1, [6, 7]), (2, [8])):
        share = (counted[:, places] == thing).double().mean()
        assert float(share) == pytest.approx(0.5, abs=0.06)


def test_a_counted_row_is_its_own() -> None:
    logits = torch.randn(4, K, V, generator=torch.Generator().manual_seed(0))
    seeds, steps = torch.tensor([5, 6, 7, 8]), torch.tensor([0, 3, 0, 1])
    whole = draw_counted(logits, RowDraws(seeds, steps))
    part = draw_counted(logits[[2, 1]], RowDraws(seeds[[2, 1]], steps[[2, 1]]))
    assert torch.equal(part, whole[[2, 1]])
