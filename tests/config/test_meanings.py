"""Every key and column has a meaning, and it is the comment that stands with its field."""

from dataclasses import dataclass, field
from enum import Enum

import pytest

from world_models import stages
from world_models.chains import catalogue
from world_models.config.meanings import Column, columns_of, keys_of, meanings
from world_models.config.schema import Config
from world_models.envs.families import FAMILIES
from world_models.runs.rows import column


class Colour(Enum):
    """Two of them."""

    red = "red"  # as blood
    # as the sky
    blue = "blue"
    grey = "grey"


@dataclass
class Inner:
    """Below another."""

    size: int = 3  # pixels of a side


@dataclass
class Base:
    """What both have."""

    shared: float | None = None  # of the base; null: none
    changed: int = 1  # as the base has it


@dataclass
class Sample(Base):
    """Comments in every place where they can stand."""

    # above,
    # in two lines
    above: str = "# no comment"
    both: bool = True  # beside
    # above what goes over lines
    long: list[Colour] = field(  # and inside
        default_factory=lambda: [Colour.red],
    )
    changed: int = 2  # as it is here
    bare: int = 0

    # of nothing that is a field

    inner: Inner = field(default_factory=Inner)


def test_comments_above_beside_and_inside_are_the_meaning() -> None:
    assert meanings(Sample) == {
        "shared": "of the base; null: none",
        "changed": "as it is here",
        "above": "above, in two lines",
        "both": "beside",
        "long": "above what goes over lines and inside",
    }


def test_keys_of_nested_dataclasses_have_dots_kinds_and_choices() -> None:
    found = {key.name: key for key in keys_of(Sample(), "stage.")}
    assert list(found)[:2] == ["stage.shared", "stage.changed"]
    assert found["stage.inner.size"].meaning == "pixels of a side"
    kinds = {name.removeprefix("stage."): key.kind for name, key in found.items()}
    assert kinds == {
        "shared": "float or null",
        "changed": "int",
        "above": "text",
        "both": "bool",
        "long": "list",
        "bare": "int",
        "inner.size": "int",
    }
    assert found["stage.long"].choices == {"red": "as blood", "blue": "as the sky", "grey": ""}
    assert found["stage.bare"].meaning == ""


@pytest.mark.parametrize("name", catalogue.names())
def test_every_key_of_every_stage_has_a_meaning(name: str) -> None:
    keys = list(keys_of(catalogue.row(name).config(), "stage."))
    assert [key.name for key in keys if not key.meaning] == []


def test_every_key_of_environments_and_of_the_root_has_a_meaning() -> None:
    keys = [key for family in FAMILIES for key in keys_of(family.config())]
    keys += [key for key in keys_of(Config()) if key.name not in ("stage", "env")]
    assert [key.name for key in keys if not key.meaning] == []


@dataclass
class Sampled:
    """Rows of a table."""

    # frames that were judged
    count: int
    # of them [dB]
    psnr: float | None = None
    loss: float = column("Loss", "the loss", 0.0)


def test_a_column_has_its_comment_or_caption_and_the_unit_in_brackets() -> None:
    assert list(columns_of(Sampled)) == [
        Column("count", "int", "frames that were judged", ""),
        Column("psnr", "float", "of them", "dB"),
        Column("the loss", "float", "Loss", ""),
    ]


@pytest.mark.parametrize("name", stages.STAGES)
def test_every_column_of_every_table_has_a_meaning_and_each_number_a_unit(name: str) -> None:
    for table, kind in catalogue.stage(name).tables.items():
        for one in columns_of(kind):
            assert one.meaning, (table, one)
            assert one.kind != "float" or one.unit, (table, one)
