"""Stage tokenizer as users run it: what a run leaves, that it learns, that it resumes exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import misfits, newest, small
from equality import assert_equal_runs, fails_at

from world_models.data.store import EpisodeStore
from world_models.data.tokens import TokenStore
from world_models.learning.tokenizer import PatchLearner
from world_models.main import main
from world_models.models.tokenizers.patch import PatchTokenizer
from world_models.runs.files import read_json, sha256
from world_models.runs.metrics import read_csv
from world_models.runs.training import Training
from world_models.worlds.tokenizing import load_tokenizer, token_encoder

PATCH = ["stage.kind=patch", "stage.threshold=6", "stage.vocabulary=64"]


def trained(finished: Path, outputs: Path, *keys: str) -> Path:
    command = small("tokenizer", f"upstream={finished / 'rollout'}", f"outputs={outputs}", *keys)
    assert main(command) == 0
    return newest(outputs)


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of vq; for reading only."""
    return trained(finished, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def patched(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of patch; for reading only."""
    return trained(finished, tmp_path_factory.mktemp("patches"), *PATCH)


def test_a_run_leaves_what_it_promises(run: Path) -> None:
    assert misfits(run) == []
    assert [int(row["step"]) for row in read_csv(run / "metrics.csv")] == [2, 3, 4, 6, 7]
    terms = {"loss", "reconstruction", "perceptual", "codebook", "perplexity", "grad_norm"}
    assert terms <= set(read_csv(run / "metrics.csv")[0])
    assert [int(row["step"]) for row in read_csv(run / "val_metrics.csv")] == [3, 6, 7]
    names = [row["name"] for row in read_csv(run / "baselines.csv")]
    assert names == ["PCA", "mean image", "previous frame"]
    for name in ("images/reconstructions.png", "images/codes.png", "report.html", "resume.sh"):
        assert (run / name).stat().st_size > 100, name
    quality = read_json(run / "quality.json")
    assert quality["tokens"] == 16 and quality["vocabulary"] == 16
    assert sum(quality["usage"]) == 16 * quality["frames"]


def test_best_is_the_model_with_the_lowest_validation_loss(run: Path) -> None:
    best = torch.load(run / "checkpoints/best.pt")
    rows = {int(row["step"]): float(row["loss"]) for row in read_csv(run / "val_metrics.csv")}
    assert best["step"] == min(rows, key=lambda step: rows[step])
    assert best["architecture"] == "vq" and best["perceptual"] == "multiscale"


@pytest.mark.parametrize("which", ["run", "patched"])
def test_tokens_are_those_of_the_best(
    which: str, finished: Path, request: pytest.FixtureRequest
) -> None:
    run: Path = request.getfixturevalue(which)
    store = EpisodeStore.open(finished / "rollout/episodes")
    best = run / "checkpoints/best.pt"
    tokens = TokenStore.open(run / "tokens", sha256(best), store)
    tokens.verify()
    model = load_tokenizer(best, store.env)
    assert (tokens.vocabulary, tokens.grid) == (model.vocabulary, model.grid)
    frames = torch.from_numpy(store.arrays(1).frames[:64].copy())
    assert np.array_equal(tokens.arrays(1)[:64], token_encoder(model, "cpu")(frames))


@pytest.mark.parametrize("call", [2, 5])
def test_ctrl_c_then_resume_equals_uninterrupted(
    run: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    command = small("tokenizer", f"upstream={finished / 'rollout'}", f"outputs={tmp_path}")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(call, Training.update))
        assert main(command) == 130
    cut = newest(tmp_path)
    assert main([f"resume={cut}"]) == 0
    assert_equal_runs(run, cut)


def test_a_book_of_patches_resumes_exactly_too(
    patched: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = f"upstream={finished / 'rollout'}"
    with monkeypatch.context() as patch:
        patch.setattr(PatchTokenizer, "fit", fails_at(5, PatchTokenizer.fit))
        assert main(small("tokenizer", upstream, f"outputs={tmp_path}", *PATCH)) == 130
    cut = newest(tmp_path)
    assert 0 < torch.load(cut / "checkpoints/last.pt")["seen"] < 40
    seen: list[int] = []
    learn = PatchLearner.learn

    def watched(self: PatchLearner, *given: object) -> None:
        seen.append(self.seen)
        learn(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(PatchLearner, "learn", watched)
    assert main([f"resume={cut}"]) == 0
    assert seen[0] > 0, "it goes on, and does not begin anew"
    assert_equal_runs(patched, cut)


def test_patches_look_at_every_training_frame_once(patched: Path, finished: Path) -> None:
    store = EpisodeStore.open(finished / "rollout/episodes")
    assert torch.load(patched / "checkpoints/last.pt")["seen"] == store.num_frames("train")
    rows = read_csv(patched / "val_metrics.csv")
    assert float(rows[-1]["psnr"]) > 30 and not (patched / "metrics.csv").exists()


@pytest.mark.slow
def test_minutes_and_epochs_become_updates(finished: Path, tmp_path: Path) -> None:
    keys = ["stage.max_steps=null", "stage.val_every_steps=100"]
    run = trained(finished, tmp_path / "a", *keys, "stage.minutes=0.001")
    state = torch.load(run / "checkpoints/last.pt")
    assert state["step"] == state["total_steps"] >= 1
    assert main([f"resume={run}"]) == 0
    run = trained(finished, tmp_path / "b", *keys, "stage.num_epochs=2", "stage.batch_size=64")
    frames = EpisodeStore.open(finished / "rollout/episodes").num_frames("train")
    assert torch.load(run / "checkpoints/last.pt")["step"] == 2 * (frames // 64)


def test_a_longer_budget_goes_on(run: Path, finished: Path, tmp_path: Path) -> None:
    short = trained(finished, tmp_path, "stage.max_steps=6")
    assert main([f"resume={short}", "stage.max_steps=7"]) == 0
    assert_equal_runs(run, short)


@pytest.mark.slow
def test_other_sizes_and_grey_frames(tmp_path: Path) -> None:
    keys = ["env.size=24", "env.grayscale=true", f"outputs={tmp_path}"]
    assert main(small("rollout", *keys)) == 0
    assert (
        main(
            small(
                "tokenizer", *keys, "stage.kind=fsq", "stage.levels=[4,3]", "stage.downsamplings=3"
            )
        )
        == 0
    )
    best = torch.load(newest(tmp_path) / "checkpoints/best.pt")
    assert best["config"]["size"] == 24 and best["config"]["img_channels"] == 1
    # a tile of the board is a patch: two kinds of empty ones, the agent's and the pellet's
    tiles = [*keys, "stage.kind=patch", "stage.patch_size=4"]
    assert main(small("tokenizer", *tiles)) == 0
    quality = read_json(newest(tmp_path) / "quality.json")
    assert quality["exact"] == 1 and quality["used"] == 6 and quality["tokens"] == 36


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["stage.num_epochs=3"], "give one of stage.max_steps, stage.num_epochs and stage.minutes"),
        (["stage.downsamplings=7"], "64x64 cannot be cut into cells of 128x128 pixels"),
        (["stage.kind=patch", "stage.patch_size=7"], "change stage.patch_size or env.size"),
        (["stage.kind=fsq", "stage.levels=[2,2]"], "stage.levels is [2, 2]; give one number"),
        (["stage.perceptual=lpips"], "needs stage.perceptual_weights, a folder"),
        (["stage.threshold=-1"], "stage.threshold is -1.0"),
    ],
)
def test_bad_keys_are_refused(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: list[str],
    message: str,
) -> None:
    outputs = f"outputs={tmp_path / 'o'}"
    assert main(small("tokenizer", f"upstream={finished / 'rollout'}", outputs, *keys)) == 1
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1, errors
    assert not (tmp_path / "o").exists()
