"""The picture of the packages is that of their imports, and the page beside it names real files."""

import re
from pathlib import Path

import pytest

from benchmarks.package_map import PICTURE, ROOMS, drawn, imports, shortest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_the_picture_is_up_to_date() -> None:
    found = drawn(imports())
    assert PICTURE.read_text() == found, "run python -m benchmarks.package_map, and look at it"


def test_an_arrow_is_drawn_where_no_longer_way_leads_and_all_imports_follow_from_them() -> None:
    assert shortest({("main", "cli"), ("cli", "runs"), ("main", "runs")}) == [
        ("cli", "runs"),
        ("main", "cli"),
    ]
    edges = imports()
    ways = set(shortest(edges))
    for _ in ROOMS:
        ways |= {(who, to) for who, by in ways for also, to in edges if by == also}
    assert edges <= ways


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE))))
def test_the_page_of_the_architecture_names_files_that_exist(name: str) -> None:
    assert (ROOT / "world_models" / name).is_file() or (ROOT / name).is_file()
