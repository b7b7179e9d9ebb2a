"""What is told of a run, its verdict and its page, spoils nothing of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def only_telling(what: str) -> Iterator[None]:
    """Inside, something is told of what is made already: an error is said, and ends nothing.

    The report of a stage may be anybody's code, so this is any error but one that ends a process.
    """
    try:
        yield
    except Exception as error:
        is_sentence = isinstance(error, ValueError | OSError)
        log.warning("no %s: %s", what, error if is_sentence else repr(error))
        log.debug("where it happened", exc_info=True)
