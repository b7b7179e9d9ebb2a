"""Ctrl-C and SIGTERM end a run within seconds, but no write in its middle, and are never lost."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _State:
    """Of this process, as signals are."""

    # one came, and nobody has told yet that its KeyboardInterrupt arrived
    came = False
    # how often Ctrl-C was typed
    typed = 0
    # writes and regions that are open, one in the other
    writes = 0
    regions = 0


def _on_signal(signum: int, frame: Any) -> None:
    _State.typed += signum == signal.SIGINT
    if _State.typed > 1:
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    _State.came = True
    check()


def check() -> None:
    """A safe place: raises the KeyboardInterrupt of a signal that was held back, or swallowed."""
    if _State.came and not _State.writes:
        raise KeyboardInterrupt


def arrived() -> None:
    """The KeyboardInterrupt is known where it had to be; what is left to do may be done."""
    _State.came = False


@contextmanager
def whole_write() -> Iterator[None]:
    """What is begun inside is ended: a signal becomes a KeyboardInterrupt after it."""
    _State.writes += 1
    try:
        yield
    finally:
        _State.writes -= 1
    check()


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise a KeyboardInterrupt; a second Ctrl-C ends the process.

    Libraries make other errors of a KeyboardInterrupt, or swallow it. Here it becomes one again.
    A signal that was ignored, as of a command in the background, stays so.
    """
    heeded = [signum for signum in SIGNALS if signal.getsignal(signum) is not signal.SIG_IGN]
    before = {signum: signal.signal(signum, _on_signal) for signum in heeded}
    _State.regions += 1
    try:
        yield
        check()
    except BaseException as error:
        if _State.came and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        _State.regions -= 1
        if not _State.regions:
            _State.came, _State.typed = False, 0
        for signum, handler in before.items():
            # None: it was not set from Python, and cannot be set again
            if handler is not None:
                signal.signal(signum, handler)
