"""How much memory an expansion takes and how much there is, roughly and before any work."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from texsynth.errors import MemoryExhaustedError

BASE_BYTES = 300 << 20
"""Of the program, torch and the networks."""

BYTES_PER_PIXEL = {"transposer": 100, "patch": 120, "optimize": 40, "auto": 120}
"""Of an output while a stage works, about four fifths of what was measured; `optimize` works in tiles, and
whatever `auto` chooses has patches."""

NOISE_BYTES_PER_PIXEL = 500
"""Of `optimize` alone, which starts from noise and takes features of the whole output."""

SIBLING_BYTES_PER_PIXEL = 36

NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
"""How torch says on its various devices that memory is exhausted."""

CGROUP = Path("/sys/fs/cgroup")


def check_memory(name: object, width: int, height: int, *, method: str, siblings: int = 0, cure: str) -> None:
    """Refuse an output that cannot fit. MemoryExhaustedError with the sizes and the `cure`.

    The estimate is a lower bound: what passes may still turn out too large, what does not pass is hopeless.
    """
    available = available_bytes()
    needed = BASE_BYTES + width * height * bytes_per_pixel(method, siblings)
    if available is not None and needed > available:
        raise MemoryExhaustedError(
            f"{name}: an output of {width} x {height} pixels needs at least {size_text(needed)} of memory, "
            f"and {size_text(available)} are free; {cure}"
        )


def bytes_per_pixel(method: str, siblings: int) -> int:
    """Of the stage of `method` that takes most, with so many sibling maps."""
    stages = [BYTES_PER_PIXEL[stage] for stage in method.split("+")]
    most = NOISE_BYTES_PER_PIXEL if method == "optimize" else max(stages)
    return most + siblings * SIBLING_BYTES_PER_PIXEL


def available_bytes() -> int | None:
    """Memory that this process may still take, limits of containers included; None where nobody says."""
    found = [bytes_ for bytes_ in (_system(), _container()) if bytes_ is not None]
    return min(found, default=None)


def _system() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
        # Without that line, what is unused is less than what is available, but the best there is.
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def _container() -> int | None:
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)


def give_back() -> None:
    """Return memory that was freed to the system, where the C library does not do so by itself.

    It keeps heaps for each thread, and pieces of pictures that were freed by another thread than the one that
    goes on with them gather there.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def is_exhaustion(error: BaseException) -> bool:
    """Whether `error` says that memory has run out."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def size_text(count: int) -> str:
    """`count` bytes for a message."""
    return f"{count / 2**30:.1f} GiB" if count >= 10 << 30 else f"{count >> 20} MiB"
