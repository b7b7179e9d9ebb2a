"""What a command line asks for: a run, a resumption, a sweep, or a look at the configuration.

What a mistyped key need not wait for is imported where it is used.
"""

import os
import sys
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from world_models.chains import catalogue
from world_models.cli.console import set_up_logging
from world_models.config.compose import (
    addable,
    compose_config,
    env_of_upstream,
    explain,
    quoted,
)
from world_models.config.groups import config_folder, options, stage_of
from world_models.config.schema import register
from world_models.envs.trust import modules_of, trust
from world_models.runs.files import typed_path
from world_models.runs.quotes import plain_value
from world_models.runs.signals import interruptible
from world_models.runs.sweeps import is_sweep

MULTIRUN = ("-m", "--multirun")
HELP_FLAGS = ("-h", "--help")
# what --info can be about
ABOUT = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
TRUST = "env.trust="
COMPLETION = ("-sc", "--shell-completion")
HYDRA_FLAGS = ("-c", "--cfg", "-p", "--package", "-i", "--info", "--resolve", *COMPLETION)


def dispatch(arguments: list[str]) -> None:
    """Do what a command line asks for; mistakes are ValueErrors, OSErrors or RuntimeErrors."""
    set_up_logging()
    with interruptible():
        _dispatch(arguments)


def _dispatch(arguments: list[str]) -> None:
    trust(modules_typed(arguments))
    arguments = [item for item in arguments if not item.startswith(TRUST)]
    completes = bool(set(arguments) & set(COMPLETION))
    register(_schemas_to_complete() if completes else _schemas_for(arguments))
    typed = [item.partition("=")[2] for item in arguments if item.startswith("resume=")]
    if "" in typed:
        raise ValueError("resume= names no folder: give that of a run or a sweep")
    folders = [typed_path(path) for path in typed]
    overrides = [item for item in arguments if not item.startswith("resume=")]
    if set(arguments) & set(HELP_FLAGS):
        _show_help([quoted(item) for item in overrides if not item.startswith("-")])
    elif set(MULTIRUN) & set(arguments):
        _sweep(arguments)
    elif set(arguments) & set(HYDRA_FLAGS):
        _leave_to_hydra(arguments)
    elif folders:
        _resume(folders[-1], [quoted(item) for item in overrides])
    else:
        _start([quoted(item) for item in overrides])


def modules_typed(arguments: list[str]) -> set[str]:
    """The modules that the user names: by env.trust, or in the id that is typed."""
    found: set[str] = set()
    for key, _, value in (item.partition("=") for item in arguments):
        if f"{key}=" == TRUST:
            found.update(value.split(","))
        elif key.lstrip("+") == "env.id":
            found.update(modules_of(plain_value(value)))
    return found - {""}


def _start(overrides: list[str]) -> None:
    composed = compose_config(overrides)
    if not env_of_upstream(overrides, Path.cwd()):
        # typed, or chosen from our own files
        trust(modules_of(composed.config.env.id, composed.config.env.kwargs))
    from world_models.cli import launch

    launch.start(composed)


def _resume(folder: Path, overrides: list[str]) -> None:
    from world_models.cli import following, launch, sweep

    if is_sweep(folder):
        following.require_no_sweep()
    (sweep.resume if is_sweep(folder) else launch.resume)(folder, overrides)


def _show_help(overrides: list[str]) -> None:
    from world_models.cli.stage_help import show_help

    show_help(overrides)


def _sweep(arguments: list[str]) -> None:
    from world_models.cli import following, sweep

    following.require_no_sweep()
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


def _schemas_for(arguments: list[str]) -> dict[str, type]:
    """The schema of the typed stage, or all where an experiment or a sweep may choose one."""
    typed = [item.partition("=")[2] for item in arguments if item.startswith("stage=")]
    free = any(item.startswith("experiment=") or item in MULTIRUN for item in arguments)
    if free or len(typed) != 1:
        return catalogue.schemas()
    return catalogue.schemas(["runs", stage_of(typed[0])])


def _schemas_to_complete() -> dict[str, type]:
    """That of the stage which stands on the line before the word that the shell completes."""
    if Path(sys.argv[0]).suffix == ".py":
        raise ValueError(
            'the shell completes the command world-models: eval "$(world-models -sc install=bash)"'
        )
    before = os.environ.get("COMP_LINE", "").rpartition(" ")[0].split()
    typed = [item.partition("=")[2] for item in before if item.startswith("stage=")]
    return catalogue.schemas([stage_of(item) for item in typed[-1:] if item in options("stage")])
