"""Data of a stranger runs nothing, and shows no other file as its own."""

import json
from pathlib import Path

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from world_models.data.interchange.hdf5 import opened, require_whole
from world_models.data.interchange.minari import MinariSource


@pytest.mark.parametrize("space", [None, "observation_space", "action_space"])
def test_the_environment_that_it_names_is_not_made(tmp_path: Path, space: str | None) -> None:
    """Minari would make it where a space is missing: here, call os.mkdir."""
    pytest.importorskip("minari")
    harm = tmp_path / "harm"
    spec = EnvSpec("Stranger-v0", entry_point="os:mkdir", kwargs={"path": str(harm)})
    discrete = json.dumps({"type": "Discrete", "dtype": "int64", "start": 0, "n": 2})
    metadata = {"data_format": "hdf5", "total_episodes": 1, "env_spec": spec.to_json()}
    (tmp_path / "data").mkdir()
    given = {} if space is None else {space: discrete}
    (tmp_path / "data/metadata.json").write_text(json.dumps({**metadata, **given}))
    with pytest.raises(ValueError, match=r"metadata\.json has no .*_space"):
        MinariSource(tmp_path, None)
    assert not harm.exists()


@pytest.mark.parametrize("way", ["link", "deep link", "raw", "virtual"])
def test_hdf5_that_leads_to_another_file(tmp_path: Path, way: str) -> None:
    h5py = pytest.importorskip("h5py")
    secret, path = tmp_path / "secret", tmp_path / "episodes.hdf5"
    with h5py.File(secret, "w") as file:
        file["states"] = np.arange(16, dtype=np.uint8)
    with h5py.File(path, "w") as file:
        if way == "link":
            file["states"] = h5py.ExternalLink(str(secret), "states")
        elif way == "deep link":
            file["a/b/states"] = h5py.ExternalLink(str(secret), "states")
        elif way == "raw":
            raw = [(str(secret), 0, 16)]
            file.create_dataset("states", shape=16, dtype=np.uint8, external=raw)
        else:
            layout = h5py.VirtualLayout(16, np.uint8)
            layout[:] = h5py.VirtualSource(str(secret), "states", shape=(16,))
            file.create_virtual_dataset("states", layout)
    with opened(path) as file, pytest.raises(ValueError, match="another file: copy it in"):
        require_whole(path, file)


def test_ordinary_hdf5_is_whole(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "episodes.hdf5", "w") as file:
        file["a/states"] = np.arange(16)
        file["also"] = h5py.SoftLink("/a/states")
    with opened(tmp_path / "episodes.hdf5") as file:
        require_whole(tmp_path / "episodes.hdf5", file)
