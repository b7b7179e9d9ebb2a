"""Stage export through the command line: a page from a run, from M alone, from an agent's file."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import ENV

from world_models.agents.agent import load_agent
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.play import beginnings


def exported(file: Path, *more: str) -> tuple[dict, np.ndarray]:
    """The facts of a page that is made now, and z (N, L) of its starts."""
    assert main(["stage=export", *ENV, f"stage.file={file}", *more]) == 0
    page = file.read_text()
    found = re.search(r'id="facts">(.*?)</script>', page)
    weights = re.search(r'id="weights">(.*?)</script>', page)
    assert found is not None and weights is not None
    facts = json.loads(found[1])
    row = next(row for row in facts["arrays"] if row["name"] == "start.z")
    content = base64.b64decode(weights[1])
    count = int(np.prod(row["shape"]))
    return facts, np.frombuffer(content, np.float32, count, row["at"]).reshape(row["shape"])


@pytest.mark.parametrize("part", ["", "mdrnn"])
def test_a_run_gives_a_page_that_begins_at_its_held_out_frames(
    finished: Path, tmp_path: Path, part: str
) -> None:
    file, outputs = tmp_path / "new folder/dream.html", tmp_path / "outputs"
    facts, z = exported(file, f"upstream={finished / part}", f"outputs={outputs}")
    assert facts["has_agent"] == (part == "")
    assert [path.name for path in file.parent.iterdir()] == ["dream.html"]
    assert not outputs.exists()
    model = load_agent(finished / "controller/agent.pt").world
    store = EpisodeStore.open(finished / "rollout/episodes")
    held_out = [store.episode(row) for row in store.rows if row.split == "validation"]
    known = np.concatenate([model.encode(np.array(one.frames)).numpy() for one in held_out])
    assert 0 < len(z) <= beginnings.PLACES
    assert all(np.abs(known - one).max(axis=1).min() < 1e-4 for one in z)


def test_an_agent_plays_to_find_places_to_begin(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "PLACES", 5)
    monkeypatch.setattr(beginnings, "PLACES_OF_AN_EPISODE", 2)
    agent = f"agent={finished / 'controller/agent.pt'}"
    facts, z = exported(tmp_path / "a.html", agent)
    assert facts["has_agent"] and z.shape == (5, facts["latents"])
    assert len(np.unique(z, axis=0)) == 5
    again = exported(tmp_path / "b.html", agent)[1]
    np.testing.assert_array_equal(z, again)


def test_a_run_gives_onnx_files(finished: Path, tmp_path: Path) -> None:
    networks = tmp_path / "networks"
    keys = ["stage.to=onnx", f"stage.file={networks}", f"upstream={finished / 'mdrnn'}"]
    assert main(["stage=export", *ENV, *keys]) == 0
    assert {path.name for path in networks.iterdir()} == {
        "about.json",
        "decoder.onnx",
        "encoder.onnx",
        "memory.onnx",
    }


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["stage.file=dream"], "must end in .html"),
        (["stage.to=onnx", "stage.file=dream.html"], "it is a folder"),
        (["stage.to=onnx"], 'the extra "export"'),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    keys: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("world_models.play.networks.find_spec", lambda name: None)
    assert main(["stage=export", *ENV, f"upstream={finished}", *keys]) == 1
    assert words in capsys.readouterr().err and list(tmp_path.iterdir()) == []
