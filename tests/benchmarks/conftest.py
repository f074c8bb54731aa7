"""Benchmarks run in the environment of the `texsynth` command, before anything loads torch."""

import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
