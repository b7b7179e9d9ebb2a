"""The command line: arguments, help, sweeps, and mistakes told in one sentence."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from world_models.compose import addable, compose_config, config_folder, explain, options, typed
from world_models.config import register
from world_models.launch import resume, set_verbosity, start, sweep_began
from world_models.pipeline import SCHEMAS
from world_models.runs.folder import shown

HYDRA_FLAGS = ("-m", "--multirun", "-c", "--cfg", "-p", "--package", "-i", "--info", "--resolve", "--version")
PATHS = ("upstream", "outputs", "stage.agent")

HELP = """world-models: train, look at and extend world models.

  python -m world_models.main stage=<stage> [env=<env>] [experiment=<experiment>] [key=value ...]
  python -m world_models.main -m stage=<stage> key=value1,value2        a sweep
  python -m world_models.main resume=<run folder>                       continue a run
  python -m world_models.main stage=<stage> --cfg job                   show every key and its value

stage       {stages}
env         {envs}
experiment  {experiments}

Root keys: seed, device=auto|cpu|cuda, threads, verbosity=debug|info|quiet, upstream=latest|<run folder>, outputs, wandb.mode.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. Mistakes end in one sentence on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("world_models").setLevel(logging.DEBUG)
    set_verbosity("info")
    register(SCHEMAS)
    try:
        _dispatch(arguments)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"error: {error}\n")
        logging.getLogger("world_models").debug("where it happened", exc_info=True)
        return 1
    return 0


def _dispatch(arguments: list[str]) -> None:
    folders = [item.partition("=")[2] for item in arguments if item.startswith("resume=")]
    overrides = [_quoted(item) for item in arguments if not item.startswith("resume=")]
    if {"-h", "--help"} & set(arguments):
        choices = {f"{group}s": " ".join(options(group)) for group in ("stage", "env", "experiment")}
        sys.stdout.write(HELP.format(**choices))
    elif set(arguments) & set(HYDRA_FLAGS):
        _leave_to_hydra(arguments)
    elif folders:
        resume(Path(folders[-1]), overrides)
    else:
        start(compose_config(overrides))


def _quoted(override: str) -> str:
    """Paths may hold characters that mean something in Hydra's grammar."""
    key, _, value = override.partition("=")
    if key not in PATHS or value[:1] in ("'", '"') or value in ("", "latest", "null"):
        return override
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def _leave_to_hydra(arguments: list[str]) -> None:
    """Sweeps and Hydra's own flags."""
    sys.argv = [sys.argv[0], *_flags_first(arguments)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed at length
    try:
        hydra.main(config_path=str(config_folder().resolve()), config_name="config", version_base="1.3")(_job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(explain(error, [item for item in arguments if not item.startswith("-")])) from None


def _flags_first(arguments: list[str]) -> list[str]:
    """Hydra's parser stops taking overrides at a flag that stands between them."""
    flags, overrides, values = [], [], iter(arguments)
    for item in values:
        if item in ("-c", "--cfg", "-p", "--package"):
            flags += [item, next(values, "")]
        elif item.startswith("-"):
            flags.append(item)
        else:
            overrides.append(addable(_quoted(item)))
    return [*flags, *overrides]


def _job(raw: DictConfig) -> None:
    """One job of a sweep."""
    info = HydraConfig.get()
    composed = typed(raw, info)
    folder = Path(info.sweep.dir).absolute() / str(info.sweep.subdir)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "manifest.json").exists():
        raise ValueError(f"{shown(folder)} holds a run of another sweep: start this one again")
    sweep_began(folder)
    start(composed, folder)


if __name__ == "__main__":
    sys.exit(main())
