"""Every command of every page is run as it stands, with the BUDGETS of its stage behind it."""

import runpy
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from gymnasium.wrappers import TimeLimit
from manual.blocks import ROOT, Command, commands
from manual.exceptions import NOT_RUN, of_a_script
from manual.shell import RUN, Place

from world_models.play.web.serving import Web

pytestmark = pytest.mark.slow
COMMANDS = [each for each in commands() if each.line not in NOT_RUN and not of_a_script(each)]
OURS = [each for each in COMMANDS if each.is_ours]
EXAMPLES = [each for each in COMMANDS if each.line.startswith("python examples/")]
SHORT = 100
"""Steps after which a drive ends: pages play whole ones, of 1,000."""


@pytest.fixture(scope="module", autouse=True)
def short_drives() -> Iterator[None]:
    whole = TimeLimit.step

    def step(limit: TimeLimit[Any, Any], action: Any) -> tuple[Any, Any, bool, bool, Any]:
        *seen, truncated, info = whole(limit, action)
        return (*seen, truncated or limit._elapsed_steps >= SHORT, info)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimeLimit, "step", step)
        yield


@pytest.fixture(scope="module", autouse=True)
def nobody_opens_a_page() -> Iterator[None]:
    """Ctrl-C comes where a page would wait until somebody opens it."""

    def leave(web: Web, inbox: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Web, "_wait", leave)
        yield


@pytest.mark.parametrize("page", sorted({each.page for each in OURS}))
def test_commands_run(page: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    for command in (each for each in OURS if each.page == page):
        assert place.run(command.arguments) == 0, command


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda each: each.line)
def test_examples_run(command: Command, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last number is a budget."""
    monkeypatch.chdir(place.folder)
    words = shlex.split(command.line.replace("<run folder>", RUN))
    if words[-1].isdigit():
        words[-1] = "64"
    monkeypatch.setattr(sys, "argv", words[1:])
    if "stage=" not in command.line and "resume=" not in command.line:
        run_script(str(ROOT / words[1]))
        return
    runpy.run_path(str(ROOT / words[1]), run_name="example")
    assert place.run(words[2:]) == 0


def run_script(path: str) -> None:
    """Run it; where it ends with a status, that is 0."""
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as done:
        assert not done.code, path
