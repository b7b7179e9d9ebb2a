"""What runs say on the console."""

import logging
import sys

from world_models.runs.quotes import printable


class _Line(logging.Formatter):
    """A line for a terminal, which no name or text from a file may steer."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def set_up_logging(prefix: str = "") -> None:
    """Show what runs say on stderr, `prefix` before each line."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(_Line(f"%(asctime)s  {prefix}%(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[shown], force=bool(prefix))
    logging.getLogger("world_models").setLevel(logging.DEBUG)
    set_verbosity("info")


def set_verbosity(verbosity: str) -> None:
    """What the console shows; log.txt of a run always holds everything."""
    level = {"debug": logging.DEBUG, "info": logging.INFO, "quiet": logging.WARNING}[verbosity]
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)
