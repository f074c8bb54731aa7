"""Executors of several workers, and how they share a machine."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from texsynth.config.settings import MEMORY_LIMIT, RunSettings
from texsynth.cores import cores
from texsynth.jobs.files import OutputPolicy
from texsynth.jobs.inputs import J
from texsynth.jobs.operation import Operation
from texsynth.jobs.workers import PooledExecutor, ProcessPool, WorkerPool


def worker_executor(
    name: Literal["processes", "ray"], operation: Operation[J], policy: OutputPolicy, workers: int | None
) -> tuple[PooledExecutor[J], str]:
    """Return an executor of `workers` (None: one for each core or GPU) and a line about it for --verbose.

    The threads and the memory of `operation` are divided between workers of one machine.
    """
    # A worker may be lost between writing a file and saying so: the next one shall see that it is done.
    policy = replace(policy, resume=policy.resume or not policy.force)
    if name == "processes":
        count = workers or cores()
        operation.run = divided(operation.run, count)
        pool: Callable[[], WorkerPool[J]] = lambda: ProcessPool(operation, policy)  # noqa: E731
    else:
        from texsynth.jobs.ray_workers import RayPool, capacity

        threads = operation.run.threads or 1
        operation.run = operation.run.model_copy(update={"threads": threads})
        count = workers or capacity(threads)
        pool = lambda: RayPool(operation, policy, threads)  # noqa: E731
    return PooledExecutor(pool, count), f"{count} workers, {operation.run.threads} threads each"


def divided(run: RunSettings, workers: int) -> RunSettings:
    """Return the settings of each of `workers` on one machine, which share its memory and its cores."""
    parts = MEMORY_LIMIT.fullmatch(run.memory_limit or "50%")
    assert parts, "settings have checked it"
    limit = f"{float(parts[1]) / workers:.6f}".rstrip("0").rstrip(".") + parts[2]
    threads = run.threads or max(1, cores() // workers)
    return run.model_copy(update={"memory_limit": limit, "threads": threads})
