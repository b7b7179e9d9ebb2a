"""A path key is taken as typed: on the command line, in sweeps, stored and read back."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from commands import newest, small

from world_models.chains.catalogue import schemas
from world_models.cli import launch
from world_models.cli.multirun import expand
from world_models.config.compose import compose_config, quoted
from world_models.config.schema import register, to_yaml
from world_models.config.stored import merged, stored_config
from world_models.main import main
from world_models.runs.past import PastRun
from world_models.runs.quotes import in_quotes, without_quotes
from world_models.runs.sweeps import Sweep, read_sweep

register(schemas())

ODD = [
    "with space",
    "a=b",
    "a,b",
    "(a",
    "a)",
    "it's",
    'say "hi"',
    "Größe ü",
    "[x]",
    "{a: b}",
    "a: b",
    "# no comment",
    "*?!$&;|",
    "a%20b",
    "${a}",
    "a${oc.env:HOME}",
    "\\${a}",
    "a\\\\${b}c\\",
    "back\\slash",
    "two\\\\slashes",
    "ends in \\",
    "a\\'b",
    "'a",
    "2026",
    "null.",
    "true,false",
    "new\nline",
    "@x",
    "~user",
    "-m",
]

ODDEST = "Größe 'ü' ${x} (a=b,c)\\"


@pytest.mark.parametrize("text", ODD)
def test_what_is_quoted_is_read_back(text: str) -> None:
    assert without_quotes(in_quotes(text)) == text


MANIFEST: dict[str, Any] = {
    **{"stage": "any", "status": "finished", "created": "2026-01-01", "env": {"id": "A"}},
    **{"experiment": None, "choices": {"env": "pellet", "env_keys": []}, "seed": 0},
    **{"device": "cpu", "inputs": [], "resumed": [], "upstream": None, "threads": 1},
    **{"versions": {}, "machine": {}, "git": None},
}
KEYS = [("rollout", "outputs"), ("vae", "upstream"), ("controller", "stage.start_from")]


@pytest.mark.parametrize(("name", "where"), zip(ODD, itertools.cycle(KEYS), strict=False))
def test_a_path_is_taken_as_typed_and_stored(
    name: str, where: tuple[str, str], tmp_path: Path
) -> None:
    stage, key = where
    path = f"/there/{name}/here"
    config = compose_config([f"stage={stage}", "env=pellet", quoted(f"{key}={path}")]).config
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    again = stored_config(PastRun(tmp_path), type(config.stage))
    for found in (config, again, merged(again, []), merged(again, [quoted(f"{key}={path}")])):
        holder = found.stage if key.startswith("stage.") else found
        assert getattr(holder, key.rpartition(".")[2]) == path


@pytest.mark.slow
def test_jobs_of_a_sweep_have_paths_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [f"./{name}" for name in ODD[::4]]
    for path in paths:
        Path(path).mkdir()
    keys = ["stage=vae", "env=pellet", f"upstream={','.join(paths)},other", f"outputs=/o/{ODDEST}"]
    plan = expand([quoted(item, several=True) for item in keys])
    values = [Sweep("", [], "", [], ["upstream"], [job]).values(0) for job in plan.jobs]
    assert [found["upstream"] for found in values] == [*paths, "other"]
    for job, path in list(zip(plan.jobs, paths, strict=False))[::3]:
        config = compose_config(job).config
        assert (config.upstream, config.outputs) == (path, f"/o/{ODDEST}")
    assert str(plan.folder).startswith(f"/o/{ODDEST}/sweeps/")


def test_a_comma_in_paths_that_exist_parts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b", "c", "d,e,f", "d,e"):
        Path(name).mkdir()
    several = quoted("upstream=x,a,b,c,d,e,f,y", several=True)
    assert several == "upstream='x','a,b','c','d,e,f','y'"
    assert quoted("upstream=choice(a,b)", several=True) == "upstream=choice(a,b)"
    assert quoted("upstream='a','b'", several=True) == "upstream='a','b'"


def test_home_is_meant_by_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    keys = ["stage=vae", "env=pellet"]
    for typed, meant in (("~/a,b", f"{tmp_path}/a,b"), ("~no-such-user/x", "~no-such-user/x")):
        assert compose_config([*keys, quoted(f"upstream={typed}")]).config.upstream == meant
    (tmp_path / "manifest.json").write_text("{}")
    assert main(["resume=~"]) == 1
    assert "manifest.json names no stage" in capsys.readouterr().err


def test_a_run_in_an_odd_folder_is_made_found_resumed_and_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / ODDEST
    assert main(small("rollout", f"outputs={outputs}")) == 0
    collected = newest(outputs)
    monkeypatch.setattr(launch, "execute", lambda *rest: None)
    assert main(["stage=vae", f"upstream={collected}", f"outputs={outputs}", "threads=1"]) == 0
    (run,) = (path for path in outputs.glob("*/*/*") if PastRun(path).stage == "vae")
    assert main([f"resume={run}", f"outputs={outputs}"]) == 0
    assert (run / PastRun(run).manifest["upstream"]).resolve() == collected
    assert main(["-m", "stage=vae", f"upstream={collected}", f"outputs={outputs}", "seed=1"]) == 1
    (sweep,) = outputs.glob("sweeps/*/*")
    assert read_sweep(sweep).jobs[0][:3] == [
        "stage=vae",
        f"upstream={in_quotes(str(collected))}",
        f"outputs={in_quotes(str(outputs))}",
    ]
    upstream = PastRun(sweep / "0").manifest["upstream"]
    assert (sweep / "0" / upstream).samefile(collected)
