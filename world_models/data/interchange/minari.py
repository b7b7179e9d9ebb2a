"""Minari data sets on this machine; nothing is downloaded.

Minari keeps every frame of an episode (T+1 of them), so there is no question of alignment. It
stores pictures as compressed images. Its own writer makes JPEG, which alters them. Ours makes PNG,
which does not, and which Minari reads all the same.
"""

import importlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from world_models.data.arrays import Array
from world_models.data.episode import TERMINATED, TRUNCATED, UNKNOWN_SEED
from world_models.data.interchange.hdf5 import opened, require_whole
from world_models.data.interchange.ordering import as_seed, in_order
from world_models.data.interchange.recording import (
    Recording,
    Rows,
    origin_of,
    parse_origin,
)
from world_models.data.interchange.writing import renaming, require_room
from world_models.data.store import EpisodeRow, EpisodeStore
from world_models.runs.files import read_json
from world_models.runs.finding import find_files

MIN_PICTURE_SIZE = 32
"""Minari takes smaller arrays for tables of numbers, and writes them as pictures all the same."""

BYTES_PER_EPISODE = 1024
"""At most, of its metadata."""


def data_folder(path: Path) -> Path | None:
    """The folder with the data of the Minari data set at `path`; None where there is none."""
    for folder in (path, path / "data"):
        metadata = folder / "metadata.json"
        if metadata.is_file() and "total_episodes" in metadata.read_text(errors="replace"):
            return folder
    return None


class MinariSource:
    """The episodes of one data set, read one at a time."""

    def __init__(self, path: Path, image_key: str | None) -> None:
        """Look at its metadata; `image_key` names the picture in a Dict observation."""
        folder = data_folder(path)
        assert folder is not None, path
        self.alignment = None
        self._path = folder
        self.files = find_files(folder).files
        self.notes: list[str] = []
        storage = importlib.import_module("minari.dataset.minari_storage").MinariStorage
        _require_spaces(folder / "metadata.json")
        with _reading(folder):
            self._storage = storage.read(folder)
            metadata = self._storage.metadata
            self._episodes = int(self._storage.total_episodes)
        if not self._episodes:
            raise ValueError(f"{folder} holds no episode")
        with _reading(folder):
            for file in [file for file in self.files if file.suffix == ".hdf5"]:
                with opened(file) as content:
                    require_whole(file, content)
        self.origin = parse_origin(str(folder), metadata.get("origin"))
        self.has_final_frame = bool(self.origin.get("has_final_frame", True))
        self._key = _image_key(folder, self._storage.observation_space, image_key)

    def __len__(self) -> int:
        return self._episodes

    def name(self, index: int) -> str:
        """The number of an episode, in words."""
        return f"episode {index}"

    def read(self, index: int) -> Recording:
        """One episode; a damaged data set is a ValueError naming it."""
        with _reading(self._path):
            (episode,) = self._storage.get_episodes([index])
            (metadata,) = self._storage.get_episode_metadata([index])
        observations = episode["observations"]
        frames = np.asarray(observations if self._key is None else observations[self._key])
        place = f"{self._path}, episode {index}"
        rows = Rows(
            place=place,
            observations=frames,
            actions=np.asarray(episode["actions"]),
            rewards=np.asarray(episode["rewards"]),
            terminals=np.asarray(episode["terminations"]),
            truncations=np.asarray(episode["truncations"]),
            boundary=None,
            seed=as_seed(place, metadata.get("seed")),
            split=metadata.get("split"),
        )
        return in_order(rows, None, None)


def _require_spaces(path: Path) -> None:
    """Where a data set does not describe its spaces, Minari makes the environment that it names.

    That runs any function, of any module: a ValueError.
    """
    metadata = read_json(path)
    for name in ("observation_space", "action_space"):
        if not isinstance(metadata, dict) or not isinstance(metadata.get(name), str):
            raise ValueError(
                f"{path} has no {name}, and to find it Minari would run what the file names: write "
                "the data set with a version of Minari that stores its spaces"
            )


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """What Minari cannot read is a ValueError naming the data set."""
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, AssertionError, ImportError) as error:
        raise ValueError(f"{folder} cannot be read as a Minari data set: {error}") from None


def _image_key(folder: Path, space: gymnasium.Space, key: str | None) -> str | None:
    """The key under which a Dict observation holds the picture.

    None where the observation is the picture.
    """
    if not isinstance(space, gymnasium.spaces.Dict):
        if key is not None:
            raise ValueError(
                f"{folder} has plain observations, {space}: leave out stage.image_key={key}"
            )
        return None
    if key not in space.spaces:
        names = ", ".join(space.spaces)
        raise ValueError(
            f"{folder} has Dict observations: say which is the picture, "
            f"stage.image_key= one of {names}"
        )
    return key


def dataset_id(store: EpisodeStore) -> str:
    """The name of a store as a Minari data set: the environment, and who played.

    Minari's own sets are named so.
    """
    names = (store.manifest["env"]["id"], store.manifest["policy"])
    env, policy = (re.sub(r"[^\w-]", "-", name) for name in names)
    return f"{env}/{policy}-v0"


def export(store: EpisodeStore, root: Path) -> Iterator[EpisodeRow]:
    """Write the whole store as one data set below `root`; yields each episode written.

    `root` is a folder for MINARI_DATASETS_PATH. It takes its name when it is complete.
    """
    if root.is_dir():
        yield from store.rows
        return
    with renaming(root) as temporary:
        data = temporary / dataset_id(store) / "data"
        data.mkdir(parents=True)
        main = data / "main_data.hdf5"
        require_room(main, 0)
        storage = _new_storage(store, data)
        buffer = importlib.import_module("minari.data_collector").EpisodeBuffer
        for row in store.rows:
            content = _content(store, row)
            require_room(main, sum(np.asarray(values).nbytes for values in content.values()))
            storage.update_episodes([buffer(**content)])
            yield row
        require_room(main, len(store.rows) * BYTES_PER_EPISODE)
        storage.update_episode_metadata([{"split": row.split} for row in store.rows])


def _new_storage(store: EpisodeStore, data: Path) -> Any:
    """An empty data set with the spaces and the origin of the store."""
    minari = importlib.import_module("minari")
    storage = importlib.import_module("minari.dataset.minari_storage").MinariStorage
    shape = store.arrays(0).frames.shape[1:]
    pictures = gymnasium.spaces.Box(0, 255, shape if shape[-1] == 3 else shape[:-1], np.uint8)
    made = storage.new(data, pictures, store.env.action_space.to_gymnasium())
    metadata = {
        "dataset_id": dataset_id(store),
        "minari_version": minari.__version__,
        "algorithm_name": str(store.manifest["policy"]),
        "origin": origin_of(store),
    }
    made.update_metadata(metadata)
    return made


def _content(store: EpisodeStore, row: EpisodeRow) -> dict[str, Any]:
    """The fields of Minari's EpisodeBuffer."""
    episode = store.episode(row)
    done = episode.done[:-1]
    return {
        "seed": None if row.seed == UNKNOWN_SEED else row.seed,
        "observations": _as_png(episode.frames),
        "actions": episode.actions[:-1],
        "rewards": episode.rewards[:-1],
        "terminations": done == TERMINATED,
        "truncations": done == TRUNCATED,
    }


def _as_png(frames: Array) -> list[Array]:
    """Frames as PNG files of equal length, which HDF5 can keep in one array.

    Readers ignore the zeros at the end.
    """
    files = [_png(frame) for frame in frames]
    longest = max(map(len, files))
    return [np.frombuffer(file.ljust(longest, b"\0"), np.uint8) for file in files]


def _png(frame: Array) -> bytes:
    buffer = io.BytesIO()
    picture = frame if frame.shape[-1] == 3 else frame[..., 0]
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
