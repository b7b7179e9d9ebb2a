"""Files as ctallec's, hardmaru's and Dreamer's programs write them, made here by hand.

At time t the frame shows t, the action is t (modulo 5 where numbered), the reward t.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from world_models.data.episode import TERMINATED, TRUNCATED, Episode
from world_models.data.interchange.fitting import check, fit
from world_models.data.interchange.npz import NpzSource
from world_models.data.interchange.recording import Alignment
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec

SIZE = 16
PRE, POST = Alignment.pre, Alignment.post
BOX = ActionSpace("box", 2, (0.0, 0.0), (100.0, 100.0), ("affine", "affine"))
NUMBERED = ActionSpace("discrete", 5, (), (), ())


def spec_of(space: ActionSpace) -> EnvSpec:
    return EnvSpec("Clock-v0", {}, Preprocessing((0, 0, 0, 0), SIZE, False), 1, space, 40)


def frames(count: int) -> np.ndarray:
    times = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(times, (count, SIZE, SIZE, 3)).copy()


def pairs(count: int) -> np.ndarray:
    return np.repeat(np.arange(count, dtype=np.float32)[:, None], 2, axis=1)


def dreamer(count: int, ended: bool = True, **changes: Any) -> dict[str, Any]:
    """T+1 rows: the action in row t led to its frame, and the first one is a dummy."""
    rows = np.arange(count)
    action = np.eye(5, dtype=np.float32)[(rows - 1) % 5]
    action[0] = 0
    last = rows == count - 1
    content = {
        "image": frames(count),
        "action": action,
        "reward": np.maximum(rows - 1, 0).astype(np.float32),
        "is_first": rows == 0,
        "is_last": last,
        "is_terminal": last & ended,
        "discount": np.ones(count, np.float32),
    }
    return {**content, **changes}


def read(path: Path, space: ActionSpace, alignment: Alignment | None) -> Episode:
    return fit(NpzSource(path, alignment, 40).read(0), spec_of(space))


@pytest.mark.parametrize("surplus", [1, 3, 1000])
@pytest.mark.parametrize("alignment", [PRE, POST])
def test_actions_that_were_planned_and_never_taken_are_cut(
    tmp_path: Path, surplus: int, alignment: Alignment
) -> None:
    steps, dropped = 6, int(alignment is POST)
    content = {"rewards": np.arange(steps), "terminals": np.arange(steps) == steps - 1}
    shown = frames(steps + dropped)[dropped:]
    actions = np.minimum(pairs(steps + surplus), 100)
    np.savez(tmp_path / "a.npz", observations=shown, actions=actions, **content)
    recording = NpzSource(tmp_path, alignment, None).read(0)
    assert recording.surplus == surplus
    episode = fit(recording, spec_of(BOX))
    assert np.array_equal(episode.actions[:-1, 0], np.arange(dropped, steps))
    assert np.array_equal(episode.frames[: steps - dropped, 0, 0, 0], np.arange(dropped, steps))


def test_a_file_that_says_it_holds_more_than_all_memory(tmp_path: Path) -> None:
    """A hostile header is all it takes: the file has 100 bytes of frames."""
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 64, 64, 3)}
    np.lib.format.write_array_header_1_0(header, shape)
    np.savez(tmp_path / "a.npz", actions=pairs(6), rewards=np.zeros(6), terminals=np.zeros(6))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("observations.npy", header.getvalue() + bytes(100))
    with pytest.raises(ValueError, match=r"a\.npz says that it holds more than fits into memory"):
        read(tmp_path, BOX, PRE)


def test_missing_actions_are_not_made_up(tmp_path: Path) -> None:
    rows = {"rewards": np.zeros(6), "terminals": np.zeros(6)}
    np.savez(tmp_path / "a.npz", observations=frames(6), actions=pairs(5), **rows)
    with pytest.raises(ValueError, match=r"differ in length \(6 observations, 5 actions"):
        read(tmp_path, BOX, PRE)


def test_hardmarus_files_have_no_rewards_and_no_ends(tmp_path: Path) -> None:
    action = pairs(7).astype(np.float16)
    np.savez_compressed(tmp_path / "1234.npz", obs=frames(7), action=action)
    source = NpzSource(tmp_path, PRE, 40)
    (note,) = source.notes
    assert "every reward is stored as 0" in note
    episode = read(tmp_path, BOX, PRE)
    assert np.array_equal(episode.actions[:-1], pairs(7)) and episode.actions.dtype == np.float32
    assert not episode.rewards.any() and episode.done.tolist() == [0] * 6 + [TRUNCATED, 0]
    assert episode.frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 6]


@pytest.mark.parametrize(("ended", "end"), [(True, TERMINATED), (False, TRUNCATED)])
def test_dreamers_rows_hold_every_frame(tmp_path: Path, ended: bool, end: int) -> None:
    np.savez_compressed(tmp_path / "20241127T101010-8.npz", **dreamer(9, ended))
    source = NpzSource(tmp_path, None, 40)
    assert source.has_final_frame and source.alignment is None and not source.notes
    episode = read(tmp_path, NUMBERED, None)
    assert episode.frames[:, 0, 0, 0].tolist() == list(range(9))
    assert episode.actions.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0]
    assert episode.rewards.tolist() == [*range(8), 0]
    assert episode.done.tolist() == [0] * 7 + [end, 0]


BAD_DREAMER = [
    ({"is_first": np.isin(np.arange(9), (0, 4))}, "is_first is set in row 4 of 9"),
    ({"is_last": np.arange(9) == 3}, "truncations is set in row 2 of 8"),
    ({"is_terminal": np.full(9, 2)}, r"terminals are int64 \(8,\), and must be \(T,\) of 0 and 1"),
    ({"reward": np.zeros(8)}, r"9 observations, 8 actions, 7 rewards"),
    ({"reward": np.float32(0)}, r"rewards are float32 \(\)"),
    ({"is_first": np.array("yes")}, r"is_first are <U3 \(\), and must be"),
    ({"action": np.full((9, 5), 0.2)}, r"actions are float64 \(8, 5\), and env.id=Clock-v0 takes"),
    ({"action": np.ones((9, 5))}, r"actions are float64 \(8, 5\), and env.id=Clock-v0 takes"),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD_DREAMER)
def test_bad_dreamer_files_are_one_sentence(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    np.savez(tmp_path / "a.npz", **dreamer(9, **changes))
    with pytest.raises(ValueError, match=rf"a\.npz: .*{sentence}"):
        read(tmp_path, NUMBERED, None)


def test_dreamers_files_take_no_alignment(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **dreamer(9))
    with pytest.raises(ValueError, match=r"of Dreamer's layout, which holds every frame: leave"):
        NpzSource(tmp_path, PRE, None)


def test_the_nearest_layout_says_what_is_missing(tmp_path: Path) -> None:
    content = dreamer(9)
    del content["is_terminal"]
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(ValueError, match=r"a.npz has no 'is_terminal': .* of Dreamer's layout"):
        NpzSource(tmp_path, None, None)


def test_files_of_two_layouts_are_not_mixed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **dreamer(9))
    np.savez(tmp_path / "b.npz", obs=frames(7), action=pairs(7))
    source = NpzSource(tmp_path, None, None)
    with pytest.raises(ValueError, match=r"b.npz is of hardmaru's layout, and .*a.npz of Dreamer"):
        check(source.read(1), spec_of(BOX))
