"""Where somebody else's code is called: whatever it raises comes to one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def foreign(where: str) -> Iterator[None]:
    """Within it, an exception, or a call of sys.exit, is a ValueError that begins with `where`.

    Want of memory is nobody's mistake, and stays what it is.
    """
    try:
        yield
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        words = " ".join(str(error).split()) or "no message"
        raise ValueError(f"{where}: {type(error).__name__}: {words}") from error
