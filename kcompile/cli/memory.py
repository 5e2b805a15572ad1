"""How this process gets its memory."""

from __future__ import annotations

import ctypes
import sys

#: M_MMAP_THRESHOLD of glibc's <malloc.h>.
_THRESHOLD = -3
_LARGE_BYTES = 2**20


def give_back_large_blocks() -> None:
    """Let the C library return large blocks to the system when they are freed.

    glibc raises the size of what it returns with each block that it does return; weights that were
    freed would then stay with the process until the same holes fit others. Elsewhere it does
    nothing.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:  # other C libraries have none
            mallopt(_THRESHOLD, _LARGE_BYTES)
