"""The environment of the tests and the benchmarks, before anything loads torch."""

import os
import tempfile

# As the `texsynth` command does.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# No test shall meet the models of who runs it; the folder is made by none.
os.environ["TEXSYNTH_CACHE"] = os.path.join(tempfile.gettempdir(), f"texsynth-no-cache-{os.getpid()}")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side, one for each core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
