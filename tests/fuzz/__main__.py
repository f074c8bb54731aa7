"""`python -m tests.fuzz N`."""

import sys

from .readers import run

run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
