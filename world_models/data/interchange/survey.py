"""Which episodes of a source are whole, found before any of them is written."""

import logging
from pathlib import Path
from typing import Any

from world_models.data.interchange.fitting import check
from world_models.data.interchange.formats import Source
from world_models.data.interchange.npz import PROBES
from world_models.data.interchange.recording import Recording
from world_models.envs.spec import EnvSpec
from world_models.runs.files import read_json, sha256, write_json
from world_models.runs.folder import display_path
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run

log = logging.getLogger(__name__)


def probe(source: Source, spec: EnvSpec) -> None:
    """Where none of the first few episodes can be one of `spec`, the first one's ValueError."""
    errors = []
    for index in range(min(len(source), PROBES)):
        try:
            check(source.read(index), spec)
        except ValueError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def survey(source: Source, base: Path, skip_bad: bool, run: Run) -> list[int]:
    """The indices of the episodes to convert: those that are whole.

    Once, every episode is read. Bad ones are logged, and a ValueError unless `skip_bad`. What was
    found stands in source.json, beside the SHA-256 of each file that is used: when the run is
    resumed these must be as they were. `base` is the source's path.
    """
    path = run.path / "source.json"
    known = read_json(path) if path.is_file() else None
    bad = _look_at_all(source, run.env, skip_bad) if known is None else known.get("skipped", {})
    hashes = _hashes(source, base, bad)
    _warn_of_copies(hashes)
    if known is not None and known["files"] != hashes:
        raise ValueError(
            f"{display_path(base)} has changed since this run began: start a new run instead of "
            f"resuming {run.name}"
        )
    if known is None:
        listing = {"source": str(base), "files": hashes}
        write_json(path, {**listing, "skipped": bad} if bad else listing)
    run.add_input("source", path)
    return [index for index in range(len(source)) if source.name(index) not in bad]


def _look_at_all(source: Source, spec: EnvSpec, skip_bad: bool) -> dict[str, str]:
    """What is wrong, by the name of each bad episode."""
    bad, cut, first = {}, 0, None
    with ProgressBar("check", len(source), rate_unit="episodes") as bar:
        for index in range(len(source)):
            try:
                recording = source.read(index)
                check(recording, spec)
                first = first or (recording.place, recording.picture_size)
                _require_size(recording, *first)
                cut += recording.surplus > 0
            except ValueError as error:
                bad[source.name(index)] = str(error)
                log.warning("bad: %s", error)
            bar.advance()
    _judge(list(bad.values()), len(source), skip_bad)
    if cut:
        log.warning(
            "%d of %d episodes hold more actions than frames, planned and never taken: "
            "those beyond the last frame are left out",
            cut,
            len(source),
        )
    return bad


def _require_size(recording: Recording, first: str, size: tuple[int, ...]) -> None:
    """Pictures of another size than the first ones are a ValueError: one kind may be cropped."""
    found = recording.picture_size
    if found != size:
        raise ValueError(
            f"{recording.place}: its frames are {found[0]}x{found[1]}, and those of {first} "
            f"{size[0]}x{size[1]}: convert them apart"
        )


def _judge(bad: list[str], episodes: int, skip_bad: bool) -> None:
    """Bad episodes are a ValueError where they are not to be skipped, or are all."""
    count = f"{len(bad)} of {episodes} episodes are bad"
    if bad and not (skip_bad and len(bad) < episodes):
        raise ValueError(
            f"{count}, each named above and in log.txt, and nothing was converted ({bad[0]}): mend "
            "them or take them away and resume, or go on without them: stage.skip_bad=true"
        )
    if bad:
        log.warning("%s and skipped: source.json names them", count)


def _hashes(source: Source, base: Path, bad: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of every file of the source that is used, by its path below the source."""
    files = {
        str(file.relative_to(base) if file != base else file.name): file for file in source.files
    }
    hashes = {}
    with ProgressBar("hash", len(files), rate_unit="files") as bar:
        for name, file in files.items():
            if name not in bad:
                hashes[name] = sha256(file)
            bar.advance()
    return hashes


def _warn_of_copies(hashes: dict[str, str]) -> None:
    """Files of equal bytes: an episode in both splits makes validation look better than it is."""
    firsts = {digest: name for name, digest in reversed(hashes.items())}
    copies = [name for name, digest in hashes.items() if firsts[digest] != name]
    if copies:
        log.warning(
            "%d of %d files hold the same bytes as an earlier one, such as %s and %s: "
            "take copies away, or an episode may be in both splits",
            len(copies),
            len(hashes),
            copies[0],
            firsts[hashes[copies[0]]],
        )
