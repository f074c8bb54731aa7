"""Workers that are processes: Ctrl-C does not break into their start, and they end with their parent."""

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Thread

from texsynth.startup import prepare_process

LAST_SECONDS = 0.5
"""Seconds for what is being written, once nobody is left who asked for it."""


def start(*work: object) -> tuple[SpawnProcess, Connection]:
    """Start a process that calls `work[0]` with its end of a connection and the rest of `work`.

    Returns the process and the other end; where the process has died, that end is at its end.
    """
    # A fork would share the locks of threads that it does not have, those of torch among them.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=begin, args=(there, pickle.dumps(work)), daemon=True)
    with _ctrl_c_waits():
        process.start()
    # With this end open here, the worker's death would not be heard.
    there.close()
    return process, here


def begin(connection: Connection, work: bytes) -> None:
    """Call the function that `work` begins with, pickled, with `connection` and what comes after it."""
    # The terminal sends Ctrl-C to all processes. Until the work says what becomes of it, that is the matter
    # of the one that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    Thread(target=_end_with_parent, daemon=True).start()
    prepare_process()
    # Only now: torch, which this loads, takes seconds.
    function, *arguments = pickle.loads(work)
    function(connection, *arguments)


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Block Ctrl-C, also in processes that are started inside, which would print where it met them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It is started with the first process otherwise, and would unblock Ctrl-C.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent, "a worker is started by another process"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(1)
