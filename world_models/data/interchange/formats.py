"""Which format something on the disk has, and who reads and writes it."""

import importlib.util
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from world_models.data.interchange import hdf5, minari, npz, videos
from world_models.data.interchange.recording import Alignment, Recording, refuse_alignment
from world_models.data.store import STORE_KIND, EpisodeRow, EpisodeStore
from world_models.envs.preprocess import Preprocessing
from world_models.runs.files import read_json

FORMAT_PACKAGES = {"hdf5": ("h5py",), "minari": ("minari", "h5py")}
"""What has to be installed to read or write a format."""
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE = b"PK"


class Format(Enum):
    """How episodes are kept.

    In our store, a folder of .npz files, one HDF5 file, a Minari data set, or videos.
    """

    native = "native"  # the store
    npz = "npz"  # a folder of .npz files
    hdf5 = "hdf5"  # one file
    minari = "minari"  # a data set
    video = "video"  # files with a CSV of actions beside each; they are read, not written


class Source(Protocol):
    """Episodes of somebody else's format, read one at a time."""

    has_final_frame: bool
    # see recording.origin_of
    origin: dict[str, Any]
    files: list[Path]
    # what a user must know before the episodes are used
    notes: list[str]

    @property
    def alignment(self) -> Alignment | None:
        """None where the format holds every frame."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """One episode, as source.json names it."""
        ...

    def read(self, index: int) -> Recording:
        """One episode; what cannot be one is a ValueError naming the file."""
        ...


def detect(path: Path) -> Format:
    """The format of what lies at `path`; a ValueError where that is nothing we read."""
    if not path.exists():
        raise ValueError(f"stage.source={path} does not exist")
    if path.is_file():
        return _detect_file(path)
    if native_folder(path) is not None:
        return Format.native
    if minari.data_folder(path) is not None:
        return Format.minari
    if npz.find_npz(path).files:
        return Format.npz
    if videos.find_videos(path):
        return Format.video
    raise ValueError(
        f"stage.source={path} holds no episodes: name a run folder or its episodes/, "
        "a folder of videos or of .npz rollouts, an HDF5 file, or the folder of a Minari data set"
    )


def _detect_file(path: Path) -> Format:
    if path.suffix.lower() in videos.SUFFIXES:
        return Format.video
    with path.open("rb") as file:
        start = file.read(len(HDF5_SIGNATURE))
    if start == HDF5_SIGNATURE:
        return Format.hdf5
    if start.startswith(ZIP_SIGNATURE):
        return Format.npz
    raise ValueError(
        f"stage.source={path} is neither a video nor an HDF5 or .npz file: its first bytes are "
        f"{start!r}"
    )


def native_folder(path: Path) -> Path | None:
    """The episode store that `path` names: itself, or the `episodes/` of a run or pipeline.

    None where there is none.
    """
    for folder in (path, path / "episodes", path / "rollout" / "episodes"):
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            continue
        content = read_json(manifest)
        if isinstance(content, dict) and content.get("kind") == STORE_KIND:
            return folder
    return None


def require_packages(*formats: Format) -> None:
    """A package that one of these formats needs and that is missing is a ValueError."""
    needed = {package for item in formats for package in FORMAT_PACKAGES.get(item.value, ())}
    if any(importlib.util.find_spec(package) is None for package in needed):
        names = " and ".join(item.value for item in formats if item.value in FORMAT_PACKAGES)
        raise ValueError(
            f'stage=convert needs the extra "data" for {names}: pip install "world-models[data]"'
        )


def open_source(
    path: Path,
    found: Format,
    alignment: Alignment | None,
    image_key: str | None,
    limit: int | None,
    preprocessing: Preprocessing,
) -> Source:
    """A reader of what lies at `path`; `limit` is the environment's step limit.

    ValueError for a key that the format has no use for.
    """
    require_packages(found)
    if found is Format.minari:
        refuse_alignment(f"{path} is a Minari data set", alignment)
        return minari.MinariSource(path, image_key)
    if image_key is not None:
        raise ValueError(f"{path} is no Minari data set: leave out stage.image_key={image_key}")
    if found is Format.video:
        return videos.VideoSource(path, alignment, limit, preprocessing)
    reader = npz.NpzSource if found is Format.npz else hdf5.Hdf5Source
    return reader(path, alignment, limit)


def check_export(store: EpisodeStore, target: Format, alignment: Alignment | None) -> None:
    """What a format cannot hold is a ValueError."""
    require_packages(target)
    if target is Format.video:
        raise ValueError("stage.to=video would lose detail: videos are read, take stage.to=npz")
    if alignment is Alignment.post and not store.has_final_frame:
        raise ValueError(
            f"{store.folder} has no final frames, "
            "which stage.alignment=post would save as if they were: use pre"
        )
    size = store.manifest["env"]["preprocessing"]["size"]
    least = minari.MIN_PICTURE_SIZE
    if target is Format.minari and size < least:
        raise ValueError(
            f"Minari keeps no pictures below {least}x{least}, and these are {size}x{size}"
        )


def export(
    store: EpisodeStore, target: Format, folder: Path, alignment: Alignment | None
) -> Iterator[EpisodeRow]:
    """Write a store to its `export_path` in `folder`; yields each episode once it is written."""
    if target is Format.minari:
        return minari.export(store, folder / "minari")
    assert alignment is not None
    writer = npz if target is Format.npz else hdf5
    return writer.export(store, export_path(target, folder, store), alignment)


def export_path(target: Format, folder: Path, store: EpisodeStore) -> Path:
    """Where an export of `store` lies in a run folder, as `stage.source` names it."""
    names = {
        Format.npz: "npz",
        Format.hdf5: "episodes.hdf5",
        Format.minari: f"minari/{minari.dataset_id(store)}",
    }
    return folder / names[target]
