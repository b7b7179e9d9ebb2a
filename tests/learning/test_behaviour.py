"""Behaviour: what is imagined, what is learned from it, what an update leaves alone, resuming."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learning.toys import Corridor, DarkCodes, LampWorld, TwoCodes, lamp_episodes

from world_models.envs.actions import ActionSpace
from world_models.envs.config import Backend
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.learning.behaviour import BehaviourLearner, BehaviourLearning, behaviour_loss
from world_models.learning.rollouts import (
    ModelImagination,
    begun,
    imagined,
    memory_of,
    real,
)
from world_models.models.draws import StreamDraws
from world_models.models.token_choice import Drawing
from world_models.models.token_world import TokenWorldModel
from world_models.runs.device import Device
from world_models.runs.metrics import MetricsLog
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run

SPACE = ActionSpace("discrete", 2, (), (), ())
SPEC = EnvSpec("Lamp-v0", {}, Preprocessing((0, 0, 0, 0), 16, False), 1, SPACE, 50)
CFG = BehaviourLearning(
    channels=16,
    hidden=32,
    batch_size=32,
    horizon=5,
    burn_in=3,
    discount=0.5,
    learning_rate=3e-3,
)


def run_in(folder: Path, spec: EnvSpec = SPEC) -> Run:
    manifest = {"stage": "actor_critic", "inputs": []}
    return Run(folder, 0, Device.cpu, Backend.gymnasium, spec, manifest=manifest)


def learner_in(folder: Path, cfg: BehaviourLearning = CFG) -> BehaviourLearner:
    return BehaviourLearner(cfg, run_in(folder), (1, 1), 3, log_interval=5)


def log_of(learner: BehaviourLearner) -> MetricsLog:
    return learner.run.metrics(learner.resume())


@pytest.fixture
def bar() -> ProgressBar:
    return ProgressBar("behaviour", 1)


def test_an_imagined_rollout_is_the_worlds(tmp_path: Path) -> None:
    learner, world = learner_in(tmp_path), LampWorld(lasts=3)
    episodes = lamp_episodes([6, 9])
    history = episodes.history(episodes.places(), 4)
    draws = StreamDraws(torch.Generator().manual_seed(0))
    rollout = imagined(learner.model, TwoCodes(), world, history, 5, draws)
    assert rollout.logits.shape == (5, 15, 2) and rollout.next_values.shape == (5, 15)
    # the third step ends, and is the last that counts
    assert rollout.ends.tolist() == [[step >= 2] * 15 for step in range(5)]
    assert rollout.mask.tolist() == [[float(step < 3)] * 15 for step in range(5)]
    first = history.tokens[:, -1, 0, 0]
    assert torch.equal(rollout.rewards[0], (rollout.actions[0] == first).float())
    with torch.no_grad():
        memory = memory_of(learner.model, TwoCodes(), history)
        seen = learner.model.see(TwoCodes().codes(history.tokens[:, -1]), memory)
    torch.testing.assert_close(rollout.logits[0], seen.logits)
    after = imagined(learner.model, TwoCodes(), world, history, 5, draws, after_ends=True)
    assert after.mask.all()


def test_a_dream_begins_with_all_that_was_seen_up_to_the_worlds_context(tmp_path: Path) -> None:
    """What a world of tokens goes on from is what it would after the same frames, row by row."""
    torch.manual_seed(0)
    model = TokenWorldModel(2, 1, 2, width=8, heads=2, layers=1, columns=1).eval()
    world = ModelImagination(model, (1, 1), 3)
    episodes = lamp_episodes([2, 9])
    # of the short one the second frame and the first, of the long one the second and the ninth
    rows = torch.tensor([1, 4, 11, 0])
    history = episodes.history(rows, 5)
    state = begun(world, history)
    for number, (row, frames) in enumerate(zip(rows.tolist(), (2, 2, 3, 1), strict=True)):
        tokens = episodes.tokens[row - frames + 1 : row + 1].long()[None]
        actions = episodes.actions[row - frames + 1 : row][None]
        for ours, theirs in zip(state, world.after(tokens, actions), strict=True):
            torch.testing.assert_close(ours[number : number + 1], theirs)


def test_real_steps_are_seen_as_they_were_done(tmp_path: Path) -> None:
    """What the actor says in a stretch is what it said step by step."""
    learner, tokenizer = learner_in(tmp_path), TwoCodes()
    episodes = lamp_episodes([4, 7], right=False)
    rows = torch.tensor([0, 5 + 2])
    rollout = real(learner.model, tokenizer, episodes.history(rows, 8), episodes.stretch(rows, 5))
    assert rollout.mask.T.tolist() == [[1, 1, 1, 1, 0], [1] * 5]
    assert rollout.ends.T.tolist() == [[0, 0, 0, 1, 0], [0] * 5]
    assert rollout.cuts.T.tolist() == [[0] * 5, [0, 0, 0, 0, 1]]
    memory = learner.model.begin(1)
    for t in range(7):
        codes = tokenizer.codes(episodes.tokens[5 + t].long())[None]
        opinion = learner.model.see(codes, memory)
        memory = learner.model.remember(episodes.actions[5 + t][None], opinion.state)
        if t >= 2:
            torch.testing.assert_close(rollout.logits[t - 2, 1], opinion.logits[0])
            assert rollout.actions[t - 2, 1] == episodes.actions[5 + t].argmax()
    with torch.no_grad():
        last = learner.model.see(tokenizer.codes(episodes.tokens[12].long())[None], memory)
    expected = learner.model.value_of(last.value)[0]
    torch.testing.assert_close(rollout.next_values[4, 1], expected)


def test_dreams_begin_at_all_steps_alike(tmp_path: Path) -> None:
    learner, counts = learner_in(tmp_path), torch.zeros(40)
    for step in range(1000):
        learner.training.step = step
        counts += learner._chosen(40).bincount(minlength=40)
    expected = 1000 * CFG.batch_size / 40
    far = float(((counts - expected) ** 2 / expected).sum())
    # what chi-square with 39 degrees of freedom has in all but 0.002
    assert 17.3 < far < 72.1


def test_an_update_reaches_all_of_the_actor_critic_and_nothing_else(
    tmp_path: Path, bar: ProgressBar
) -> None:
    learner, tokenizer = learner_in(tmp_path), TwoCodes()
    before = copy.deepcopy([learner.model.state_dict(), tokenizer.state_dict()])
    learner.learn(tokenizer, LampWorld(), lamp_episodes([9] * 4), 1, log_of(learner), bar)
    for name, weight in learner.model.named_parameters():
        assert weight.grad is not None and weight.grad.any(), name
        assert not torch.equal(weight, before[0][name]), name
    assert torch.equal(tokenizer.book, before[1]["book"]) and tokenizer.book.grad is None


@pytest.mark.parametrize("drawing", Drawing)
def test_an_update_changes_nothing_of_the_world_in_which_it_learns(
    tmp_path: Path, bar: ProgressBar, drawing: Drawing
) -> None:
    torch.manual_seed(0)
    model = TokenWorldModel(2, 1, 2, width=8, heads=2, layers=1, columns=1).eval()
    before = copy.deepcopy(model.state_dict())
    world, learner = ModelImagination(model, (1, 1), 3, drawing), learner_in(tmp_path)
    learner.learn(TwoCodes(), world, lamp_episodes([9] * 4), 2, log_of(learner), bar)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_its_dreams_are_drawn_as_it_says() -> None:
    """A thing that stands at one of four places is seen once where it is counted."""
    torch.manual_seed(0)
    model = TokenWorldModel(2, 4, 2, width=8, heads=2, layers=1, columns=2).eval()
    with torch.no_grad():
        model.token_head[-1].weight.zero_()
        model.token_head[-1].bias.copy_(torch.tensor([0.75, 0.25]).log())
    for drawing in Drawing:
        world = ModelImagination(model, (2, 2), 1, drawing)
        state = world.after(torch.zeros(64, 1, 2, 2, dtype=torch.int64), torch.zeros(64, 0, 2))
        draws = StreamDraws(torch.Generator().manual_seed(0))
        state = world.advance(state, torch.eye(2)[torch.zeros(64, dtype=torch.int64)], draws).state
        seen = world.tokens(state).sum((1, 2))
        assert (seen == 1).all() == (drawing is Drawing.counted)


@pytest.mark.parametrize("parity", [False, True])
def test_it_learns_what_the_world_rewards(tmp_path: Path, bar: ProgressBar, parity: bool) -> None:
    learner = learner_in(tmp_path, replace(CFG, parity=parity))
    episodes = lamp_episodes([9] * 8)
    learner.learn(TwoCodes(), LampWorld(), episodes, 120, log_of(learner), bar)
    assert share_of_right(learner) > 0.9


def test_it_learns_from_what_was_really_done(tmp_path: Path, bar: ProgressBar) -> None:
    learner = learner_in(tmp_path)
    episodes = lamp_episodes([10] * 60, right=False)
    metrics, tiles = log_of(learner), episodes.tiles(5)
    for number in range(120):
        rows = tiles[(torch.arange(32) + 32 * number) % len(tiles)]
        learner.learn_real(TwoCodes(), episodes, rows, metrics, bar)
    assert share_of_right(learner) > 0.9


def test_it_finds_its_way_by_where_things_are(tmp_path: Path, bar: ProgressBar) -> None:
    """From all 20 places of a corridor the likelier step is the one towards the goal."""
    world, tokenizer = Corridor(5), DarkCodes(5)
    cfg = replace(CFG, burn_in=0, horizon=4, discount=0.9)
    learner = BehaviourLearner(cfg, run_in(tmp_path), tokenizer.grid, tokenizer.code_size)
    learner.learn(tokenizer, world, world.episodes(), 80, log_of(learner), bar)
    places = world.everywhere()
    with torch.no_grad():
        codes = tokenizer.codes(world.tokens(places))
        logits = learner.model.see(codes, learner.model.begin(len(codes))).logits
    right = logits.argmax(1) == (places.goal > places.walker).long()
    assert right.float().mean() > 0.95


def share_of_right(learner: BehaviourLearner) -> float:
    """Of imagined steps, by the likelier action."""
    episodes = lamp_episodes([9] * 8, seed=3)
    history = episodes.history(episodes.places(), 4)
    draws = StreamDraws(torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = imagined(learner.model, TwoCodes(), LampWorld(), history, 5, draws)
    return float(found.rewards.mean())


def test_what_comes_after_an_end_changes_nothing(tmp_path: Path) -> None:
    learner = learner_in(tmp_path)
    episodes = lamp_episodes([6, 9])
    draws = StreamDraws(torch.Generator().manual_seed(0))
    history = episodes.history(episodes.places(), 4)
    rollout = imagined(learner.model, TwoCodes(), LampWorld(lasts=2), history, 5, draws)
    loss, _ = behaviour_loss(CFG, learner.model, rollout)
    rewards, values = rollout.rewards.clone(), rollout.next_values.clone()
    rewards[2:], values[1:] = 1e3, -1e3
    changed = rollout._replace(rewards=rewards, next_values=values)
    assert behaviour_loss(CFG, learner.model, changed)[0] == loss
    parity, _ = behaviour_loss(CFG, learner.model, changed._replace(mask=values * 0 + 1))
    assert parity != loss


def test_stopped_and_resumed_is_as_if_never_stopped(tmp_path: Path, bar: ProgressBar) -> None:
    episodes, world = lamp_episodes([9] * 4), LampWorld()
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = learner_in(tmp_path / "whole")
    whole.learn(TwoCodes(), world, episodes, 13, log_of(whole), bar)
    cut = learner_in(tmp_path / "cut")
    metrics = log_of(cut)
    cut.learn(TwoCodes(), world, episodes, 7, metrics, bar)
    cut.save(metrics)
    cut.learn(TwoCodes(), world, episodes, 3, metrics, bar)
    resumed = learner_in(tmp_path / "cut")
    resumed.learn(TwoCodes(), world, episodes, 13 - 7, log_of(resumed), bar)
    assert resumed.step == whole.step == 13
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], weight), name
    read = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "cut")]
    assert read[0] == read[1]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    box = ActionSpace("box", 1, (-1.0,), (1.0,), ("affine",))
    with pytest.raises(ValueError, match="those of Lamp-v0 are a Box"):
        BehaviourLearner(CFG, run_in(tmp_path, replace(SPEC, action_space=box)), (1, 1), 3)
    with pytest.raises(ValueError, match=r"stage\.discount is 1\.5; it must lie in"):
        replace(CFG, discount=1.5)
