"""Learners of tokenizers, outside of a stage: in a part of a run, on a store that grows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from world_models.data.datasets import ObservationDataset
from world_models.data.episode import TERMINATED, Episode
from world_models.data.growing import StoreAppender
from world_models.data.store import META_KEYS, EpisodeStore, StoreWriter
from world_models.envs.actions import ActionSpace
from world_models.envs.config import Backend
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.learning.tokenizer import GradientLearner, PatchLearner, build
from world_models.learning.tokenizer_config import TokenizerKind, TokenizerLearning
from world_models.learning.tokenizer_learner import TokenizerLearner
from world_models.measures.vision import HeldOut
from world_models.models.perceptual import PerceptualKind, weight_shapes
from world_models.runs.device import Device, Precision
from world_models.runs.metrics import MetricsLog
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.worlds.tokenizing import load_tokenizer, token_encoder

SPEC = EnvSpec(
    "Squares-v0",
    {},
    Preprocessing((0, 0, 0, 0), 16, False),
    1,
    ActionSpace("discrete", 3, (), (), ()),
    50,
)
META = {
    "env": SPEC.to_dict(),
    "backend": "gymnasium",
    "policy": "random",
    "seed": 0,
    "has_final_frame": True,
    "versions": {},
}


def episode(number: int, length: int = 5) -> Episode:
    """A bright square walks over a dark picture."""
    draw = np.random.default_rng(number)
    frames = np.full((length + 1, 16, 16, 3), 20, np.uint8)
    for frame, (row, column) in zip(frames, draw.integers(0, 4, (length + 1, 2)), strict=True):
        frame[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 60 + 10 * number
    done = np.zeros(length + 1, np.uint8)
    done[-2] = TERMINATED
    actions, rewards = np.zeros(length + 1, np.int64), np.zeros(length + 1, np.float32)
    return Episode(number, frames, actions, rewards, done)


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    writer = StoreWriter(tmp_path / "episodes", META)
    writer.write_shard(0, [episode(0), episode(1)], ["train", "train"])
    writer.write_shard(1, [episode(2), episode(3)], ["train", "validation"])
    writer.finish()
    return EpisodeStore.open(tmp_path / "episodes")


def a_run(path: Path) -> Run:
    path.mkdir(exist_ok=True)
    manifest: dict[str, Any] = {"stage": "toy", "inputs": []}
    return Run(path, 0, Device.cpu, Backend.gymnasium, SPEC, manifest=manifest)


def patches(**keys: Any) -> TokenizerLearning:
    return TokenizerLearning(TokenizerKind.patch, patch_size=4, batch_size=4, **keys)


def networks(kind: TokenizerKind = TokenizerKind.vq, **keys: Any) -> TokenizerLearning:
    small = {"base_channels": 8, "downsamplings": 2, "vocabulary": 8, "code_size": 4}
    given = {**small, "levels": [4, 3], "batch_size": 4, "precision": Precision.float32}
    return TokenizerLearning(kind, **{**given, **keys})


def learn(learner: TokenizerLearner, store: EpisodeStore, updates: int) -> MetricsLog:
    metrics = MetricsLog(learner.run.path)
    with ProgressBar("learn", updates) as bar:
        learner.learn(ObservationDataset(store, "train"), updates, metrics, bar)
    return metrics


def grown(store: EpisodeStore) -> EpisodeStore:
    with StoreAppender.open(
        store.folder, {key: store.manifest[key] for key in META_KEYS}
    ) as appender:
        appender.write_shard(2, [episode(4), episode(5)], ["train", "train"])
        return appender.commit()


def test_a_book_of_patches_goes_on_with_new_episodes_alone(
    store: EpisodeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = build(patches(), a_run(tmp_path / "run"), part="tokenizer")
    assert isinstance(learner, PatchLearner)
    metrics = learn(learner, store, 2)
    assert (learner.seen, learner.step) == (8, 2)
    learn(learner, store, 99)
    assert (learner.seen, learner.step) == (18, 5)
    learner.save(metrics)
    again = build(patches(), a_run(tmp_path / "run"), part="tokenizer")
    assert again.resume() == {} and again.step == 5
    looked: list[int] = []
    fit = again.model.fit

    def counted(frames: torch.Tensor) -> int:
        looked.append(len(frames))
        return fit(frames)

    monkeypatch.setattr(again.model, "fit", counted)
    learn(again, grown(store), 99)
    assert sum(looked) == 12
    whole = build(patches(), a_run(tmp_path / "other"))
    learn(whole, EpisodeStore.open(store.folder), 99)
    assert torch.equal(again.model.book, whole.model.book)
    assert int(again.model.filled) == int(whole.model.filled) == 6


def test_a_book_that_is_full_says_so_once(
    store: EpisodeStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is room for three patches, and the second episode brings the third."""
    learner = build(patches(vocabulary=3), a_run(tmp_path / "run"))
    for updates, said in ((1, 0), (2, 1), (99, 1)):
        learn(learner, store, updates)
        assert caplog.text.count("the book is full: of patches that come from now on") == said


def test_it_keeps_the_book_of_now_and_others_read_it(store: EpisodeStore, tmp_path: Path) -> None:
    learner = build(patches(), a_run(tmp_path / "run"), part="tokenizer")
    learn(learner, store, 99)
    found = learner.judge(HeldOut(store))
    assert learner.improved(1.0) and learner.improved(1.0)
    learner.keep({"loss": 1.0})
    model = load_tokenizer(tmp_path / "run/checkpoints/tokenizer/best.pt", SPEC)
    frames = torch.from_numpy(store.episode(store.rows[0]).frames.copy())
    tokens = token_encoder(model, "cpu")(frames)
    assert torch.equal((255 * model.decode(tokens)).round().byte().permute(0, 2, 3, 1), frames)
    # the square of the held-out episode has a colour that was not seen
    assert found.row().exact == 0


@pytest.mark.parametrize("kind", [TokenizerKind.vq, TokenizerKind.fsq])
def test_networks_learn_in_a_part_of_a_run(
    kind: TokenizerKind, store: EpisodeStore, tmp_path: Path
) -> None:
    learner = build(networks(kind), a_run(tmp_path / "run"), log_interval=2, part="tokenizer")
    assert isinstance(learner, GradientLearner)
    before = learner.judge(HeldOut(store)).row()
    metrics = learn(learner, store, 40)
    after = learner.judge(HeldOut(store)).row()
    assert after.reconstruction < 0.5 * before.reconstruction
    assert (after.codebook is None) == (kind is TokenizerKind.fsq)
    learner.save(metrics)
    learner.keep({"loss": 1.0})
    assert {path.name for path in (tmp_path / "run").glob("*.csv")} == {"tokenizer_metrics.csv"}
    again = build(networks(kind), a_run(tmp_path / "run"), log_interval=2, part="tokenizer")
    assert again.resume() == metrics.offsets and again.step == 40
    learn(again, store, 3)
    learn(learner, store, 3)
    for left, right in zip(again.model.parameters(), learner.model.parameters(), strict=True):
        assert torch.equal(left, right)


def test_the_terms_add_up_to_the_loss(store: EpisodeStore, tmp_path: Path) -> None:
    cfg = networks(perceptual_scale=0.5)
    learner = build(cfg, a_run(tmp_path / "run"))
    assert isinstance(learner, GradientLearner)
    loss, terms, _ = learner.loss_terms(torch.rand(2, 3, 16, 16))
    expected = terms["reconstruction"] + 0.5 * terms["perceptual"] + terms["codebook"]
    torch.testing.assert_close(loss, expected)
    plain = build(networks(perceptual=PerceptualKind.none), a_run(tmp_path / "plain"))
    assert isinstance(plain, GradientLearner)
    assert set(plain.loss_terms(torch.rand(2, 3, 16, 16))[1]) == {"reconstruction", "codebook"}


def test_what_is_far_from_the_mean_weighs_more(store: EpisodeStore, tmp_path: Path) -> None:
    plain = build(networks(), a_run(tmp_path / "plain"))
    weighed = build(networks(motion_weight=2.0), a_run(tmp_path / "weighed"))
    assert isinstance(plain, GradientLearner) and isinstance(weighed, GradientLearner)
    x = torch.rand(4, 3, 16, 16)
    loss, terms, found = plain.loss_terms(x)
    more, same, _ = weighed.loss_terms(x)
    squared = (found.frames - (2 * x - 1)).square()
    far = (x - x.mean(0)).abs().max(1, keepdim=True).values
    torch.testing.assert_close(more - loss, 2 * (far * squared).mean())
    torch.testing.assert_close(same, terms)


def weights(folder: Path, **odd: torch.Tensor) -> Path:
    """A folder with made-up weights of LPIPS, some of them odd."""
    draw = torch.Generator().manual_seed(0)
    made = {
        name: torch.randn(shape, generator=draw) * 0.02 for name, shape in weight_shapes().items()
    }
    made |= {name.replace("__", "."): value for name, value in odd.items()}
    folder.mkdir()
    for file, begins in (("vgg16.pth", "features"), ("lpips.pth", "lin")):
        kept = {name: value for name, value in made.items() if name.startswith(begins)}
        torch.save(kept, folder / file)
    return folder


def lpips(folder: Path) -> TokenizerLearning:
    return networks(perceptual=PerceptualKind.lpips, perceptual_weights=str(folder))


def test_lpips_is_read_from_files_and_no_checkpoint_holds_it(
    store: EpisodeStore, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run")
    learner = build(lpips(weights(tmp_path / "weights")), run)
    assert isinstance(learner, GradientLearner)
    assert [entry["kind"] for entry in run.manifest["inputs"]] == ["perceptual_weights"] * 2
    metrics = learn(learner, store, 1)
    learner.keep({"loss": 1.0})
    learner.save(metrics)
    names = torch.load(learner.best)["model"].keys()
    assert not [name for name in names if "lin" in name or "features" in name]
    held = sum(value.numel() for group in learner.training.optimizer.param_groups
               for value in group["params"])  # fmt: skip
    assert held == sum(value.numel() for value in learner.model.parameters())
    assert torch.load(learner.best)["perceptual"] == "lpips"


def test_weights_that_changed_are_refused_on_resuming(store: EpisodeStore, tmp_path: Path) -> None:
    run, folder = a_run(tmp_path / "run"), weights(tmp_path / "weights")
    build(lpips(folder), run)
    torch.save({"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, folder / "lpips.pth")
    with pytest.raises(ValueError, match=r"lpips.pth has changed since this run began"):
        build(lpips(folder), run)


def test_weights_that_are_missing_or_odd_are_named(tmp_path: Path) -> None:
    missing = networks(perceptual=PerceptualKind.lpips)
    with pytest.raises(ValueError, match=r"needs stage.perceptual_weights, a folder"):
        missing.check(SPEC.preprocessing)
    with pytest.raises(
        ValueError, match=r"has no file vgg16.pth and no lpips.pth: put torchvision"
    ):
        lpips(tmp_path).check(SPEC.preprocessing)
    odd = weights(tmp_path / "odd", lin2__model__1__weight=torch.ones(1, 128, 1, 1))
    with pytest.raises(ValueError, match=r"lin2.model.1.weight is \(1, 128, 1, 1\), where it must"):
        build(lpips(odd), a_run(tmp_path / "run"))
    (odd / "lpips.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"lpips.pth is damaged, or no file of weights"):
        build(lpips(odd), a_run(tmp_path / "other"))


def test_a_tokenizer_of_other_frames_is_refused(store: EpisodeStore, tmp_path: Path) -> None:
    learner = build(patches(), a_run(tmp_path / "run"))
    learn(learner, store, 1)
    learner.keep({"loss": 1.0})
    other = EnvSpec(**{**vars(SPEC), "preprocessing": Preprocessing((0, 0, 0, 0), 32, False)})
    with pytest.raises(ValueError, match=r"is for frames of size 16 with 3 channels, and those of"):
        load_tokenizer(learner.best, other)
    state = torch.load(learner.best)
    state["model"]["filled"] = torch.tensor(1 << 20)
    torch.save(state, learner.best)
    with pytest.raises(ValueError, match=r"filled is 1048576 in a book of 512 patches"):
        load_tokenizer(learner.best)
