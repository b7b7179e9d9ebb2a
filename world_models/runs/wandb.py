"""Metrics mirrored to Weights & Biases, for those who ask for it."""

import hashlib
import importlib
import importlib.util
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from world_models.runs.metrics import Mirror, Value

log = logging.getLogger(__name__)

SECONDS_TO_ANSWER = 10
"""That the server has, before it counts as out of reach."""
SECONDS_TO_FINISH = 600.0
"""Of waiting at the end of a run for a server that does not answer."""
OFFLINE_INSTEAD = "or set wandb.mode=offline"


def require_wandb(mode: str) -> None:
    """What would keep a run from being mirrored is a ValueError.

    That is a missing package; online, a server that does not answer, or no key for it.
    """
    if importlib.util.find_spec("wandb") is None:
        raise ValueError('wandb.mode needs the extra "wandb": pip install "world-models[wandb]"')
    if mode == "online":
        wandb: Any = importlib.import_module("wandb")
        _require_server(str(wandb.setup().settings.base_url))
        _require_key(wandb)


def _require_server(address: str) -> None:
    try:
        urllib.request.urlopen(address, timeout=SECONDS_TO_ANSWER).close()
    except urllib.error.HTTPError:
        # it answered
        return
    except OSError as error:
        raise ValueError(
            f"wandb.mode=online needs {address}, which cannot be reached ({error}): "
            f"see to the network, {OFFLINE_INSTEAD}"
        ) from None


def _require_key(wandb: Any) -> None:
    """On a terminal Weights & Biases asks for it."""
    try:
        known = wandb.login()
    except wandb.errors.Error as error:
        log.debug("Weights & Biases: %s", error)
        known = False
    if not known:
        raise ValueError(
            "wandb.mode=online needs a key of Weights & Biases: "
            f"type wandb login, set WANDB_API_KEY, {OFFLINE_INSTEAD}"
        )


@contextmanager
def wandb_mirror(mode: str, project: str, folder: Path) -> Iterator[Mirror]:
    """Inside, a function logs every CSV row and picture of this run folder to a W&B run.

    The W&B run is this folder's alone and ends with it. Online a resumed folder goes on in its own.
    Offline nobody knows what it held before, and a part that is uploaded under the same id takes
    the place of the one before it: so each part is a W&B run, and the folder is their group.
    """
    wandb: Any = importlib.import_module("wandb")
    run = _begin(wandb, mode, project, folder)
    log.info("Weights & Biases: %s", run.url or run.dir)

    def mirror(name: str, row: dict[str, Value | Path]) -> None:
        shown = {
            key: wandb.Image(str(value)) if isinstance(value, Path) else value
            for key, value in row.items()
        }
        with _losing_nothing(wandb):
            run.log({f"{name}/{key}": value for key, value in shown.items()})

    code = 1
    try:
        yield mirror
        code = 0
    finally:
        with _losing_nothing(wandb):
            run.finish(exit_code=code)


@contextmanager
def _losing_nothing(wandb: Any) -> Iterator[None]:
    """Inside, a server or a helper process that is lost is said, and ends no run."""
    try:
        yield
    except (wandb.errors.Error, OSError, RuntimeError) as error:
        log.warning("Weights & Biases is lost (%s): the run goes on without it", error)


def _config(folder: Path) -> dict[str, Any]:
    """The run's keys."""
    path = folder / "config.yaml"
    found = yaml.safe_load(path.read_text()) if path.is_file() else {}
    return dict(found or {})


def _patience(wandb: Any) -> dict[str, float]:
    """How long the end waits for the server; versions before 0.20 know no such setting."""
    known = getattr(wandb.Settings, "model_fields", {})
    return {"finish_timeout": SECONDS_TO_FINISH} if "finish_timeout" in known else {}


def _begin(wandb: Any, mode: str, project: str, folder: Path) -> Any:
    name = "/".join(folder.parts[-3:])
    identity = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    before = len(list(folder.glob("wandb/offline-run-*"))) if mode == "offline" else 0
    part = f"-part{before + 1}" if before else ""
    try:
        return wandb.init(
            project=project,
            mode=mode,
            dir=str(folder),
            name=name + part,
            group=name,
            id=identity + part,
            resume="allow",
            config=_config(folder),
            settings=wandb.Settings(silent=True, **_patience(wandb)),
        )
    except wandb.errors.Error as error:
        raise ValueError(f"Weights & Biases (wandb.mode={mode}): {error}") from None
