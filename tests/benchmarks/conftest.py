"""Times and memory by the clock of `texsynth bench`. Run with

pytest tests/benchmarks --benchmark-only -o addopts= --import-mode=importlib -s
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from texsynth.benchmark.run import Peak, peak_of

PeakMiB = Callable[[Callable[[], object]], float]


@pytest.fixture
def peak_mib(benchmark: BenchmarkFixture) -> PeakMiB:
    """Function that returns the most MiB that a call takes above its start, and notes it."""

    def measure(work: Callable[[], object]) -> float:
        peak: Peak | None = benchmark.pedantic(peak_of, (work, torch.device("cpu")), rounds=1)
        if peak is None:
            pytest.skip("this system does not let a process reset its high-water mark")
        benchmark.extra_info["MiB"] = peak.bytes / 2**20
        return peak.bytes / 2**20

    return measure
