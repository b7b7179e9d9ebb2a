"""Numbers that no machine can bear, and texts that grow when they are read, are refused at once."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import newest, small
from omegaconf import OmegaConf

from world_models.chains.catalogue import schemas
from world_models.cli.multirun import jobs_at_once
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.config.stored import stored_config
from world_models.config.yaml_file import LARGEST, read_yaml
from world_models.main import main
from world_models.pools.choose import open_pool
from world_models.runs import files
from world_models.runs.bounds import require_bounds
from world_models.runs.device import Workers
from world_models.runs.files import read_json
from world_models.runs.past import PastRun
from world_models.runs.sweeps import read_sweep
from world_models.stages.rollout import RolloutConfig

LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
DOUBLING = "a: x\nb: ${a}${a}\n"


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("collected")
    assert main(small("rollout", "stage.episodes=2", f"outputs={outputs}")) == 0
    return newest(outputs)


@pytest.fixture
def run(collected: Path, tmp_path: Path) -> Path:
    """The files of a run that say what it is."""
    for name in ("config.yaml", "manifest.json"):
        (tmp_path / name).write_bytes((collected / name).read_bytes())
    manifest = read_json(tmp_path / "manifest.json") | {"status": "interrupted"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def changed(run: Path, key: str, value: Any) -> None:
    content = yaml.safe_load((run / "config.yaml").read_text())
    place = content
    *parents, last = key.split(".")
    for parent in parents:
        place = place[parent]
    place[last] = value
    (run / "config.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threads", 1_000_000),
        ("threads", 513),
        ("stage.workers", 1_000_000),
        ("stage.episodes", 10**12),
        ("stage.shard_size", 10**9),
        ("stage.max_steps", 10**30),
        ("stage.noise", float("nan")),
        ("env.size", 1_000_000),
        ("env.frame_skip", 10**9),
        ("env.crop.top", "0x" + "f" * 5000),
        ("seed", 10**30),
        ("stage.noise", float("inf")),
    ],
)
def test_a_stored_number_beyond_all_bounds(
    run: Path, key: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(run, key, value)
    text = (run / "config.yaml").read_text()
    # a number, where YAML would write a text
    (run / "config.yaml").write_text(re.sub(r"'(0x.*)'", r"\1", text))
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert main([f"resume={run}"]) == 1
    error = capsys.readouterr().err
    assert error.count("error: ") == 1 and key in error and "Traceback" not in error
    assert {path: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize(
    "override",
    ["threads=1000000", "env.size=1000000", "stage.episodes=1e99", "stage.bursts=-inf"],
)
def test_a_typed_number_beyond_all_bounds(override: str) -> None:
    register(schemas())
    with pytest.raises(ValueError, match=override.partition("=")[0]):
        compose_config(["stage=rollout", "env=pellet", override])


@pytest.mark.parametrize(
    ("stage", "override"),
    [
        ("pipeline", "stage.iterations=1000000000"),
        ("controller", "stage.dream.temperature=inf"),
        ("controller", "stage.minutes=inf"),
        ("evaluate", "stage.plan.colour=inf"),
        ("play", "stage.temperature=inf"),
        ("play", "stage.height=1000000"),
    ],
)
def test_what_would_never_end_or_gives_nothing_finite(stage: str, override: str) -> None:
    register(schemas())
    key = re.escape(override.partition("=")[0])
    with pytest.raises(ValueError, match=f"^{key} is "):
        compose_config([f"stage={stage}", "env=pellet", override])


def test_ordinary_numbers_are_within_bounds() -> None:
    for value in (0, -1, 512, True, None, "text", [8, 12], 2.5):
        require_bounds("threads", value)
    require_bounds("stage.grad_clip", float("inf"))
    with pytest.raises(ValueError, match="holds 1001 numbers"):
        require_bounds("stage.widths", [1] * 1001)
    with pytest.raises(ValueError, match=r"stage\.pixel\.widths is 10000000; it may be 4096"):
        require_bounds("stage.pixel.widths", [8, 10**7])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "it has aliases"),
        ("a: &a 1\n", "it has aliases"),
        (DOUBLING, "it fills in values"),
        ("a: ${oc.env:HOME}", "it fills in values"),
        (r"a: '\\${oc.env:HOME}'", "it fills in values"),
        ("a: " + "[" * 100_000, "more than 30 deep"),
        ("a: " + "{a: " * 100_000, "more than 30 deep"),
        ("\n".join("  " * n + "a:" for n in range(500)), "more than 30 deep"),
        ("a: !!python/object/apply:os.getcwd []", "damaged"),
        ("- a\n", "it holds no keys"),
        ("a: [", "damaged"),
        ("a: \0", "damaged"),
        ("#" * (LARGEST + 1), "bytes; a configuration has"),
    ],
)
def test_yaml_states_plain_values(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence) as refusal:
        read_yaml(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_what_only_looks_like_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 'x & y * z'\nb: '\\${c}'\nd: $5\n")
    assert dict(read_yaml(path)) == {"a": "x & y * z", "b": "${c}", "d": "$5"}


@pytest.mark.parametrize(
    "override",
    [
        "env.kwargs.x=[&a [1,1], *a, *a]",
        "env.kwargs.x=${oc.env:HOME}",
        "hydra.callbacks.x._target_=os.system",
        "env.kwargs._target_=os.system",
        7,
    ],
)
def test_overrides_of_earlier_resumptions_state_plain_values(run: Path, override: Any) -> None:
    manifest = read_json(run / "manifest.json")
    manifest["resumed"] = [{"overrides": [override], "device": "cpu"}]
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"manifest\.json"):
        stored_config(PastRun(run), RolloutConfig)


def test_jobs_and_processes_have_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = {"schema": 1, "began": "", "command": [], "directory": ".", "launcher": [], "swept": []}
    (tmp_path / "sweep.json").write_text(json.dumps({**note, "jobs": [["stage=vae"]] * 20_000}))
    with pytest.raises(ValueError, match=r"sweep\.json is damaged: jobs .* 10000"):
        read_sweep(tmp_path)
    with pytest.raises(ValueError, match=r"100000 workers asked for"):
        open_pool(Workers.local, 100_000, dict, [])
    with pytest.raises(ValueError, match=r"n_jobs is 100000; at most"):
        jobs_at_once(OmegaConf.create({"n_jobs": 100_000}), 100_000)


@pytest.mark.parametrize(
    "changes",
    [
        {"jobs": []},
        {"jobs": [[1]]},
        {"jobs": "stage=vae"},
        {"jobs": [["stage=vae"]], "swept": ["seed"]},
        {"directory": None},
        {"launcher": {}},
        {"began": 5},
    ],
)
def test_a_job_list_of_another_shape_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    note = {"schema": 1, "began": "", "command": [], "directory": ".", "launcher": [], "swept": []}
    content = {**note, "jobs": [["stage=vae"]], **changes}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"sweep\.json is damaged"):
        read_sweep(tmp_path)


def test_json_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_JSON", 10)
    (tmp_path / "a.json").write_text("[1, 2, 3, 4]")
    with pytest.raises(ValueError, match=r"a\.json has 12 bytes"):
        read_json(tmp_path / "a.json")
