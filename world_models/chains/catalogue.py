"""The rows of all stages and chains, by name; a file is imported once its row is asked for."""

from importlib import import_module
from types import ModuleType

from world_models import chains, stages
from world_models.config.groups import OWN_STAGES
from world_models.config.stage import Chain, Stage

Row = Stage | Chain


def names() -> list[str]:
    """All stages and chains."""
    return [*stages.STAGES, *OWN_STAGES, *chains.CHAINS]


def row(name: str) -> Row:
    """The row of a stage or chain; a name that is none is a ValueError."""
    module = _file(name)
    found = module.CHAIN if name in chains.CHAINS else module.STAGE
    assert isinstance(found, Row) and found.name == name, found
    return found


def require_stage(run: str, name: str) -> None:
    """A run of a stage that nobody has added is a ValueError."""
    if name not in names():
        raise ValueError(
            f"{run} is a run of stage {name}, which this version does not have: "
            "where the stage is of your own, run the script that adds it"
        )


def about(name: str) -> str:
    """What the file of a stage or chain says of it."""
    text = " ".join((_file(name).__doc__ or "").split())
    return text.removeprefix(f"Stage {name}: ")


def _file(name: str) -> ModuleType:
    if name not in names():
        raise ValueError(
            f"stage {name} does not exist in this version: where it is of your own, run the script "
            "that adds it"
        )
    if name in OWN_STAGES:
        return OWN_STAGES[name]
    package = "stages" if name in stages.STAGES else "chains"
    return import_module(f"world_models.{package}.{name}")


def stage(name: str) -> Stage:
    """The row of a stage; a chain, or a name that is none, is a ValueError."""
    found = row(name)
    if isinstance(found, Chain):
        raise ValueError(f"{name} is a chain of stages, where one stage is needed")
    return found


def schemas(chosen: list[str] | None = None) -> dict[str, type]:
    """Name -> class of the configuration, of those named or of all."""
    return {name: row(name).config for name in (names() if chosen is None else chosen)}
