"""`python -m tests.fuzz STOP [START [NAME ...]]`: the changes from START on, of all files or of those."""

import sys

from .runs import run

run(int((sys.argv[2:] or ["0"])[0]), int((sys.argv[1:] or ["2000"])[0]), sys.argv[3:])
