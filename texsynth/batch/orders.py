"""What workers are sent; light, so that whoever sends it needs no torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from texsynth.batch.executors import Stages
from texsynth.batch.plan import StyledJob
from texsynth.settings import MEMORY_LIMIT, RunSettings

ExecutorName = Literal["serial", "processes", "ray"]

EXECUTORS: tuple[str, ...] = get_args(ExecutorName)


@dataclass(frozen=True)
class StyledOrder:
    """An `Order` for the jobs of a manifest."""

    run: RunSettings
    force: bool
    resume: bool

    def begin(self, note: Callable[[str], None]) -> Stages[StyledJob]:
        """Load the model."""
        from texsynth.batch.styled_work import Styler

        return Styler(self.run, note).stages(force=self.force, resume=self.resume)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shared_out(run: RunSettings, workers: int) -> RunSettings:
    """The settings of each of `workers` on one machine, which share its memory and its cores."""
    found = MEMORY_LIMIT.fullmatch(run.memory_limit or "50%")
    assert found, "settings have checked it"
    limit = f"{float(found[1]) / workers:.6f}".rstrip("0").rstrip(".") + found[2]
    threads = run.threads or max(1, cores() // workers)
    return run.model_copy(update={"memory_limit": limit, "threads": threads})
