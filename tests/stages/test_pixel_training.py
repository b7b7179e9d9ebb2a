"""What a pixel model is trained on, against sums by hand: which frames,
rewards and ends are compared with what it says.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from world_models.data.batch import SequenceBatch
from world_models.data.datasets import SequenceDataset
from world_models.data.episode import RUNNING, TERMINATED, TRUNCATED, Episode
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.envs.actions import ActionSpace
from world_models.envs.make import Backend
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.models.motion import FARTHEST_SHIFTS, shifts
from world_models.models.pixel import PixelModel, PixelPrediction
from world_models.runs.device import Device, Precision
from world_models.runs.run import Run
from world_models.stages.pixel.config import PixelConfig
from world_models.stages.pixel.learning import heads_errors, loss_terms, noise_draw, noisy

SPEC = EnvSpec(
    "Toy-v0",
    {},
    Preprocessing((0, 0, 0, 0), 16, False),
    1,
    ActionSpace("discrete", 4, (), (), (), start=1),
    None,
)
RUN = Run(Path("unused"), 0, Device.cpu, Backend.gymnasium, SPEC)
PLAIN = PixelConfig(
    n_past_frames=2, n_past_actions=1, context_noise=0.0, precision=Precision.float32
)
KNOWN = 1  # transitions inside the context
PLAYED = [[1, 3, 2, 4], [2, 1, 3], [3, 3, 1, 2, 1, 4], [1, 2]]
"""Action 4 ends an episode; others are cut off."""


def episode(number: int, played: list[int]) -> Episode:
    """Action a leads to a frame of brightness 50 a and to a reward of a."""
    actions = np.array([*played, 0])
    frames = (
        np.full((len(actions), 16, 16, 3), 50, np.uint8)
        * np.array([0, *played], np.uint8)[:, None, None, None]
    )
    done = np.zeros(len(actions), np.uint8)
    done[-2] = TERMINATED if played[-1] == 4 else TRUNCATED
    return Episode(number, frames, actions, actions.astype(np.float32), done)


@pytest.fixture(params=[True, False], ids=["final frames", "no final frames"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EpisodeStore:
    meta = {
        "env": SPEC.to_dict(),
        "backend": "gymnasium",
        "policy": "random",
        "seed": 0,
        "versions": {},
    }
    writer = StoreWriter(tmp_path, {**meta, "has_final_frame": request.param})
    episodes = [episode(number, played) for number, played in enumerate(PLAYED)]
    if not request.param:
        for each in episodes:
            each.frames[-1] = 255  # the next episode's, as Procgen gives it
    writer.write_shard(0, episodes, ["train"] * len(episodes))
    writer.finish()
    return EpisodeStore.open(tmp_path)


def loss_of(
    cfg: PixelConfig, model: PixelModel, batch: SequenceBatch, step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The stage's loss, with the noise of this step."""
    return loss_terms(cfg, Device.cpu, SPEC.action_space, model, batch, noise_draw(RUN, step))


class Knowing(PixelModel):
    """Draws and says what the last action leads to; remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"context": 2, "img_channels": 3, "action_size": 4}
        self.seen: list[Tensor] = []

    def forward(self, frames: Tensor, actions: Tensor) -> PixelPrediction:
        self.check_inputs(frames, actions)
        self.seen.append(frames)
        number = actions[:, -1].argmax(-1) + 1.0
        drawn = (number * 50 / 255)[:, None, None, None].expand(frames[:, -1].shape)
        return PixelPrediction(drawn, number, 40 * (number - 3.5))


class Grey(PixelModel):
    """Draws grey, and expects no reward and no end."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"context": 2, "img_channels": 3, "action_size": 4}

    def forward(self, frames: Tensor, actions: Tensor) -> PixelPrediction:
        nothing = torch.zeros(len(frames))
        return PixelPrediction(torch.full_like(frames[:, -1], 0.5), nothing, nothing)


def batch_of(store: EpisodeStore, ahead: int = 3) -> SequenceBatch:
    """All windows, in which so many frames are to be predicted."""
    data = SequenceDataset(store, "train", KNOWN + ahead)
    return data.__getitems__(range(len(data)))


def test_frames_rewards_and_ends_are_those_to_which_the_action_led(store: EpisodeStore) -> None:
    loss, terms = loss_of(PLAIN, Knowing(), batch_of(store), 0)
    assert set(terms) == {"mse", "reward_mse", "end_bce"}
    assert max(float(loss), *map(float, terms.values())) < 1e-8, terms


@pytest.mark.parametrize("store", [False], indirect=True, ids=["no final frames"])
def test_what_is_shown_after_the_end_is_no_target(store: EpisodeStore) -> None:
    batch = batch_of(store)
    after = functional.pad(1 - batch.next_mask, (1, 0)).bool()
    assert bool((batch.mask[:, KNOWN:] > batch.next_mask[:, KNOWN:]).any())
    targets = [
        action
        for played in PLAYED
        for first in range(max(1, len(played) - 3))
        for action in played[first + KNOWN : min(first + 4, len(played) - 1)]
    ]
    reference, terms = loss_of(PLAIN, Grey(), batch, 0)
    assert float(terms["mse"]) == pytest.approx(
        np.mean([(0.5 - 50 * action / 255) ** 2 for action in targets])
    )
    for value in (0, 130, 255):
        spoilt = replace(
            batch, frames=batch.frames.masked_fill(after[..., None, None, None], value)
        )
        loss, found = loss_of(PLAIN, Grey(), spoilt, 0)
        assert torch.equal(loss, reference) and torch.equal(found["mse"], terms["mse"])


def test_a_last_transition_without_its_frame_has_its_reward_and_end(store: EpisodeStore) -> None:
    """Padding has neither."""
    batch, model = batch_of(store), Grey()
    _, terms = loss_of(PLAIN, model, batch, 0)
    windows = [played[first:] for played in PLAYED for first in range(max(1, len(played) - 3))]
    squares = [action**2 for window in windows for action in window[KNOWN:4]]
    assert float(terms["reward_mse"]) == pytest.approx(np.mean(squares))
    assert float(terms["end_bce"]) == pytest.approx(math.log(2))
    padded = replace(batch, rewards=torch.where(batch.mask > 0, batch.rewards, 100.0))
    assert float(loss_of(PLAIN, model, padded, 0)[1]["reward_mse"]) == float(terms["reward_mse"])


def test_heads_are_compared_with_the_transition_that_leads_to_the_frame() -> None:
    """Predictions begin after the context's transitions; only an end by the rules is an end."""
    done = torch.tensor(
        [[RUNNING, RUNNING, TERMINATED, RUNNING], [RUNNING, RUNNING, RUNNING, TRUNCATED]]
    )
    rewards, frames = (
        torch.tensor([[9.0, 1.0, 2.0, 0.0], [7.0, 0.0, 0.0, 3.0]]),
        torch.zeros(2, 5, 16, 16, 3),
    )
    ones = torch.ones(2, 4)
    batch = SequenceBatch(frames.byte(), ones.long(), rewards, done.byte(), ones, ones)
    said = torch.tensor([[0.5, 2.0, 0.0], [0.0, -1.0, 1.0]])
    logits = torch.tensor([[-2.0, 1.0, 0.0], [0.0, -1.0, 3.0]])
    found = [
        PixelPrediction(torch.zeros(2, 3, 16, 16), said[:, step], logits[:, step])
        for step in range(3)
    ]
    cfg = replace(PLAIN, reward_weight=0.3, end_weight=0.7)
    (reward, its_weight, squares), (end, other_weight, entropies) = heads_errors(
        cfg, found, batch, KNOWN, "cpu"
    )
    assert (reward, its_weight, end, other_weight) == ("reward_mse", 0.3, "end_bce", 0.7)
    torch.testing.assert_close(squares, torch.tensor([[0.25, 0.0, 0.0], [0.0, 1.0, 4.0]]))
    by_hand = [[math.log1p(math.exp(x)) for x in row] for row in ((-2, -1, 0), (0, -1, 3))]
    torch.testing.assert_close(entropies, torch.tensor(by_hand))
    loss, terms = loss_of(replace(cfg, delta=1.0), Grey(), batch, 0)
    assert float(loss) == pytest.approx(
        float(0.125 + 0.3 * terms["reward_mse"] + 0.7 * terms["end_bce"])
    )
    assert list(heads_errors(cfg, [PixelPrediction(frames[:, 0])], batch, KNOWN, "cpu")) == []


class Foreseeing(PixelModel):
    """Says that the picture moves down by as many pixels as the last action counts."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"context": 2, "img_channels": 3, "action_size": 4}

    def forward(self, frames: Tensor, actions: Tensor) -> PixelPrediction:
        logits = torch.zeros(len(frames), 4, shifts())
        logits[torch.arange(len(frames)), :, FARTHEST_SHIFTS[0] + actions[:, -1].argmax(-1) + 1] = (
            30.0
        )
        logits[..., -FARTHEST_SHIFTS[1] - 1] = 30.0  # not to the right
        return PixelPrediction(frames[:, -1], shifts=logits)


def test_kernels_are_told_the_motion_that_the_action_led_to() -> None:
    actions, down = torch.tensor([[1, 4, 2, 3]]), [0, 1, 5, 7, 10]
    picture = torch.randint(256, (60, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
    frames = torch.stack([picture[20 - far : 52 - far] for far in down])[None]
    nothing, ones = torch.zeros(1, 4), torch.ones(1, 4)

    def motion_term(actions: Tensor, cfg: PixelConfig = PLAIN) -> tuple[float, float]:
        batch = SequenceBatch(frames, actions, nothing, nothing.byte(), ones, ones)
        loss, terms = loss_of(cfg, Foreseeing(), batch, 0)
        return float(loss), float(terms["motion"])

    assert motion_term(actions)[1] < 0.01
    assert min(motion_term(actions.roll(shift, 1))[1] for shift in (1, -1, 2)) > 5
    light, heavy = (
        motion_term(actions.roll(1, 1), replace(PLAIN, motion_weight=weight))
        for weight in (0.0, 0.5)
    )
    assert heavy[0] - light[0] == pytest.approx(0.5 * heavy[1])


def test_the_huber_loss_bends_at_5_percent() -> None:
    """0.5 above black everywhere: delta (|e| - delta / 2)."""
    assert PixelConfig().delta == 0.05
    frames, ones = torch.zeros(1, 4, 16, 16, 3, dtype=torch.uint8), torch.ones(1, 3)
    batch = SequenceBatch(frames, ones.long(), ones, torch.zeros_like(ones).byte(), ones, ones)
    loss, _ = loss_of(replace(PLAIN, reward_weight=0.0, end_weight=0.0), Grey(), batch, 0)
    assert float(loss) == pytest.approx(0.05 * (0.5 - 0.025))


def test_noise_is_of_a_strength_of_its_own_in_each_window_and_leaves_no_range() -> None:
    grey = torch.full((400, 2, 1, 16, 16), 0.5)
    noise = noisy(grey, 0.1, torch.Generator().manual_seed(0)) - grey
    strengths = noise.flatten(1).std(1)
    assert strengths.max() < 0.1 * 1.15 and strengths.min() < 0.005
    assert strengths.mean().item() == pytest.approx(0.05, abs=0.005) and noise.mean().abs() < 1e-3
    torch.testing.assert_close(
        noise[:, 0].flatten(1).std(1), noise[:, 1].flatten(1).std(1), rtol=0.4, atol=0
    )
    extremes = torch.ones(50, 2, 1, 16, 16)
    extremes[:, :, :, 8:] = 0
    found = noisy(extremes, 0.5, torch.Generator().manual_seed(1))
    assert found.min() == 0 and found.max() == 1 and (found != extremes).float().mean() > 0.4
    assert torch.equal(extremes.unique(), torch.tensor([0.0, 1.0])), (
        "what was given stays as it was"
    )
    assert torch.equal(noisy(grey, 0.0, torch.Generator()), grey)


@pytest.mark.parametrize("store", [True], indirect=True, ids=["final frames"])
def test_noise_is_on_the_context_alone_and_another_at_each_step(store: EpisodeStore) -> None:
    batch, cfg, model = batch_of(store), replace(PLAIN, context_noise=0.3), Knowing()
    for step in (0, 1, 0):
        assert loss_of(cfg, model, batch, step)[1]["mse"] < 1e-8
    first, other, again = model.seen[0], model.seen[3], model.seen[6]
    assert torch.equal(first, again) and not torch.equal(first, other)
    clean = batch.frames[:, : KNOWN + 1].movedim(-1, -3) / 255
    assert first.shape == clean.shape and (first - clean).abs().mean() > 0.02
