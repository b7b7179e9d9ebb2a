"""Stage convert: other people's episodes into the store and back, and a check of the store."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from world_models.config.stage import Look, Product, Setting, Stage
from world_models.data.episode import Episode
from world_models.data.interchange.fitting import fit, step_limit
from world_models.data.interchange.formats import (
    Format,
    Source,
    check_export,
    detect,
    export,
    export_path,
    native_folder,
    open_source,
)
from world_models.data.interchange.recording import Alignment, Recording
from world_models.data.interchange.survey import probe, survey
from world_models.data.overview import write_overview
from world_models.data.store import META_KEYS, SPLITS, EpisodeStore, StoreWriter, split_episodes
from world_models.data.tables import EpisodeLine
from world_models.data.verify import Verdict, check_store
from world_models.envs.spec import EnvSpec, difference
from world_models.figures.wording import plain_console
from world_models.runs.folder import display_path
from world_models.runs.metrics import Value
from world_models.runs.numbers import require_below_one, require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.provenance import versions
from world_models.runs.rows import TimingRow
from world_models.runs.run import PATH, RUNTIME, Run

log = logging.getLogger(__name__)


@dataclass
class ConvertConfig:
    """`source` is a run folder or its episodes/, or somebody else's data.

    That is a folder of videos with a CSV file of actions beside each, a folder of .npz rollouts, an
    HDF5 file, or a Minari data set.
    """

    # run folder or its episodes/, or a folder or file of somebody else's
    source: str | None = field(default=None, metadata=PATH)
    to: Format = Format.native  # the format that is written
    # .npz, HDF5 and videos: frames saved before their steps (pre) or after (post)
    alignment: Alignment | None = None
    image_key: str | None = None  # the picture in a Minari data set whose observations are a Dict
    val_fraction: float = 0.1  # share of the episodes held out, where the source has no split
    shard_size: int = 8  # episodes of a file of the store
    # go on without episodes that cannot be read
    skip_bad: bool = field(default=False, metadata=RUNTIME)
    verify: bool = False  # check a native store, and do nothing else

    def __post_init__(self) -> None:
        require_positive("stage", self, "shard_size")
        require_below_one("stage", self, "val_fraction")


def resolve(cfg: ConvertConfig, setting: Setting) -> ConvertConfig:
    """A copy with an absolute `source` and a known `alignment`.

    A source that cannot be converted is a ValueError.
    """
    spec = setting.env
    cfg = replace(cfg, source=str(_source_path(cfg)))
    if cfg.to is Format.native:
        source = _open_source(cfg, spec)
        probe(source, spec)
        return replace(cfg, alignment=source.alignment)
    alignment = None if cfg.to is Format.minari else cfg.alignment or Alignment.pre
    if cfg.alignment not in (None, alignment):
        raise ValueError(
            "stage.alignment is of no use with stage.to=minari, which holds every frame: "
            "leave it out"
        )
    store = _open_store(cfg)
    check_export(store, cfg.to, alignment)
    if store.manifest["env"] != spec.to_dict():
        what = difference(store.manifest["env"], spec.to_dict())
        raise ValueError(
            f"{display_path(store.folder)} was made with another env, so give the same env keys: "
            f"{what}"
        )
    return replace(cfg, alignment=alignment)


def _source_path(cfg: ConvertConfig) -> Path:
    if cfg.source is None:
        raise ValueError(
            "stage.source is missing: name a run folder or its episodes/, a folder of videos with "
            "their actions, a folder of .npz rollouts, an HDF5 file, or the folder of a Minari "
            "data set"
        )
    return Path(cfg.source).absolute()


def _open_source(cfg: ConvertConfig, spec: EnvSpec) -> Source:
    path = _source_path(cfg)
    found = detect(path)
    if found is Format.native:
        raise ValueError(
            f"{display_path(path)} is in the native format already: say what to make of it with "
            "stage.to=npz, hdf5 or minari, or "
            "check it with stage.verify=true"
        )
    return open_source(
        path, found, cfg.alignment, cfg.image_key, step_limit(spec), spec.preprocessing
    )


def _open_store(cfg: ConvertConfig) -> EpisodeStore:
    """The native store that `source` names."""
    return EpisodeStore.open(_store_folder(cfg))


def _store_folder(cfg: ConvertConfig) -> Path:
    path = _source_path(cfg)
    found = detect(path)
    folder = native_folder(path)
    if folder is None:
        wanted = "stage.verify=true checks" if cfg.verify else f"stage.to={cfg.to.value} writes"
        raise ValueError(
            f"{display_path(path)} is {found.value}, and {wanted} native episodes: "
            "convert it to those first"
        )
    return folder


def execute(cfg: ConvertConfig, run: Run) -> None:
    """Write `episodes/` from somebody else's episodes, or the store in another format."""
    if cfg.to is Format.native:
        read_in(cfg, run)
    else:
        write_out(cfg, run)


def read_in(cfg: ConvertConfig, run: Run) -> None:
    """Fill `episodes/`; shards that are there already are kept."""
    spec, folder = run.env, run.path / "episodes"
    source = _open_source(cfg, spec)
    for note in source.notes:
        log.warning("%s", note)
    chosen = survey(source, _source_path(cfg), cfg.skip_bad, run)
    log.info("%s", _frames_of(source.read(chosen[0]), spec))
    writer = StoreWriter(folder, _meta(run, source))
    pairs = list(zip(chosen, split_episodes(len(chosen), cfg.val_fraction), strict=True))
    chunks = [
        pairs[start : start + cfg.shard_size] for start in range(0, len(pairs), cfg.shard_size)
    ]
    finished = writer.finished_shards()
    left = {index: chunk for index, chunk in enumerate(chunks) if index not in finished}
    with ProgressBar("convert", len(chosen), len(chosen) - sum(map(len, left.values()))) as bar:
        for index, chunk in left.items():
            read = [_read(source, number, spec, split) for number, split in chunk]
            writer.write_shard(index, [item for item, _ in read], [split for _, split in read])
            bar.advance(len(read), sum(episode.length for episode, _ in read))
        timing: dict[str, Value] = {
            "steps": bar.work,
            "seconds": round(bar.seconds, 3),
            "rate": round(bar.rate, 1),
        }
    writer.finish()
    write_overview(EpisodeStore.open(folder), run, run.metrics(None), timing)


def _read(source: Source, index: int, spec: EnvSpec, split: str) -> tuple[Episode, str]:
    """One episode, and the split that the source gives it; `split` where it gives none."""
    recording = source.read(index)
    return fit(recording, spec), recording.split or split


def _frames_of(recording: Recording, spec: EnvSpec) -> str:
    """What happens to the frames, for the log."""
    height, width = recording.picture_size
    size, crop = spec.preprocessing.size, spec.preprocessing.crop
    cut = f"env.crop={list(crop)}"
    if (height, width) != (size, size):
        return f"frames are {height}x{width}: resized to {size}x{size}" + (
            f" after {cut}" if any(crop) else ""
        )
    return f"frames are {size}x{size} already: taken as they are" + (
        f", without {cut}" if any(crop) else ""
    )


def _meta(run: Run, source: Source) -> dict[str, Any]:
    """What the store's manifest says of its origin; what nobody knows is called unknown."""
    unknown = {"backend": "unknown", "policy": "unknown", "seed": run.seed, "versions": versions()}
    facts = {
        **unknown,
        **source.origin,
        "env": run.env.to_dict(),
        "has_final_frame": source.has_final_frame,
    }
    return {key: facts[key] for key in META_KEYS}


def write_out(cfg: ConvertConfig, run: Run) -> None:
    """Write the store of `source` in the format `to`, every byte checked first."""
    store = _open_store(cfg)
    run.add_input("episodes", store.folder / "manifest.json")
    store.verify()
    with ProgressBar("convert", len(store.rows)) as bar:
        for row in export(store, cfg.to, run.path, cfg.alignment):
            bar.advance(1, row.length)
    log.info(
        "%d episodes in %s", len(store.rows), display_path(export_path(cfg.to, run.path, store))
    )


def verify(cfg: ConvertConfig, console: Console | None = None) -> None:
    """Check the native store of `source`; prints what is wrong, and a table.

    A damaged store is a ValueError.
    """
    folder, console = _store_folder(cfg), console or plain_console()
    verdict = check_store(folder)
    for damage in verdict.damages:
        console.print(damage.sentence, markup=False, highlight=False, soft_wrap=True)
    console.print(_table(verdict))
    if verdict.damages:
        count = f"{len(verdict.damaged)} of {len(verdict.rows)} episodes"
        remedy = "restore the files named above, or collect or convert the episodes again"
        raise ValueError(f"{display_path(folder)} is damaged ({count}): {remedy}")
    console.print(f"{display_path(folder)} is whole", markup=False, highlight=False, soft_wrap=True)


def _table(verdict: Verdict) -> Table:
    """Episodes, steps, mean return and damage of each split."""
    table = Table(box=None, pad_edge=False)
    for column in ("split", "episodes", "steps", "mean return", "damaged"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split in SPLITS:
        rows = {index: row for index, row in enumerate(verdict.rows) if row.get("split") == split}
        sound = [row for index, row in rows.items() if index not in verdict.damaged]
        mean = f"{np.mean([row['return'] for row in sound]):.1f}" if sound else ""
        steps = sum(row["length"] for row in sound)
        table.add_row(split, str(len(rows)), str(steps), mean, str(len(rows) - len(sound)))
    return table


def look(cfg: ConvertConfig) -> Look | None:
    """With `verify`, a check of the store in place of a run."""
    return (lambda outputs: verify(cfg)) if cfg.verify else None


STAGE = Stage(
    "convert",
    ConvertConfig,
    execute,
    gives=Product("episodes", "episodes/manifest.json"),
    tables={
        "episodes": EpisodeLine,
        "timing": TimingRow,
    },
    stands_for="rollout",
    resolve=resolve,
    look=look,
)
