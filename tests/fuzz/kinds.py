"""The kinds of files that we read back, and how each is damaged."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fuzz import checkpoints, folders, stores
from fuzz.mutations import with_odd_bytes, with_odd_field

from world_models.runs.sweeps import read_sweep

Change = Callable[[Path, random.Random], str]


@dataclass(frozen=True)
class Kind:
    """A kind of file: who makes one in a folder, what a reader sees of it, how it is damaged."""

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    changes: tuple[Change, ...]


def bytes_changed(path: Path, draw: random.Random) -> str:
    what, content = with_odd_bytes(path.read_bytes(), draw)
    path.write_bytes(content)
    return what


def fields_changed(*fixed: str) -> Change:
    def change(path: Path, draw: random.Random) -> str:
        what, content = with_odd_field(json.loads(path.read_text()), draw, fixed)
        path.write_text(json.dumps(content))
        return what

    return change


def tensors_changed(*fixed: str) -> Change:
    def change(path: Path, draw: random.Random) -> str:
        what, content = with_odd_field(torch.load(path, weights_only=True), draw, fixed)
        torch.save(content, path)
        return what

    return change


def lines_changed(path: Path, draw: random.Random) -> str:
    """A cell or a line of a table is taken away, doubled, or is no number."""
    lines = path.read_text().splitlines()
    number = draw.randrange(1, len(lines))
    cells = lines[number].split(",")
    cells[draw.randrange(len(cells))] = draw.choice(["", "text", "1,2", '"', "0x1", "\x00"])
    lines[number] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return f"line {number}: {lines[number]}"


FACTS = ("versions", "validation", "machine", "git", "kwargs")

"""Below these keys lies what is shown and not used."""

KINDS = [
    Kind("store manifest", stores.store_of_a_run, stores.seen_of_store, (fields_changed(*FACTS),)),
    Kind(
        "store manifest, bytes",
        stores.store_of_a_run,
        stores.seen_of_the_runs_store,
        (bytes_changed,),
    ),
    Kind("shard", stores.shard, stores.seen_of_a_shard, (bytes_changed,)),
    Kind("commit mark", stores.mark, stores.seen_of_marks, (fields_changed(*FACTS, "crc32"),)),
    Kind("latents", stores.latents, stores.seen_of_latents, (fields_changed(), bytes_changed)),
    Kind("tokens", stores.tokens, stores.seen_of_tokens, (fields_changed(), bytes_changed)),
    Kind(
        "run manifest",
        folders.run_manifest,
        folders.seen_of_run,
        (fields_changed(*FACTS, "max_episode_steps"),),
    ),
    Kind(
        "sweep.json", folders.sweep_file, lambda path: read_sweep(path.parent), (fields_changed(),)
    ),
    Kind("table", folders.table, folders.seen_of_table, (lines_changed,)),
    Kind(
        "table of a run",
        folders.table,
        folders.seen_of_table_of_a_run,
        (lines_changed, bytes_changed),
    ),
    Kind(
        "best.pt of M",
        checkpoints.mdrnn,
        checkpoints.seen_of_mdrnn,
        (tensors_changed(*FACTS), bytes_changed),
    ),
    Kind(
        "best.pt of pixel",
        checkpoints.pixel,
        checkpoints.seen_of_pixel,
        (tensors_changed(*FACTS), bytes_changed),
    ),
    Kind(
        "best.pt of a tokenizer",
        checkpoints.tokenizer,
        checkpoints.seen_of_tokenizer,
        (tensors_changed(*FACTS), bytes_changed),
    ),
    Kind(
        "last.pt by steps",
        checkpoints.last(True),
        checkpoints.seen_of_last(True),
        (tensors_changed(), bytes_changed),
    ),
    Kind(
        "last.pt by epochs",
        checkpoints.last(False),
        checkpoints.seen_of_last(False),
        (tensors_changed(), bytes_changed),
    ),
    Kind(
        "last.pt of a search",
        checkpoints.search,
        checkpoints.seen_of_search,
        (tensors_changed(), bytes_changed),
    ),
    Kind(
        "agent.pt",
        checkpoints.agent,
        checkpoints.seen_of_agent,
        (tensors_changed(*FACTS), bytes_changed),
    ),
    Kind("HDF5", stores.hdf5, stores.seen_of_hdf5, (bytes_changed,)),
]
