"""Stage data: look at a store of episodes, or join several to one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from world_models.config.stage import Look, Product, Setting, Stage
from world_models.data.episode import Episode
from world_models.data.growing import StoreExtender
from world_models.data.interchange.formats import native_folder
from world_models.data.overview import write_overview
from world_models.data.preview import Histogram, Part, actions_of, chosen, film, parts_of, sheet
from world_models.data.store import META_KEYS, EpisodeStore
from world_models.data.tables import EpisodeLine
from world_models.envs.spec import EnvSpec, difference
from world_models.figures.media import save_png, save_video
from world_models.figures.wording import plain_console
from world_models.runs.files import typed_path
from world_models.runs.folder import display_path
from world_models.runs.metrics import Value
from world_models.runs.numbers import require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.provenance import versions
from world_models.runs.rows import TimingRow
from world_models.runs.run import PATH, RUNTIME, Run

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 4
"""Episodes in a row of the film."""
TILE = 128
"""Pixels of an episode's side in the film, at least where pixels are whole squares."""
BAR = 30
"""Letters of the longest bar of a histogram."""


@dataclass
class LookConfig:
    """What is in a store: tables, a sheet of pictures and a film; with `merge` a new store."""

    # run folder that holds episodes, or its episodes/
    source: str | None = field(default=None, metadata=PATH)
    # run folders whose episodes follow those of `source` in a store of their own
    merge: list[str] = field(default_factory=list)
    # where the pictures go: <preview>.png and <preview>.mp4
    preview: str = field(default="preview", metadata={**RUNTIME, **PATH})
    # episodes on the sheet and in the film, evenly spread over the store
    episodes: int = field(default=8, metadata=RUNTIME)
    # frames per second of the film
    fps: int = field(default=30, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive("stage", self, "episodes", "fps")


def show(cfg: LookConfig, outputs: Path, console: Console | None = None) -> None:
    """Print what is in a store, and write its pictures."""
    store = EpisodeStore.open(_folder("stage.source", cfg.source))
    console = console or plain_console()
    console.print(f"{display_path(store.folder)}: {store.env.id}, {_origin(store)}")
    console.print(_parts_table(parts_of(store)), "")
    for histogram in actions_of(store):
        console.print(_bars(histogram), "")
    rows, path = chosen(store, cfg.episodes), Path(cfg.preview)
    save_png(path.with_name(f"{path.name}.png"), sheet(store, rows))
    columns = min(SIDE_BY_SIDE, len(rows))
    save_video(path.with_name(f"{path.name}.mp4"), film(store, rows, columns, TILE), cfg.fps)
    log.info("look at %s.png and %s.mp4", cfg.preview, cfg.preview)


def _origin(store: EpisodeStore) -> str:
    """Who played, on what."""
    additions = store.manifest.get("additions", [])
    policies = [store.manifest["policy"], *(entry["policy"] for entry in additions)]
    return f"played by {', then '.join(dict.fromkeys(policies))}, on {store.manifest['backend']}"


def _parts_table(parts: Sequence[Part]) -> Table:
    table = Table("split", box=None, pad_edge=False)
    for name in ("episodes", "steps", "steps of an episode", "return", "ended by the rules"):
        table.add_column(name, justify="right")
    for part in parts:
        numbers = (f"{part.episodes:,}", f"{part.steps:,}", str(part.lengths), str(part.returns))
        table.add_row(part.name, *numbers, f"{part.terminated:.0%}")
    return table


def _bars(histogram: Histogram) -> Table:
    table = Table(histogram.what, "share", "", box=None, pad_edge=False)
    most = max(float(histogram.shares.max()), 1e-9)
    for place, share in zip(histogram.places, histogram.shares, strict=True):
        table.add_row(place, f"{share:.1%}", "█" * round(BAR * share / most))
    return table


def _folder(key: str, path: str | None) -> Path:
    """The store that a path names; a path that names none is a ValueError."""
    if path is None:
        raise ValueError(f"{key} is missing: name a run folder that holds episodes")
    folder = native_folder(typed_path(path).absolute())
    if folder is None:
        raise ValueError(f"{key}: {path} holds no episodes: name a run of rollout, convert or play")
    return folder


def resolve(cfg: LookConfig, setting: Setting) -> LookConfig:
    """A copy with absolute paths; stores that cannot be joined are a ValueError."""
    folders = [_folder("stage.source", cfg.source)]
    folders += [_folder("stage.merge", path) for path in cfg.merge]
    stores = [EpisodeStore.open(folder) for folder in folders]
    require_joinable(stores, setting.env)
    source, *others = map(str, folders)
    return replace(cfg, source=source, merge=others)


def require_joinable(stores: Sequence[EpisodeStore], spec: EnvSpec) -> None:
    """Stores of another environment, and episodes that are in two of them, are a ValueError."""
    first = stores[0]
    if first.manifest["env"] != spec.to_dict():
        what = difference(first.manifest["env"], spec.to_dict())
        raise ValueError(
            f"{display_path(first.folder)} was made with another env, so give the same env keys: "
            f"{what}"
        )
    known: dict[Any, Path] = {}
    for store in stores:
        for key in ("env", "backend", "has_final_frame"):
            if store.manifest[key] != first.manifest[key]:
                raise ValueError(
                    f"{display_path(store.folder)} cannot follow {display_path(first.folder)}: its "
                    f"{key} is another"
                )
        twice = [entry for entry in _contents(store) if entry in known]
        if twice:
            raise ValueError(
                f"{display_path(store.folder)} holds {len(twice)} episodes that are in "
                f"{display_path(known[twice[0]])}, too: play others, with another seed"
            )
        known.update(dict.fromkeys(_contents(store), store.folder))


def _contents(store: EpisodeStore) -> list[tuple[Any, ...]]:
    """What tells the episodes of a store from others: length and checksums of all columns."""
    rows = store.manifest["episodes"]
    return [(row["length"], *sorted(row["crc32"].items())) for row in rows if "crc32" in row]


def execute(cfg: LookConfig, run: Run) -> None:
    """Write `episodes/`: the shards of `source`, then all others; those that are there are kept."""
    first, *others = [EpisodeStore.open(Path(str(path))) for path in (cfg.source, *cfg.merge)]
    for store in (first, *others):
        run.add_input("merged", store.folder / "manifest.json")
    writer = StoreExtender(run.path / "episodes", _meta(run, others), first)
    finished, steps = writer.finished_shards(), 0
    shards = [(store, shard) for store in others for shard in store.shards()]
    with ProgressBar("merge", len(shards), rate_unit="shards") as bar:
        for index, (store, shard) in enumerate(shards, writer.next_shard):
            if index not in finished:
                episodes, splits = _shard(store, shard)
                writer.write_shard(index, episodes, splits)
                steps += sum(episode.length for episode in episodes)
            bar.advance()
        timing: dict[str, Value] = {
            "steps": steps,
            "seconds": round(bar.seconds, 3),
            "rate": round(bar.rate, 1),
        }
    writer.finish()
    write_overview(EpisodeStore.open(writer.folder), run, run.metrics(None), timing)


def _shard(store: EpisodeStore, shard: int) -> tuple[list[Episode], list[str]]:
    rows = [row for row in store.rows if row.shard == shard]
    return [store.episode(row) for row in rows], [row.split for row in rows]


def _meta(run: Run, others: Sequence[EpisodeStore]) -> dict[str, Any]:
    """What the store's manifest says of the episodes that follow the first ones."""
    policies = dict.fromkeys(str(store.manifest["policy"]) for store in others)
    facts = {**others[0].manifest, "policy": " and ".join(policies), "seed": run.seed}
    facts["versions"] = versions()
    return {key: facts[key] for key in META_KEYS}


def look(cfg: LookConfig) -> Look | None:
    """Without `merge` nothing is made but pictures."""
    return None if cfg.merge else partial(show, cfg)


STAGE = Stage(
    "data",
    LookConfig,
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
