"""What a terminal shows is text: names and texts from files do not steer it."""

import logging

import pytest

from world_models.cli.console import set_up_logging
from world_models.main import main
from world_models.runs.quotes import printable

STEERING = "\x1b]0;title\x07\x1b[2J\r\u202e"


@pytest.mark.parametrize("text", ["größer als ½", "a\tb\nc", "日本語", "[red]x[/red]", ""])
def test_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_steers_a_terminal_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(STEERING) == r"\x1b]0;title\x07\x1b[2J\r\u202e"
    assert printable("\udce4") == r"\udce4"
    assert main([f"resume=/no/such/{STEERING}"]) == 1
    set_up_logging("[0] ")
    logging.getLogger("world_models.any").warning("a folder called %s", STEERING)
    shown = capsys.readouterr().err
    assert "error: " in shown and "[0] a folder called" in shown
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)
