"""Memory that is freed is kept for the next step, where the C library is glibc."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # mallopt(3)


@cache
def keep_freed_memory() -> bool:
    """Let malloc keep what is freed, for as long as the process lives; whether it could be told.

    A step of training asks for the same large blocks again and again. glibc gives each back to the
    system and takes it anew, and to touch new memory costs more than to compute with it: a
    convolution whose result is 60 MB took three times as long (bench/LOG.md).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, 2**31 - 1) and mallopt(TOP_PAD, 2**26)
    )
