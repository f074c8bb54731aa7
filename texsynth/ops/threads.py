"""How many CPU threads torch takes for a piece of work."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch take a single thread; also a decorator.

    For many small steps one after the other, each of which would wait for the slowest of several threads; and
    sums that several threads share are rounded differently.
    """
    count = torch.get_num_threads()
    if count == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)
