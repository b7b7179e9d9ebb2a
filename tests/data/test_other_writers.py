"""Arrays as other programs write them: what they mean is read, and what means nothing refused."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from world_models.data.interchange.fitting import fit
from world_models.data.interchange.formats import Format, detect
from world_models.data.interchange.hdf5 import Hdf5Source
from world_models.data.interchange.npz import NpzSource
from world_models.data.interchange.recording import Alignment
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec

STEPS, SIZE = 6, 20
SPACE = ActionSpace("discrete", 10, (), (), ())
PICTURES = np.random.default_rng(0).integers(0, 256, (STEPS, SIZE, SIZE, 3), dtype=np.uint8)


def spec_of(grayscale: bool = False) -> EnvSpec:
    return EnvSpec("Clock-v0", {}, Preprocessing((0, 0, 0, 0), SIZE, grayscale), 1, SPACE, None)


def rollout(**changes: Any) -> dict[str, Any]:
    steps = np.arange(STEPS)
    content = {"observations": PICTURES, "actions": steps, "rewards": steps / 2}
    return {**content, "terminals": steps == STEPS - 1, **changes}


def read_npz(folder: Path, grayscale: bool = False, **changes: Any) -> Any:
    np.savez(folder / "a.npz", **rollout(**changes))
    return fit(NpzSource(folder, Alignment.pre, None).read(0), spec_of(grayscale))


ALPHA = np.full((STEPS, SIZE, SIZE, 1), 7, np.uint8)
SAME_FRAMES: dict[str, np.ndarray] = {
    "Fortran order": np.asfortranarray(PICTURES),
    "channels first": PICTURES.transpose(0, 3, 1, 2),
    "alpha": np.concatenate([PICTURES, ALPHA], axis=-1),
    "int64": PICTURES.astype(np.int64),
    "big-endian": PICTURES.astype(">u2"),
    "floats to 1": PICTURES.astype(np.float32) / 255,
    "channels first floats": PICTURES.transpose(0, 3, 1, 2) / 255,
}


@pytest.mark.parametrize("kind", SAME_FRAMES)
def test_frames_mean_the_same_however_they_are_kept(tmp_path: Path, kind: str) -> None:
    episode = read_npz(tmp_path, observations=SAME_FRAMES[kind])
    assert np.array_equal(episode.frames[:-1], PICTURES)


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (SIZE, SIZE, 1), (1, SIZE, SIZE)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_grey_frames_stay_grey(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    grey = PICTURES[..., 0].astype(dtype).reshape(STEPS, *shape)
    episode = read_npz(tmp_path, grayscale=True, observations=grey)
    assert np.array_equal(episode.frames[:-1, ..., 0], PICTURES[..., 0])
    with pytest.raises(ValueError, match=r"its frames are grey .*: add env.grayscale=true"):
        read_npz(tmp_path, observations=grey)


@pytest.mark.parametrize(
    "changes",
    [
        {"rewards": np.arange(STEPS)[:, None] / 2},
        {"rewards": (np.arange(STEPS) / 2).astype(">f8")},
        {"rewards": (np.arange(STEPS) / 2).astype(np.float16)},
        {"terminals": (np.arange(STEPS) == STEPS - 1).astype(np.int8)[:, None]},
        {"actions": np.eye(10, dtype=np.float32)[:STEPS]},
        {"actions": np.eye(10, dtype=bool)[:STEPS]},
        {"actions": np.arange(STEPS).astype(">i2")[:, None]},
        {"seed": np.array([-1])},
    ],
    ids=lambda changes: "".join(f"{key} {value.dtype}" for key, value in changes.items()),
)
def test_steps_mean_the_same_however_they_are_kept(tmp_path: Path, changes: Any) -> None:
    expected, episode = read_npz(tmp_path), read_npz(tmp_path, **changes)
    for name in ("actions", "rewards", "done", "seed"):
        assert np.array_equal(getattr(episode, name), getattr(expected, name)), name
        assert np.asarray(getattr(episode, name)).dtype == np.asarray(getattr(expected, name)).dtype


BAD = [
    ({"observations": PICTURES / 100}, r"are no pictures: an array of float64 from .* to 2\.5"),
    ({"observations": PICTURES.astype(np.int16) - 300}, r"are no pictures: an array of int16"),
    ({"observations": PICTURES[..., 0] / 255}, r"observations are float64 \(6, 20, 20\)"),
    ({"observations": PICTURES > 5, "rewards": np.zeros(5)}, "differ in length"),
    ({"rewards": np.ones(STEPS, complex)}, "rewards are complex128"),
    ({"rewards": np.full(STEPS, 1e300)}, "the reward of step 0 is not finite"),
    ({"rewards": np.array(["1"] * STEPS)}, "rewards are <U1"),
    ({"terminals": np.array(["no"] * STEPS)}, "terminals are <U2"),
    ({"terminals": np.full(STEPS, np.nan)}, "terminals are float64"),
    ({"actions": np.full(STEPS, 2**63, np.uint64)}, "the action of step 0 is"),
    ({"seed": np.float64(1)}, "its seed is float64"),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
@pytest.mark.filterwarnings("error")
def test_what_means_nothing_is_refused(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=rf"a\.npz: .*{sentence}"):
        read_npz(tmp_path, **changes)


def write_hdf5(path: Path, **changes: Any) -> Path:
    content = {**rollout(), "episodes": np.array([0, 4, STEPS]), **changes}
    del content["terminals"]
    content["states"] = content.pop("observations")
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    return path


BAD_HDF5 = [
    ({"seeds": np.array([3])}, r"x\.hdf5 has an entry that is laid out in another way: Index"),
    ({"seeds": np.array([0.5, 1])}, r"x\.hdf5, episode 0: its seed is float64"),
    ({"splits": np.array([0, 1])}, r"x\.hdf5 has an entry .*: .*string"),
    ({"actions": np.zeros(STEPS, [("a", "f4")])}, r"x\.hdf5, episode 0: its actions are"),
    ({"rewards": np.array([b"1"] * STEPS)}, r"x\.hdf5, episode 0: rewards are \|S1"),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD_HDF5)
def test_odd_hdf5_entries_are_one_sentence(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    path = write_hdf5(tmp_path / "x.hdf5", **changes)
    with pytest.raises(ValueError, match=sentence):
        source = Hdf5Source(path, Alignment.pre, None)
        [fit(source.read(index), spec_of()) for index in range(2)]


@pytest.mark.parametrize("games", ["two", 2.0, [2, 3]])
def test_an_odd_number_of_games_is_one_sentence(tmp_path: Path, games: Any) -> None:
    path = write_hdf5(tmp_path / "x.hdf5")
    with h5py.File(path, "r+") as file:
        file.attrs["N_GAMES"] = games
    with pytest.raises(ValueError, match=r"x\.hdf5: its attribute N_GAMES is .*one integer"):
        Hdf5Source(path, Alignment.pre, None)


def test_another_programs_metadata_is_no_minari_data_set(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **rollout())
    (tmp_path / "metadata.json").write_text(json.dumps({"author": "somebody"}))
    assert detect(tmp_path) is Format.npz
