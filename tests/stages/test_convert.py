"""Stage convert through the command line: other people's files in, ours out, the checks,
and the stages that follow.
"""

import importlib.util
import json
import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from commands import newest, small
from equality import fails_at

from world_models.chains.upstream import check_upstream
from world_models.data.episode import TERMINATED, TRUNCATED, UNKNOWN_SEED
from world_models.data.interchange.fitting import fit
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.runs.files import read_json
from world_models.runs.past import PastRun


def convert(source: Path, outputs: Path, *more: str) -> list[str]:
    return [
        "stage=convert",
        "env=pellet",
        f"stage.source={source}",
        f"outputs={outputs}",
        "stage.shard_size=6",
        *more,
    ]


def converted(outputs: Path) -> EpisodeStore:
    return EpisodeStore.open(newest(outputs) / "episodes")


def play_again(store: EpisodeStore, folder: Path, alignment: str) -> Path:
    """The same episodes as somebody else would record them: raw 96x96 pictures, a frame short,
    one .npz each.
    """
    folder.mkdir()
    env = gymnasium.make("WorldModels/Pellet-v0")
    for row in store.rows:
        episode = store.episode(row)
        pictures = [env.reset(seed=row.seed)[0]]
        pictures += [env.step(action)[0] for action in episode.actions[:-1]]
        frames = np.stack(pictures[:-1] if alignment == "pre" else pictures[1:])
        steps = {"actions": episode.actions[:-1], "rewards": episode.rewards[:-1]}
        np.savez(
            folder / f"{row.index:03d}.npz",
            observations=frames,
            terminals=episode.done[:-1] > 0,
            **steps,
        )
    return folder


@pytest.mark.parametrize("alignment", ["pre", "post"])
def test_recordings_of_an_env_become_what_we_would_have_collected(
    finished: Path, tmp_path: Path, alignment: str
) -> None:
    store = EpisodeStore.open(finished / "rollout/episodes")
    files = play_again(store, tmp_path / "some files (1), a=b", alignment)
    assert (
        main(
            convert(
                files, tmp_path / "o", f"stage.alignment={alignment}", "stage.val_fraction=0.25"
            )
        )
        == 0
    )
    back, first = converted(tmp_path / "o"), int(alignment == "post")
    assert [row.split for row in back.rows] == ["train"] * 18 + ["validation"] * 6
    assert {row.seed for row in back.rows} == {UNKNOWN_SEED} and back.has_final_frame is (
        alignment == "post"
    )
    for ours, row in zip(store.rows, back.rows, strict=True):
        expected, episode = store.episode(ours), back.episode(row)
        last = None if alignment == "post" else -1
        assert np.array_equal(episode.frames[:last], expected.frames[first:last])
        assert np.array_equal(episode.actions, expected.actions[first:])
        assert np.array_equal(episode.rewards, expected.rewards[first:])
        end = TRUNCATED if ours.length == 20 else TERMINATED
        assert episode.done.tolist() == [0] * (ours.length - 1 - first) + [end, 0], (
            "Pellet's step limit is 20"
        )
    run = newest(tmp_path / "o")
    assert "frames are 96x96: resized to 64x64" in (run / "log.txt").read_text()
    assert "Episodes from elsewhere" in (run / "report.html").read_text()
    assert (run / "images/frames.png").is_file() and (run / "episodes.csv").is_file()


@pytest.mark.slow
def test_the_next_stages_run_on_converted_episodes(finished: Path, tmp_path: Path) -> None:
    files = play_again(EpisodeStore.open(finished / "rollout/episodes"), tmp_path / "files", "pre")
    outputs = tmp_path / "o"
    assert main(convert(files, outputs, "stage.alignment=pre")) == 0
    episodes = newest(outputs)
    fed = check_upstream(episodes, "vae", ["rollout"], PastRun(episodes).env, outputs)
    assert (fed.run.path, fed.stage) == (episodes, "rollout")
    assert main(small("vae", f"outputs={outputs}", "stage.num_epochs=1")) == 0
    (entry,) = [
        item
        for item in read_json(newest(outputs) / "manifest.json")["inputs"]
        if item["kind"] == "episodes"
    ]
    assert (newest(outputs) / entry["path"]).resolve() == episodes / "episodes/manifest.json"
    assert main(small("mdrnn", f"outputs={outputs}", "stage.num_epochs=1")) == 0


@pytest.fixture(scope="module", params=["npz", "hdf5", "minari"])
def exported(
    request: pytest.FixtureRequest, finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The finished pipeline's episodes in another format:
    what `stage.source` names to read them back.
    """
    outputs = tmp_path_factory.mktemp("exported")
    assert main(convert(finished, outputs, f"stage.to={request.param}")) == 0
    run = newest(outputs)
    assert [item["kind"] for item in read_json(run / "manifest.json")["inputs"]] == ["episodes"]
    return (
        run
        / {
            "npz": "npz",
            "hdf5": "episodes.hdf5",
            "minari": "minari/WorldModels-Pellet-v0/sticky-v0",
        }[request.param]
    )


def test_there_and_back_loses_nothing(exported: Path, finished: Path, tmp_path: Path) -> None:
    assert main(convert(exported, tmp_path)) == 0
    assert converted(tmp_path).digest() == EpisodeStore.open(finished / "rollout/episodes").digest()


def test_the_files_read_are_recorded_with_their_hashes(exported: Path, tmp_path: Path) -> None:
    assert main(convert(exported, tmp_path)) == 0
    run = newest(tmp_path)
    (entry,) = read_json(run / "manifest.json")["inputs"]
    listing = read_json(run / "source.json")
    assert entry["kind"] == "source" and entry["path"] == "source.json"
    assert listing["source"] == str(exported) and all(
        len(value) == 64 for value in listing["files"].values()
    )


def test_a_conversion_that_was_cut_goes_on_by_shard(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = play_again(EpisodeStore.open(finished / "rollout/episodes"), tmp_path / "files", "pre")
    assert main(convert(files, tmp_path / "whole", "stage.alignment=pre")) == 0
    with monkeypatch.context() as patch:
        patch.setattr("world_models.stages.convert.fit", fails_at(17, fit))
        assert main(convert(files, tmp_path / "cut", "stage.alignment=pre")) == 130
    run = newest(tmp_path / "cut")
    marks = {path: path.stat().st_mtime_ns for path in (run / "episodes").glob("shard_*.json")}
    assert len(marks) == 2, "shards are written as episodes are read, not at the end"
    assert main([f"resume={run}"]) == 0
    assert all(path.stat().st_mtime_ns == before for path, before in marks.items())
    assert EpisodeStore.open(run / "episodes").digest() == converted(tmp_path / "whole").digest()


def test_a_source_that_changed_is_noticed_on_resume(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = play_again(EpisodeStore.open(finished / "rollout/episodes"), tmp_path / "files", "pre")
    with monkeypatch.context() as patch:
        patch.setattr("world_models.stages.convert.fit", fails_at(17, fit))
        assert main(convert(files, tmp_path / "o", "stage.alignment=pre")) == 130
    (files / "005.npz").write_bytes((files / "006.npz").read_bytes())
    assert main([f"resume={newest(tmp_path / 'o')}"]) == 1
    assert re.search(
        r"error: .*files has changed since this run began: start a new run", capsys.readouterr().err
    )


def refused(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert re.search(f"^error: {sentence}", error) and error.count("\n") == 1, error


def test_mistakes_are_one_sentence_and_write_nothing(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, outputs = (
        play_again(EpisodeStore.open(finished / "rollout/episodes"), tmp_path / "f", "pre"),
        tmp_path / "o",
    )
    refused(
        ["stage=convert", "env=pellet", f"outputs={outputs}"],
        r"stage\.source is missing: name a run folder",
        capsys,
    )
    refused(
        convert(files, outputs),
        r"stage\.alignment is missing and .*000\.npz does not state its own",
        capsys,
    )
    refused(
        convert(files, outputs, "stage.alignment=both"),
        r"stage\.alignment: .*'both'.*pre.*post",
        capsys,
    )
    refused(convert(tmp_path / "no", outputs), r"stage\.source=.*no does not exist", capsys)
    refused(
        convert(finished, outputs),
        r".* is in the native format already: say what to make of it",
        capsys,
    )
    refused(
        convert(files, outputs, "stage.to=npz"),
        r".* is npz, and stage\.to=npz writes native episodes",
        capsys,
    )
    refused(
        convert(files, outputs, "stage.verify=true"),
        r".* is npz, and stage\.verify=true checks native",
        capsys,
    )
    refused(convert(files, outputs, "stage.val_fraction=1"), r"stage\.val_fraction is 1\.0", capsys)
    refused(
        convert(files, outputs, "stage.shard_size=0"),
        r"stage\.shard_size is 0; it must be above 0",
        capsys,
    )
    minari = convert(finished, outputs, "stage.to=minari", "stage.alignment=pre")
    refused(minari, r"stage\.alignment is of no use with stage\.to=minari", capsys)
    other = convert(finished, outputs, "stage.to=npz", "env.frame_skip=2")
    refused(
        other,
        (
            r".* was made with another env, so give the same env keys: "
            r"frame_skip is 1 there and 2 here"
        ),
        capsys,
    )
    box = [
        item if item != "env=pellet" else "env=car_racing"
        for item in convert(files, outputs, "stage.alignment=pre")
    ]
    refused(
        box,
        (
            r".*000\.npz: its actions are int64 \(\d+,\), "
            r"and env\.id=CarRacing-v3 takes floats \(T, 3\)"
        ),
        capsys,
    )
    assert not outputs.exists()


def test_a_missing_extra_is_one_sentence(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    find_spec, hidden = importlib.util.find_spec, {"h5py", "minari"}
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in hidden else find_spec(name, *rest),
    )
    for target in ("hdf5", "minari"):
        sentence = (
            rf'stage=convert needs the extra "data" for {target}: '
            r'pip install "world-models\[data\]"'
        )
        refused(convert(finished, tmp_path / "o", f"stage.to={target}"), sentence, capsys)
    assert not (tmp_path / "o").exists()
    assert main(convert(finished, tmp_path / "o", "stage.to=npz")) == 0, "which needs none"


def test_an_export_feeds_no_stage(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(convert(finished, tmp_path, "stage.to=npz")) == 0
    refused(small("vae", f"outputs={tmp_path}"), r"stage=vae needs a finished rollout run", capsys)
    capsys.readouterr()
    refused(
        small("vae", f"outputs={tmp_path / 'o'}", f"upstream={newest(tmp_path)}"),
        r"upstream=.* is a convert run",
        capsys,
    )


@pytest.mark.parametrize("named", ["", "rollout", "rollout/episodes"])
def test_a_whole_store_passes_the_check(
    finished: Path,
    tmp_path: Path,
    named: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stage=convert", "stage.verify=true", f"stage.source={finished / named}"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^train +22 +\d+ +\d\.\d +0$", text, re.MULTILINE) and "is whole" in text
    assert list(tmp_path.iterdir()) == [], "a check writes nothing"


def test_a_damaged_store_is_told_and_fails(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pipeline / "rollout/episodes"
    actions = np.load(folder / "shard_00001_actions.npy", mmap_mode="r+")
    actions[0] = 9
    actions.flush()
    manifest = read_json(folder / "manifest.json")
    manifest["episodes"][20]["return"] = 5.0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert main(["stage=convert", "stage.verify=true", f"stage.source={pipeline}"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[:3] == [
        (
            "episode 6 cannot be trusted: shard_00001_actions.npy has changed since it was written "
            "(its SHA-256 differs)"
        ),
        "episode 6: shard_00001_actions.npy holds 9 at step 0, outside Discrete(5)",
        f"episode 20: shard_00003_rewards.npy sums to "
        f"{manifest['episodes'][20]['return'] - 5 + said_return(folder, 20)}, "
        "and manifest.json says 5.0",
    ]
    assert re.search(r"^train +22 .* 2$", said.out, re.MULTILINE)
    assert (
        re.search(r"error: .*episodes is damaged \(2 of 24 episodes\)", said.err)
        and "Traceback" not in said.err
    )


def said_return(folder: Path, index: int) -> float:
    store = EpisodeStore.open(folder)
    return store.episode(store.rows[index]).total_return
