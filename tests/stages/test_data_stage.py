"""stage=data: what is in a store, its pictures, and stores joined to one."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from commands import newest, small
from PIL import Image

from world_models.data.preview import actions_of, chosen, film, parts_of
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.runs.files import read_json


@pytest.fixture
def store(finished: Path) -> EpisodeStore:
    return EpisodeStore.open(finished / "rollout/episodes")


def test_numbers_are_those_of_the_episodes(store: EpisodeStore) -> None:
    train, validation, every = parts_of(store)
    episodes = [store.episode(row) for row in store.rows]
    assert (train.episodes, validation.episodes, every.episodes) == (22, 2, 24)
    assert every.steps == sum(len(episode.frames) - 1 for episode in episodes)
    returns = [float(episode.rewards.sum()) for episode in episodes]
    assert every.returns.low == min(returns) and every.returns.high == max(returns)
    assert every.returns.mean == pytest.approx(np.mean(returns))
    assert every.terminated == np.mean([(episode.done == 1).any() for episode in episodes])


def test_the_histogram_counts_every_action(store: EpisodeStore) -> None:
    (histogram,) = actions_of(store)
    actions = [int(a) for row in store.rows for a in store.episode(row).actions[:-1]]
    shares = [actions.count(place) / len(actions) for place in range(len(histogram.places))]
    assert histogram.shares == pytest.approx(shares) and histogram.shares.sum() == pytest.approx(1)


def test_a_film_holds_each_episode_until_the_longest_ends(store: EpisodeStore) -> None:
    rows = chosen(store, 3)
    assert len({row.index for row in rows}) == 3
    frames, longest = list(film(store, rows, 2, 64)), max(row.length for row in rows)
    assert len(frames) == longest + store.has_final_frame
    first = store.episode(rows[0]).frames
    shown = [frame[:64, :64] for frame in frames]
    assert all(
        np.array_equal(tile, first[min(step, len(first) - 1)]) for step, tile in enumerate(shown)
    )
    # the fourth place has no episode
    assert not frames[0][64:, 64:].any()


def test_it_prints_tables_and_writes_a_sheet_and_a_film(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [f"stage.source={finished}", f"stage.preview={tmp_path / 'seen'}", "stage.episodes=3"]
    assert main(["stage=data", *keys]) == 0
    out = capsys.readouterr().out
    assert "WorldModels/Pellet-v0" in out and "validation" in out and "action" in out
    with Image.open(tmp_path / "seen.png") as picture:
        assert picture.size[0] > 10 * 128
    with av.open(str(tmp_path / "seen.mp4")) as video:
        assert video.streams.video[0].frames > 1


@pytest.mark.slow
def test_joined_stores_hold_the_episodes_of_both_and_feed_v(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(small("rollout", f"outputs={tmp_path / 'other'}", "seed=7")) == 0
    first, other = finished / "rollout", newest(tmp_path / "other")
    keys = ["env=pellet", f"outputs={tmp_path / 'joined'}"]
    assert main(["stage=data", f"stage.source={first}", f"stage.merge=[{other}]", *keys]) == 0
    run = newest(tmp_path / "joined")
    stores = [EpisodeStore.open(path / "episodes") for path in (first, other, run)]
    one, two, both = [[store.episode(row) for row in store.rows] for store in stores]
    assert len(both) == len(one) + len(two)
    for ours, theirs in zip(both, [*one, *two], strict=True):
        assert np.array_equal(ours.frames, theirs.frames) and ours.seed == theirs.seed
    stores[2].verify()
    assert len(read_json(run / "manifest.json")["inputs"]) == 2
    assert (run / "report.html").is_file()
    again = ["stage=data", f"stage.source={first}", f"stage.merge=[{first}]", *keys]
    assert main(again) == 1
    assert "holds 24 episodes that are in" in capsys.readouterr().err
    assert main(small("vae", *keys[1:], "stage.num_epochs=1")) == 0


def test_a_merge_that_was_cut_off_is_resumed_to_the_same_bytes(
    finished: Path, tmp_path: Path
) -> None:
    assert main(small("rollout", f"outputs={tmp_path / 'other'}", "seed=7")) == 0
    merge = [f"stage.source={finished / 'rollout'}", f"stage.merge=[{newest(tmp_path / 'other')}]"]
    assert main(["stage=data", "env=pellet", f"outputs={tmp_path / 'joined'}", *merge]) == 0
    run = newest(tmp_path / "joined")
    whole = (run / "episodes/manifest.json").read_bytes()
    (run / "episodes/manifest.json").unlink()
    for path in (run / "episodes").glob("shard_00006*"):
        path.unlink()
    text = (run / "manifest.json").read_text().replace('"finished"', '"interrupted"')
    (run / "manifest.json").write_text(text)
    assert main([f"resume={run}"]) == 0
    assert (run / "episodes/manifest.json").read_bytes() == whole


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "stage.source is missing: name a run folder that holds episodes"),
        (["stage.source=nowhere"], "stage.source: nowhere holds no episodes"),
    ],
)
def test_mistakes_are_one_sentence(
    keys: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stage=data", *keys]) == 1
    assert said in capsys.readouterr().err


def test_stores_of_another_environment_are_not_joined(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished / "rollout", tmp_path / "copy")
    first = finished / "rollout"
    keys = [f"stage.source={first}", f"stage.merge=[{tmp_path / 'copy'}]", "env=coinrun"]
    assert main(["stage=data", *keys, f"outputs={tmp_path / 'outputs'}"]) == 1
    assert "was made with another env, so give the same env keys" in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()
