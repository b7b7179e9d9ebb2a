"""Silence around third-party packages that print or warn at whoever imports them."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def has_screen() -> bool:
    """Whether there may be a screen for windows; on Linux the environment says so."""
    return sys.platform != "linux" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ))


def quiet_pygame() -> None:
    """Keep pygame from greeting, and SDL from looking for a screen where there is none."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if not has_screen():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


@contextmanager
def quiet_gym() -> Iterator[None]:
    """Within it, the old `gym` neither prints its notice nor warns.

    Procgen and EnvPool import it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from gym_notices import notices
        except ImportError:
            pass
        else:
            notices.notices.clear()
        yield


@contextmanager
def quiet_minatar() -> Iterator[None]:
    """Within it, MinAtar does not warn that it could draw nothing: we draw.

    Its warning would also give the root logger a handler, and every line would be said twice.
    """
    root, silent = logging.getLogger(), logging.NullHandler()
    before = root.manager.disable
    root.addHandler(silent)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(silent)
