"""The files of conf/: where they lie, what can be chosen, of which stage a choice is.

Hydra is not needed for it.
"""

import re
from pathlib import Path
from types import ModuleType

GROUPS = ("stage", "env", "experiment")
CONFIG_FOLDERS = (Path(__file__).parents[1] / "conf", Path(__file__).parents[2] / "conf")
OWN_STAGES: dict[str, ModuleType] = {}
"""Stages that other people's code has added, by name: see `add_stage`."""
RENAMED = {"pixel_seed84": "pixel_gray84"}
"""Choices of conf/stage that earlier versions knew by another name."""


def config_folder() -> Path:
    """Where conf/ lies: inside an installed package, or beside it in a checkout."""
    for folder in CONFIG_FOLDERS:
        if (folder / "config.yaml").is_file():
            return folder
    looked = " and ".join(map(str, CONFIG_FOLDERS))
    raise ValueError(f"conf/ is missing: it was looked for in {looked}")


def options(group: str) -> list[str]:
    """The choices of a config group."""
    own = OWN_STAGES if group == "stage" else ()
    return sorted([*(path.stem for path in (config_folder() / group).glob("*.yaml")), *own])


def no_such_choice(group: str, choice: str) -> str:
    """One sentence for a choice that a group does not have."""
    if group == "stage" and choice in RENAMED:
        return f"stage={choice} is now called stage={RENAMED[choice]}: type that"
    return f"{group}={choice} does not exist; choose one of: {', '.join(options(group))}"


def stage_of(choice: str) -> str:
    """The stage or chain that a file of conf/stage is of: the schema that its defaults name."""
    if choice in OWN_STAGES:
        return choice
    path = config_folder() / "stage" / f"{choice}.yaml"
    if not path.is_file():
        raise ValueError(no_such_choice("stage", choice))
    found = re.search(r"/schema/stage/(\w+)@_here_", path.read_text())
    if found is None:
        raise ValueError(
            f"{path} names no schema: its defaults need - /schema/stage/<stage>@_here_"
        )
    return found[1]
