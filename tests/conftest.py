"""Tests run side by side, one for each core, so each of them has one thread."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
