"""The environment of the tests and the benchmarks, before anything loads torch."""

import os

# As the `texsynth` command does.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side, one for each core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
