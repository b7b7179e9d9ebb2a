"""The pages as a site: built strictly, without a network, and the project's files agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import world_models

ROOT = Path(__file__).parents[1]
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|link)\b[^>]*\b(?:src|href)=["'](?:https?:)?//[^>]*>"""
    r"""|(?:url\(|@import)\s*["']?(?:https?:)?//[^)\s]*"""
)
"""What a browser would fetch from another host by itself."""


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    site, scratch = tmp_path / "html", tmp_path / "doctrees"
    command = re.search(r"sphinx-build (.*)", (ROOT / "Makefile").read_text())
    assert command is not None
    options = command[1].replace("docs/_build/html", str(site))
    options = options.replace("docs/_build/doctrees", str(scratch))
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    assert "docs/index.html" in (site / "index.html").read_text()
    assert "class Dream" in (site / "docs/stages/dream.html").read_text()
    pages = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(pages) > 40
    found = {f"{path.name}: {text}" for path in pages for text in LOADED.findall(path.read_text())}
    assert found == set()
    # a folder of results that a page links to is a page, with its files beside it
    for listing in site.glob("docs/results/*/**/index.html"):
        for name in re.findall(r'<(?:li|p)>.*?<a href="([^"]+)"', listing.read_text()):
            assert (listing.parent / name).is_file() or "://" in name, (listing, name)


def test_the_pattern_finds_what_is_fetched_and_leaves_links_alone() -> None:
    assert LOADED.search('<script async src="https://cdn.example.org/a.js"></script>')
    assert LOADED.search("@import url('//fonts.example.org/css')")
    assert not LOADED.search('<a href="https://arxiv.org/abs/1803.10122">paper</a>')
    assert not LOADED.search('<link rel="stylesheet" href="_static/pages.css">')


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert world_models.__version__ == project["version"] == citation["version"]


def test_what_ci_runs_is_make() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    typed = [step["run"] for step in job["steps"] if "run" in step]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert all(line.split()[:1] == ["make"] and line.split()[1] in targets for line in typed)
    assert {"make check", "make test"} <= set(typed)


def test_what_runs_before_a_commit_is_part_of_make_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    for hook in hooks:
        assert hook["entry"] in makefile, hook
