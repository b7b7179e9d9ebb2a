"""The rows of all stages and chains, by name; a file is imported once its row is asked for."""

from importlib import import_module

from world_models import chains, stages
from world_models.config.stage import Chain, Stage

Row = Stage | Chain


def names() -> list[str]:
    """All stages and chains."""
    return [*stages.STAGES, *chains.CHAINS]


def row(name: str) -> Row:
    """The row of a stage or chain; a name that is none is a ValueError."""
    if name in stages.STAGES:
        found = import_module(f"world_models.stages.{name}").STAGE
    elif name in chains.CHAINS:
        found = import_module(f"world_models.chains.{name}").CHAIN
    else:
        raise ValueError(f"stage {name} does not exist in this version")
    assert isinstance(found, Row) and found.name == name, found
    return found


def stage(name: str) -> Stage:
    """The row of a stage; a chain, or a name that is none, is a ValueError."""
    found = row(name)
    if isinstance(found, Chain):
        raise ValueError(f"{name} is a chain of stages, where one stage is needed")
    return found


def schemas(chosen: list[str] | None = None) -> dict[str, type]:
    """Name -> class of the configuration, of those named or of all."""
    return {name: row(name).config for name in (names() if chosen is None else chosen)}
