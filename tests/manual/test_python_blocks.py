"""Every block of Python of every page runs, beside runs of Pellet that stand for those it names."""

from pathlib import Path

import pytest
from manual.blocks import PAGES, ROOT, examples_of
from manual.shell import Place

WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text()]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_run(page: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    ran = 0
    for example in examples_of(page):
        if example.region.lexemes["info"].strip() == "python":
            text = "\n" * example.line + str(example.region.lexemes["source"])
            exec(compile(text, str(page), "exec"), example.namespace)
            ran += 1
    assert ran == page.read_text().count("```python")
