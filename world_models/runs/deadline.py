"""Somebody else's code that never returns ends in a sentence."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE = 5.0
"""Seconds in which what is told to stop may do so."""

WATCHDOG = """
import os, select, signal, sys
seconds, process, sentence = sys.argv[1:]
if not select.select([0], [], [], float(seconds))[0]:
    sys.stderr.write(f"error: {sentence}\\n")
    sys.stderr.flush()
    os.kill(int(process), signal.SIGKILL)
"""
"""Ends by itself when its standard input does, with the process that it watches."""


class _TooLongError(KeyboardInterrupt):
    """An interruption, as Ctrl-C is: what catches somebody else's errors lets it through."""


@contextmanager
def within(seconds: float, sentence: str) -> Iterator[None]:
    """What is done inside has so many seconds; then it is a ValueError with this sentence.

    Code in C that never comes back to Python, as no signal and no thread of this process can end
    it, is ended by another process GRACE later: with this one, and after the same sentence.
    """
    before = signal.signal(signal.SIGALRM, _too_long)
    watchdog = _watchdog(seconds + GRACE, sentence)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)
    except _TooLongError:
        raise ValueError(sentence) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        watchdog.kill()
        watchdog.communicate()


def _too_long(signum: int, frame: FrameType | None) -> None:
    raise _TooLongError


def _watchdog(seconds: float, sentence: str) -> subprocess.Popen[bytes]:
    words = [WATCHDOG, str(seconds), str(os.getpid()), sentence]
    # a session of its own: Ctrl-C is not for it
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", *words], stdin=subprocess.PIPE, start_new_session=True
    )
