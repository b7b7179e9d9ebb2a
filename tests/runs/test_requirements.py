"""What the package declares, read from a checkout and from what is installed."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from world_models.runs import requirements
from world_models.runs.requirements import PROJECT, installing, packages

METADATA = """Requires-Dist: numpy>=1.26
Requires-Dist: procgen-mirror; sys_platform == 'nowhere'
Requires-Dist: wandb>=0.19; extra == 'wandb'
Requires-Dist: gone>=1; extra == 'data'
"""


class Installed:
    """A distribution that declares three packages for this machine."""

    @property
    def requires(self) -> list[str]:
        return [line.partition(": ")[2] for line in METADATA.splitlines()]

    @property
    def metadata(self) -> "Installed":
        return self

    def get_all(self, name: str) -> list[str]:
        assert name == "Provides-Extra"
        return ["data", "wandb"]


def test_a_checkout_declares_what_its_project_file_says() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    found = list(packages())
    core = [package.name for package in found if package.extra == ""]
    named = " ".join(project["dependencies"])
    assert "torch" in core and all(name in named for name in core)
    assert {package.extra for package in found} == {"", *project["optional-dependencies"]}


def test_an_installed_package_declares_the_same_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(requirements, "PROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(requirements, "distribution", lambda name: Installed())
    found = [(package.extra, package.name) for package in packages()]
    assert found == [("", "numpy"), ("data", "gone"), ("wandb", "wandb")]
    assert installing("data") == 'pip install "world-models[data]"'


@pytest.mark.parametrize(
    ("version", "fits"), [("1.26.0", True), ("1.26.4", True), ("1.25.9", False), (None, False)]
)
def test_a_version_fits_within_its_range(
    version: str | None, fits: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def look_up(name: str) -> str:
        if version is None:
            raise PackageNotFoundError(name)
        return version

    monkeypatch.setattr(requirements, "version", look_up)
    (numpy,) = [package for package in packages() if package.name == "numpy"]
    assert (numpy.version, numpy.fits) == (version, fits)
