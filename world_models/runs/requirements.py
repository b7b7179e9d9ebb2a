"""The packages that world_models declares, for the core and for each extra, and which are there."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
NAME = "world-models"
CORE = ""
"""The name of no extra: what every installation has."""


@dataclass(frozen=True)
class Package:
    """A package that the core (`extra` is empty) or an extra needs on this machine."""

    name: str
    extra: str
    # the range of versions that fits, as pip writes it; empty: any
    wanted: str
    # None: it is not installed
    version: str | None
    fits: bool


def packages() -> Iterator[Package]:
    """All packages declared for this machine and this Python, the core's first."""
    for extra, texts in _declared().items():
        for requirement in map(Requirement, texts):
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": extra}):
                yield _looked_up(requirement, extra)


def _declared() -> dict[str, list[str]]:
    """Extra -> requirements; a checkout's own file is newer than what was installed from it."""
    if PROJECT.is_file():
        project = tomllib.loads(PROJECT.read_text())["project"]
        return {CORE: project["dependencies"], **project["optional-dependencies"]}
    installed = distribution(NAME)
    texts = installed.requires or []
    of_extras = [text for text in texts if "extra ==" in text]
    core = [text for text in texts if text not in of_extras]
    extras = installed.metadata.get_all("Provides-Extra") or []
    return {CORE: core, **dict.fromkeys(extras, of_extras)}


def _looked_up(requirement: Requirement, extra: str) -> Package:
    name, wanted = requirement.name, str(requirement.specifier)
    try:
        found = version(name)
    except PackageNotFoundError:
        return Package(name, extra, wanted, None, False)
    fits = requirement.specifier.contains(found, prereleases=True)
    return Package(name, extra, wanted, found, fits)


def installing(extra: str) -> str:
    """The command that installs the core, or an extra."""
    what = f"[{extra}]" if extra else ""
    if PROJECT.is_file():
        return f'pip install -e "{PROJECT.parent}{what}"'
    return f'pip install "{NAME}{what}"'
