"""How the C library keeps memory that was freed."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST = 2**31 - 1  # bytes; they are C integers


def keep_freed_memory() -> bool:
    """Let this process use the memory that one batch freed for the next; False where the C library is not glibc.

    By itself glibc asks the system anew for each block above 32 MiB, such as 64 channels of 128 images of 32x32, and
    gives it back at once, so that the system clears the same pages again and again (``scripts/benchmark_heap.py`` says
    what it costs). No result depends on it. See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _LARGEST))
