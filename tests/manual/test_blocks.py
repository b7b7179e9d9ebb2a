"""Every block of every page is of a known kind, and every command has keys that are there."""

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml
from manual.blocks import PAGES, ROOT, SHELL, Command, blocks, commands, included, is_script
from manual.exceptions import NOT_RUN
from manual.shell import composed, jobs_of

BLOCKS, COMMANDS = blocks(), commands()
KINDS = (*SHELL, "python", "yaml", "text", "")
"""Commands; code that is run; settings; pictures of files or of how things hang together."""
DIRECTIVES = ("literalinclude", "toctree", "settings", "columns", "eval-rst", "dream")
"""What the site fills in."""
OTHERS = ("git clone ", "cd ", "wandb sync ", "tensorboard --logdir ", "python -m venv ")
"""What other programs do."""


def test_every_block_is_of_a_known_kind() -> None:
    kinds = Counter(block.info.split(" ")[0].strip("{}") for block in BLOCKS)
    assert set(kinds) <= {*KINDS, *DIRECTIVES}, kinds
    assert kinds["sh"] >= 35 and kinds["python"] >= 6 and len(COMMANDS) >= 90
    for block in BLOCKS:
        if block.info == "yaml":
            assert yaml.safe_load(block.source), block


def test_what_is_included_is_there() -> None:
    paths = [path for block in BLOCKS if (path := included(block)) is not None]
    assert len(paths) >= 11 and all(path.is_file() for path in paths)


@pytest.mark.parametrize("page", sorted({command.page for command in COMMANDS}))
def test_commands_compose(page: str) -> None:
    for command in (each for each in COMMANDS if each.page == page):
        if command.is_ours:
            for job in jobs_of(command.arguments):
                composed(job)
        else:
            check_other(command)


def check_other(command: Command) -> None:
    """A command of another program: what it names is there."""
    words = command.line.split()
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets, command
    elif words[:2] == ["pip", "install"]:
        check_extras(command)
    elif command.line.startswith("python examples/"):
        assert (ROOT / words[1]).is_file(), command
    else:
        assert command.line in NOT_RUN or command.line.startswith(OTHERS), command


def check_extras(command: Command) -> None:
    """Extras are this project's, and files are there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for named in re.findall(r"\[([\w,]+)\]", command.line):
        assert set(named.split(",")) <= set(project["optional-dependencies"]), command
    for path in re.findall(r"-[cr] (\S+)", command.line):
        assert (ROOT / path).is_file(), command


def test_scripts_are_shell() -> None:
    for block in BLOCKS:
        if is_script(block):
            subprocess.run(["bash", "-n"], input=block.source, text=True, check=True)


def test_what_is_not_run_is_still_there() -> None:
    lines = {command.line for command in COMMANDS}
    assert set(NOT_RUN) <= lines, set(NOT_RUN) - lines
    assert all(NOT_RUN.values())


def test_every_page_is_looked_at() -> None:
    assert {Path(page).name for page in PAGES} >= {"README.md", "running.md", "extending.md"}


def test_counts_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    python = sum(block.info == "python" for block in BLOCKS)
    with capsys.disabled():
        sys.stdout.write(
            f"\npages {len(PAGES)}, blocks {len(BLOCKS)}, of Python {python}, commands "
            f"{len(COMMANDS)}, not run {len(NOT_RUN)}\n"
        )
