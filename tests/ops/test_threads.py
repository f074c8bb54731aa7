"""Work that a single thread does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from texsynth.ops.threads import one_thread


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch with two threads, whatever it had before."""
    count = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(count)


@pytest.mark.usefixtures("two_threads")
def test_the_threads_come_back() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_threads_come_back_after_an_error() -> None:
    @one_thread()
    def fail() -> None:
        assert torch.get_num_threads() == 1
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError, match=r"^$"):
            fail()
        assert torch.get_num_threads() == 2
