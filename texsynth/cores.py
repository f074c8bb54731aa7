"""How many CPU cores this process may use: by its affinity, and by the quota of its container."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

GROUPS = Path("sys/fs/cgroup")


def cores(root: Path = Path("/")) -> int:
    """Return the number of CPU cores that this process may use, at least 1.

    A quota of one core and a half counts as two, of which each rests a quarter of the time. root: where the
    system shows `proc` and `sys`.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([usable, *map(math.ceil, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas of the control groups of this process and of those around them, in cores."""
    lines: list[str] = []
    with suppress(OSError, UnicodeDecodeError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, kinds, path = [*line.split(":", 2), "", ""][:3]
        # Version 2 has one tree for everything, version 1 one for each kind of control.
        places = ("", "unified") if not kinds else (kinds, "cpu") if "cpu" in kinds.split(",") else ()
        for place in places:
            # Inside a container its own group may be mounted as if it were the root.
            parts = PurePosixPath(path).parts[1:]
            for depth in range(len(parts) + 1):
                if (quota := _quota(root / GROUPS / place / Path(*parts[:depth]))) is not None:
                    yield quota


def _quota(group: Path) -> float | None:
    """Read the quota of one control group, in cores; None where it has none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError, ZeroDivisionError):
            used, period = " ".join((group / name).read_text() for name in names).split()
            if float(used) > 0:  # "max" is no number, and -1 is no limit
                return float(used) / float(period)
    return None
