"""What becomes of memory that is freed."""

import ctypes
import os

MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""M_MMAP_MAX and M_TRIM_THRESHOLD of mallopt(3)."""
CHOICES = ("MALLOC_", "GLIBC_TUNABLES")
"""What the variables of the environment begin with that choose otherwise."""


def keep_freed() -> bool:
    """From now on, for good, this process keeps the memory that it frees; returns whether it does.

    Else glibc maps each tensor of 32 MB or more anew, in every update, and the system fills it with
    zeros page by page. Another C library, and one for which somebody has chosen, stays as it is.
    """
    if any(name.startswith(CHOICES) for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # none are mapped apart, and the top of the heap is never given back
    return bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, -1))
