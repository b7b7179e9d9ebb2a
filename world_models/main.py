"""The command line: arguments, help, sweeps, and mistakes told in one sentence."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from world_models.chains.pipeline import SCHEMAS
from world_models.cli import sweep
from world_models.cli.launch import resume, set_up_logging, start
from world_models.config.compose import (
    addable,
    compose_config,
    config_folder,
    explain,
    options,
    quoted,
)
from world_models.config.schema import register
from world_models.runs.sweeps import is_sweep

MULTIRUN = ("-m", "--multirun")
# what --info can be about
ABOUT = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
HYDRA_FLAGS = ("-c", "--cfg", "-p", "--package", "-i", "--info", "--resolve", "--version")

HELP = """world-models: train, look at and extend world models.

  python -m world_models.main stage=<stage> [env=<env>] [experiment=<experiment>] [key=value ...]
  python -m world_models.main -m stage=<stage> key=value1,value2        a sweep
  python -m world_models.main resume=<folder>                           continue a run or a sweep
  python -m world_models.main stage=<stage> --cfg job                   show every key and its value

stage       {stages}
env         {envs}
experiment  {experiments}

Root keys: seed, device=auto|cpu|cuda, threads, verbosity=debug|info|quiet, upstream=latest|<run folder>, outputs, wandb.mode,
           reuse=true (of a pipeline: take finished stages of equal configuration and inputs),
           agent=<name, agent.pt or run folder> (what stage=evaluate plays in place of an upstream), workers=local|ray.
A sweep's jobs run side by side with hydra/launcher=joblib hydra.launcher.n_jobs=2 (extra "sweeps").
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. Mistakes end in one sentence on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    set_up_logging()
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
    folders = [Path(item.partition("=")[2]) for item in arguments if item.startswith("resume=")]
    overrides = [item for item in arguments if not item.startswith("resume=")]
    if {"-h", "--help"} & set(arguments):
        choices = {
            f"{group}s": " ".join(options(group)) for group in ("stage", "env", "experiment")
        }
        sys.stdout.write(HELP.format(**choices))
    elif set(MULTIRUN) & set(arguments):
        _sweep(arguments)
    elif set(arguments) & set(HYDRA_FLAGS):
        _leave_to_hydra(arguments)
    elif folders:
        (sweep.resume if is_sweep(folders[-1]) else resume)(
            folders[-1], [quoted(item) for item in overrides]
        )
    else:
        start(compose_config([quoted(item) for item in overrides]))


def _sweep(arguments: list[str]) -> None:
    overrides = [item for item in arguments if item not in MULTIRUN]
    for item in overrides:
        if item.startswith(("-", "resume=")):
            raise ValueError(f"{item} and -m do not go together")
    sweep.start([addable(quoted(item, several=True)) for item in overrides], arguments)


def _leave_to_hydra(arguments: list[str]) -> None:
    """Hydra's own flags: what they show."""
    sys.argv = [sys.argv[0], *_flags_first(arguments)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed at length
    try:
        hydra.main(
            config_path=str(config_folder().resolve()), config_name="config", version_base="1.3"
        )(_no_run)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(
            explain(error, [item for item in arguments if not item.startswith("-")])
        ) from None


def _flags_first(arguments: list[str]) -> list[str]:
    """Hydra's parser stops taking overrides at a flag that stands between them."""
    flags, overrides, values = [], [], iter(arguments)
    for item in values:
        if item in ("-c", "--cfg", "-p", "--package"):
            flags += [item, next(values, "")]
        elif item.startswith("-") or item in ABOUT:
            flags.append(item)
        else:
            overrides.append(addable(quoted(item)))
    # or it would take an override for what it is about
    about = ["all"] if flags[-1] in ("-i", "--info") else []
    return [*flags, *about, *overrides]


def _no_run(_: DictConfig) -> None:
    """Hydra's flags show something and run nothing."""
    raise ValueError("--package and --resolve go with --cfg: --cfg job shows every key")


if __name__ == "__main__":
    sys.exit(main())
