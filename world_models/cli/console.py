"""What runs say on the console."""

import logging
import sys


def set_up_logging(prefix: str = "") -> None:
    """Show what runs say on stderr, `prefix` before each line."""
    form = f"%(asctime)s  {prefix}%(message)s"
    logging.basicConfig(format=form, datefmt="%H:%M:%S", stream=sys.stderr, force=bool(prefix))
    logging.getLogger("world_models").setLevel(logging.DEBUG)
    set_verbosity("info")


def set_verbosity(verbosity: str) -> None:
    """What the console shows; log.txt of a run always holds everything."""
    level = {"debug": logging.DEBUG, "info": logging.INFO, "quiet": logging.WARNING}[verbosity]
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)
