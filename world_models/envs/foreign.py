"""Where somebody else's code is called: whatever it raises comes to one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

MOST_LETTERS = 1000
"""Of what an exception says."""


@contextmanager
def foreign(where: str) -> Iterator[None]:
    """Within it, whatever is raised is a ValueError that begins with `where`.

    So are a call of sys.exit and a panic of Rust's, which are no Exception. Ctrl-C and a want of
    memory are nobody's mistake, and stay what they are.
    """
    try:
        yield
    except (MemoryError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise ValueError(f"{where}: {type(error).__name__}: {_words(error)}") from error


def _words(error: BaseException) -> str:
    """What it says in one line that can be stored, and is not endless."""
    text = str(error)[: 2 * MOST_LETTERS].encode(errors="backslashreplace").decode()
    words = " ".join(text.split())
    return words[:MOST_LETTERS] or "no message"
