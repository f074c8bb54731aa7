"""The start of a worker that is a process: it ends with the process that started it."""

import multiprocessing
import os
import pickle
import signal
import time
from multiprocessing.connection import Connection
from threading import Thread

from texsynth.startup import prepare_process

LAST_SECONDS = 0.5
"""Seconds for what is being written, once nobody is left who asked for it."""


def begin(connection: Connection, work: bytes) -> None:
    """Do the jobs that come from `connection`. work: pickled, a function, and what it takes after that."""
    Thread(target=_end_with_parent, daemon=True).start()
    prepare_process()
    # Only now: torch, which this loads, takes seconds.
    function, *arguments = pickle.loads(work)
    function(connection, *arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent, "a worker is started by another process"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(1)
