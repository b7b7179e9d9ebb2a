"""A Minari data set from a stranger runs nothing."""

import json
from pathlib import Path

import pytest
from gymnasium.envs.registration import EnvSpec

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
