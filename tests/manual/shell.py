"""How commands of pages are checked, and run small in a folder of their own."""

import re
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from commands import SMALL

from world_models.chains import catalogue
from world_models.chains.catalogue import schemas
from world_models.config.compose import Composed, compose_config
from world_models.config.schema import register
from world_models.config.stage import Chain
from world_models.main import main

BUDGETS: dict[str, list[str]] = {
    **SMALL,
    "rollout": ["episodes=6", "max_steps=40", "shard_size=3", "workers=0", "val_fraction=0.34"],
    "tokenizer": [*SMALL["tokenizer"], "downsamplings=3"],
    "rem": [*SMALL["rem"], "tokenizer.patch_size=8"],
    "controller": [*SMALL["controller"], "generations=1", "time_limit=20", "num_envs=2"],
    "evaluate": ["episodes=1", "num_envs=1", "workers=0", "windows=4", "horizon=4"],
    "play": ["port=0"],
}
"""Keys of each stage, appended to every command that is run."""
PLANNING = ["plan.candidates=4", "plan.elites=2", "plan.rounds=1", "plan.horizon=2"]
"""The same of an agent that plans."""
NONE_OF = ("minutes", "env_steps", "target_return")
"""Budgets that are set aside where a stage has them."""
RUN = "outputs/CarRacing-v3/2026-11-21/14-03-22"
"""Where the finished pipeline of Pellet lies that stands for the runs of pages."""
STANDS_FOR = re.compile(r"outputs/[\w-]+/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d|outputs/[abc]\b|rollouts/")
"""Names of runs and files that are Pellet's in the folder where commands are run."""
FLAGS = ("-h", "--help", "--cfg", "job")


def is_sweep(arguments: list[str]) -> bool:
    """Whether several jobs are typed at once."""
    return "-m" in arguments


def jobs_of(arguments: list[str]) -> list[list[str]]:
    """The arguments of each job; of a command that is no sweep its own, without flags."""
    keys = [item for item in arguments if item not in (*FLAGS, "-m") and "hydra" not in item]
    if not is_sweep(arguments):
        return [keys]
    several = [[f"{key}={one}" for one in value.split(",")] for key, value in map(_pair, keys)]
    return [list(job) for job in product(*several)]


def _pair(item: str) -> tuple[str, str]:
    key, _, value = item.partition("=")
    return key, value


def composed(arguments: list[str]) -> Composed | None:
    """The configuration of a job; none where it is resumed, or no stage is named."""
    if any(item.startswith("resume=") for item in arguments) or not arguments:
        return None
    return _composed(tuple(arguments))


@cache
def _composed(arguments: tuple[str, ...]) -> Composed:
    """Pages have many commands in common."""
    register(schemas())
    return compose_config(list(arguments))


def shrinking(arguments: list[str]) -> list[str]:
    """The overrides that make a command small: its stage's BUDGETS, or those of its parts."""
    found = composed(jobs_of(arguments)[0])
    if found is None:
        return []
    row, cfg = catalogue.row(found.stage), found.config.stage
    if not isinstance(row, Chain):
        return [f"stage.{key}" for key in small_keys(row.name, cfg)]
    parts = [(item.name, getattr(cfg, item.name)) for item in fields(cfg)]
    staged = [(name, part) for name, part in parts if type(part) in {s.config for s in row.stages}]
    keys = [f"stage.{name}.{key}" for name, part in staged for key in small_keys(name, part)]
    return [*keys, *_again(cfg)]


def small_keys(stage: str, cfg: Any) -> list[str]:
    """BUDGETS of a stage, and null for its other budgets."""
    unset = [f"{name}=null" for name in NONE_OF if getattr(cfg, name, None) is not None]
    plans = hasattr(cfg, "plan") and cfg.plan.method is not None
    return [*BUDGETS.get(stage, []), *(PLANNING if plans else []), *unset]


def _again(cfg: Any) -> list[str]:
    """The same of what a pipeline does in later iterations."""
    again = getattr(cfg, "again", None)
    if not is_dataclass(again):
        return []
    small = {"rollout": "episodes", "vae": "num_epochs", "mdrnn": "num_epochs"}
    return [f"stage.again.{name}.{key}=1" for name, key in small.items()] + [
        "stage.again.rollout.episodes=6",
        "stage.again.controller.generations=2",
        "stage.again.vae.minutes=null",
        "stage.again.controller.minutes=null",
        "stage.again.controller.env_steps=null",
    ]


class Place:
    """A folder in which commands are run; what a stage needs and is not there is made first."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds what pages name: see `conftest.py`."""
        self.folder = folder
        self.made: set[tuple[str, ...]] = set()

    def run(self, line: list[str]) -> int:
        """Run the arguments of a command, small; returns the exit status."""
        arguments = self.on_pellet(line)
        if set(arguments) & set(FLAGS) or not jobs_of(arguments)[0]:
            return main(arguments)
        if not is_sweep(arguments):
            self.provide(arguments)
        return main([*arguments, *shrinking(arguments), "threads=1"])

    def on_pellet(self, line: list[str]) -> list[str]:
        """The arguments; runs and files that pages name are Pellet's here, and so is the env."""
        arguments = [item.replace("<run folder>", RUN) for item in line]
        named = [item for item in arguments if STANDS_FOR.search(item)]
        if not named or any(item.startswith("resume=") for item in arguments):
            return arguments
        return [
            *(item for item in arguments if not item.startswith(("env=", "env."))),
            "env=pellet",
        ]

    def provide(self, arguments: list[str]) -> None:
        """Make a run of the stage that feeds this one, unless one is named or was made."""
        found = composed(jobs_of(arguments)[0])
        row = None if found is None else catalogue.row(found.stage)
        named = any(item.startswith(("upstream=", "agent=")) for item in arguments)
        if found is None or isinstance(row, Chain | None) or named:
            return
        env = [item for item in arguments if item.startswith(("env=", "env."))]
        known = any((name, *env) in self.made for name in row.needs)
        if row.needs and not row.needs_none and not known:
            assert self.run([f"stage={row.needs[0]}", *env]) == 0, row.needs
        self.made |= {(name, *env) for name in (row.name, row.stands_for) if name}
