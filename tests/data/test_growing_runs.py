"""What was built on a store goes on with the episodes of that time when the store has grown."""

import json
import shutil
from pathlib import Path

import pytest
from commands import newest, small

from world_models.data.growing import StoreAppender
from world_models.data.store import META_KEYS, EpisodeStore
from world_models.main import main
from world_models.runs.past import PastRun
from world_models.worlds.dream_env import open_dream


def grow(folder: Path) -> None:
    """Add the store's first two episodes to it once more."""
    store = EpisodeStore.open(folder)
    episodes = [store.episode(row) for row in store.rows[:2]]
    with StoreAppender.open(folder, {key: store.manifest[key] for key in META_KEYS}) as appender:
        appender.write_shard(appender.next_shard, episodes, ["train", "train"])
        appender.commit()


def test_a_run_still_finds_the_manifest_that_it_was_built_on(pipeline: Path) -> None:
    folder = pipeline / "rollout" / "episodes"
    before = EpisodeStore.open(folder)
    for _ in range(2):
        grow(folder)
    assert len(EpisodeStore.open(folder).rows) == len(before.rows) + 4
    for stage in ("vae", "mdrnn"):
        found = EpisodeStore.at(PastRun(pipeline / stage).input("episodes"))
        assert found.manifest == before.manifest and found.digest() == before.digest()
        found.verify()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["vae", "mdrnn"])
def test_resuming_equals_resuming_before_the_store_grew(
    pipeline: Path, tmp_path: Path, stage: str
) -> None:
    grown = tmp_path / "grown" / pipeline.name
    shutil.copytree(pipeline, grown)
    grow(grown / "rollout" / "episodes")
    for run in (pipeline, grown):
        assert main([f"resume={run / stage}", "stage.num_epochs=3"]) == 0
    tables = {path.name for path in (pipeline / stage).glob("*.csv")} - {"timing.csv"}
    for name in sorted(tables | {"checkpoints/best.pt"}):
        assert (grown / stage / name).read_bytes() == (pipeline / stage / name).read_bytes(), name


@pytest.mark.slow
def test_a_new_run_takes_all_episodes(pipeline: Path) -> None:
    outputs = pipeline.parents[2]
    grow(pipeline / "rollout" / "episodes")
    upstream = f"upstream={pipeline / 'rollout'}"
    assert main(small("vae", f"outputs={outputs}", upstream, "stage.num_epochs=1")) == 0
    used = PastRun(newest(outputs)).input("episodes")
    assert used == pipeline / "rollout" / "episodes" / "manifest.json"
    after = f"upstream={newest(outputs)}"
    assert main(small("mdrnn", f"outputs={outputs}", after, "stage.num_epochs=1")) == 0
    assert PastRun(newest(outputs)).input("episodes") == used


def test_a_dream_begins_at_the_episodes_of_its_model(pipeline: Path) -> None:
    before = open_dream(pipeline / "mdrnn", 2)
    grow(pipeline / "rollout" / "episodes")
    after = open_dream(pipeline / "mdrnn", 2)
    assert (before.reset(seed=1)[0] == after.reset(seed=1)[0]).all()


def test_a_store_that_changed_but_did_not_grow_is_refused(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pipeline / "rollout" / "episodes" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["seed"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"has changed since .*mdrnn was built on it"):
        PastRun(pipeline / "mdrnn").input("episodes")
    assert main([f"resume={pipeline / 'vae'}", "stage.num_epochs=3"]) == 1
    assert "has changed since this run began" in capsys.readouterr().err
