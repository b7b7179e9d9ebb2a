"""Locks on files, which end with their process; some file systems keep none."""

import errno
import fcntl
import logging
from functools import cache
from typing import IO

log = logging.getLogger(__name__)

UNKNOWN_THERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system says that keeps no locks."""


def try_lock(file: IO[str], shared: bool = False) -> bool:
    """Lock an open file, or share a lock on it; False where another process is in the way.

    Where the file system keeps no locks nobody ever is, and a warning says so.
    """
    return _lock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def wait_for_lock(file: IO[str], shared: bool = False) -> None:
    """Lock an open file, or share a lock on it, as soon as no other process is in the way."""
    _lock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def _lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNKNOWN_THERE:
            raise
        _warn(error.strerror)
    return True


@cache
def _warn(reason: str) -> None:
    log.warning(
        "the file system of the run folders keeps no locks (%s): see to it that no two processes "
        "write one run",
        reason,
    )
