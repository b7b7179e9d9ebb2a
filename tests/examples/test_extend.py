"""Each example of docs/extending.md, run small: what it adds takes part."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from commands import newest, small

import world_models
from world_models.agents import policy
from world_models.config import groups
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.measures import own
from world_models.models import cells, convvae, pixel_heads
from world_models.report import modules
from world_models.runs.metrics import read_csv
from world_models.runs.past import PastRun
from world_models.worlds import tokenizing
from world_models.worlds.latent import load_vae
from world_models.worlds.pixel import load_pixel_predictor

EXAMPLES = Path(__file__).parents[2] / "examples"
TABLES: list[dict[str, Any]] = [
    *(policy.POLICIES, convvae.VAES, cells.CELLS, pixel_heads.HEAD_MODULES, tokenizing.TOKENIZERS),
    *(own.MEASURES, modules.EXTRAS, groups.OWN_STAGES),
]
"""What the examples add to."""


@pytest.fixture
def example(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """The module of the example that the test names, imported; what it added is taken out again."""
    before = [dict(table) for table in TABLES]
    monkeypatch.syspath_prepend(EXAMPLES)
    first, *others = [importlib.import_module(name) for name in request.param.split()]
    yield first
    for module in (first, *others):
        sys.modules.pop(module.__name__)
    gymnasium.registry.pop("Slope-v0", None)
    for table, content in zip(TABLES, before, strict=True):
        table.clear()
        table.update(content)


def of(*names: str) -> pytest.MarkDecorator:
    words = " ".join(f"extend_{name}" for name in names)
    return pytest.mark.parametrize("example", [words], indirect=True)


def run(stage: str, outputs: Path, upstream: Path | None, *keys: str) -> Path:
    """The folder of a small run on Pellet."""
    fed = [] if upstream is None else [f"upstream={upstream}"]
    assert main(small(stage, *fed, f"outputs={outputs}", *keys)) == 0
    return newest(outputs)


def test_all_are_short_and_shown() -> None:
    page = (EXAMPLES.parent / "docs" / "extending.md").read_text()
    names = [path.name for path in sorted(EXAMPLES.glob("extend_*.py"))]
    assert len(names) == 12
    assert re.findall(r"literalinclude\} \.\./examples/(extend_\w+\.py)", page) and all(
        f"```{{literalinclude}} ../examples/{name}\n" in page for name in names
    )
    for name in names:
        lines = (EXAMPLES / name).read_text().splitlines()
        assert len([line for line in lines if line.strip()]) < 40, name
        assert not re.search(r"import _|\._[a-z]", "\n".join(lines)), name


@of("environment")
def test_an_environment(example: ModuleType, tmp_path: Path) -> None:
    keys = ["env=gymnasium", "env.id=extend_environment:Slope-v0"]
    short = ["stage.episodes=3", "stage.shard_size=3", "stage.workers=0", "threads=1"]
    assert main(["stage=rollout", *keys, *short, f"outputs={tmp_path}"]) == 0
    store = EpisodeStore.open(newest(tmp_path) / "episodes")
    frames = store.episode(store.rows[0]).frames
    assert frames.shape[1:] == (64, 64, 3) and (frames[0] == [250, 180, 60]).all(-1).sum() == 64


@of("policy")
def test_a_policy(example: ModuleType, tmp_path: Path) -> None:
    made = run("rollout", tmp_path, None, "stage.policy=rounds", "stage.episodes=6")
    store = EpisodeStore.open(made / "episodes")
    for row in store.rows:
        actions = store.episode(row).actions[: row.length]
        each = 1 + row.seed % 3
        np.testing.assert_array_equal(actions, np.arange(row.length) // each % 5)
    assert store.manifest["policy"] == "rounds"


@of("vae", "metric", "report")
@pytest.mark.slow
def test_a_vae_with_a_metric_and_a_section_of_its_page(
    example: ModuleType, finished: Path, tmp_path: Path
) -> None:
    made = run("vae", tmp_path, finished / "rollout", "stage.model=coordinates")
    check_metric(made)
    check_page(made)
    vae = load_vae(made / "checkpoints" / "best.pt")
    assert type(vae) is example.CoordinateVAE
    one = torch.zeros(2, 3, 64, 64)
    one[1, :, :, :32] = 1
    assert vae.encoder(one)[0].shape == (2, 4) and vae.encoder.convs.conv1.weight.shape[1] == 5
    convvae.VAES.pop("coordinates")
    with pytest.raises(ValueError, match="holds a V of the kind 'coordinates'"):
        load_vae(made / "checkpoints" / "best.pt")


@of("cell")
def test_a_cell(example: ModuleType, finished: Path, tmp_path: Path) -> None:
    keys = ["stage.cell=gru", "stage.num_epochs=1", "stage.dataset_fraction=0.2"]
    made = run("mdrnn", tmp_path, finished / "vae", *keys)
    world = world_models.load(made).world.model
    assert isinstance(world.cell.rnn, example.GRU)
    actions, latents = torch.randn(7, 2, 5), torch.randn(7, 2, 4)
    state = world.cell.get_init_hidden(2)
    for action, latent in zip(actions, latents, strict=True):
        state = world.cell.advance(action, latent, state)
    whole = world.mdrnn.unroll(actions, latents, world.cell.get_init_hidden(2))[1]
    torch.testing.assert_close(whole, state)
    theirs = torch.nn.GRU(9, 12)
    weights = world.cell.rnn.gru.state_dict()
    theirs.load_state_dict({f"{name}_l0": value for name, value in weights.items()})
    last = theirs(torch.cat([actions, latents], -1))[1][0]
    torch.testing.assert_close(state[0], last)


@of("controller")
def test_a_controller(example: ModuleType, finished: Path) -> None:
    controller, scores = example.main(finished, 2)
    inputs = world_models.load(finished).dream(1).single_observation_space.shape[0]
    assert controller.size == (inputs + 1) * 8 + 9 * 8 + 9 * 5 and np.isfinite(scores).all()
    linear = np.zeros(controller.size)
    linear[-5 + 3] = 1.0
    assert (controller.act(linear, np.ones((4, inputs))) == 3).all()


@of("search", "controller")
def test_a_controller_as_a_stage(
    example: ModuleType, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["stage.width=4", "stage.generations=1", "threads=1"]
    begin = ["stage=search", f"upstream={finished / 'mdrnn'}", f"outputs={tmp_path}"]
    assert main([*begin, *keys]) == 0
    made = newest(tmp_path)
    inputs = world_models.load(finished).dream(1).single_observation_space.shape[0]
    found = json.loads((made / "search.json").read_text())
    assert found["parameters"] == (inputs + 1) * 4 + 5 * 4 + 5 * 5
    assert found["mean"] == pytest.approx(world_models.load(made).metrics["metrics"]["mean"][0])
    assert "mean return of 8 episodes" in (made / "report.html").read_text()
    assert main(["stage=search", "--help"]) == 0
    assert "tanh units in each of its layers" in capsys.readouterr().out


@of("head")
def test_a_head(example: ModuleType, finished: Path, tmp_path: Path) -> None:
    made = run("pixel", tmp_path, finished / "rollout", "stage.head=blend", "stage.max_steps=2")
    model = load_pixel_predictor(made / "checkpoints" / "best.pt").model
    assert type(model.head) is example.Blend
    frame, planes = torch.rand(2, 3, 8, 8), torch.zeros(2, 4, 8, 8)
    planes[:, 3] = -50
    torch.testing.assert_close(model.head(frame, planes, None, None)[0], frame)


@of("tokenizer")
def test_a_tokenizer(example: ModuleType, finished: Path, tmp_path: Path) -> None:
    keys = ["stage.kind=sphere", "stage.max_steps=2"]
    made = run("tokenizer", tmp_path, finished / "rollout", *keys)
    tokenizer = tokenizing.load_tokenizer(made / "checkpoints" / "best.pt")
    assert type(tokenizer) is example.SphereTokenizer and list(made.glob("tokens/*"))
    lengths = tokenizer.features(torch.rand(2, 3, 64, 64)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    tokenizing.TOKENIZERS.pop("sphere")
    with pytest.raises(ValueError, match="architecture is 'sphere', and known are vq"):
        tokenizing.load_tokenizer(made / "checkpoints" / "best.pt")


@of("world")
def test_a_world(example: ModuleType) -> None:
    scores = example.main(3)
    assert len(scores) == 3 and {score.seed for score in scores} == {0, 1, 2}
    assert all(1 <= score.length <= 20 for score in scores)
    assert len({score.total_return for score in scores}) == 3, "noise is each episode's own"


def check_metric(made: Path) -> None:
    table = world_models.load(made).metrics["sharpness"]
    store = EpisodeStore.at(PastRun(made).input("episodes"))
    frames = np.concatenate([store.episode(row).frames for row in store.episodes("validation")])
    across = np.abs(np.diff(frames / 255.0, axis=2)).mean()
    assert table["true"][0] == pytest.approx(across, rel=0.05) and table["drawn"][0] > 0


def check_page(made: Path) -> None:
    page = (made / "report.html").read_text()
    psnr = [float(row["psnr"]) for row in read_csv(made / "val_metrics.csv")]
    assert "Gained in each epoch" in page and f"{psnr[1] - psnr[0]:+.2f}" in page


@of("stage")
def test_a_stage(
    example: ModuleType, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = ["stage=brightness", f"upstream={finished / 'rollout'}", f"outputs={tmp_path}"]
    assert main([*begin, "stage.scale=2"]) == 0
    made = newest(tmp_path)
    store = EpisodeStore.open(finished / "rollout" / "episodes")
    mean = np.mean([store.episode(row).frames.mean() for row in store.rows])
    assert example.headline(made).value == pytest.approx(2 * mean)
    assert "How bright the frames" in (made / "report.html").read_text()
    assert main(["stage=brightness", "--help"]) == 0
    assert "by which it is multiplied" in capsys.readouterr().out
    groups.OWN_STAGES.clear()
    assert main([f"resume={made}"]) == 1
    assert "run the script that adds it" in capsys.readouterr().err


def test_a_name_that_nobody_has_added(capsys: pytest.CaptureFixture[str]) -> None:
    for stage, key in (
        ("rollout", "policy"),
        ("vae", "model"),
        ("mdrnn", "cell"),
        ("pixel", "head"),
    ):
        assert main(["stage=" + stage, "env=pellet", f"stage.{key}=rounds"]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"error: stage.{key}=rounds is none of ") and said.count("\n") == 1
