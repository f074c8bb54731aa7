"""Memory for what is asked for again, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def size_of(value: Any) -> int:  # noqa: ANN401 (pictures, tensors, and what holds them)
    """Return the bytes of arrays, tensors and bytes, and of those in lists, mappings and dataclasses."""
    if isinstance(value, bytes):
        return len(value)
    if isinstance(size := getattr(value, "nbytes", None), int):
        return size
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    return sum(map(size_of, vars(value).values())) if hasattr(value, "__dict__") else 0


class Memo(Generic[K, V]):
    """Keeps values up to a number of bytes; the one that was used longest ago goes first."""

    def __init__(self, most_bytes: int, size: Callable[[V], int] = size_of) -> None:
        """size: returns the bytes of a value."""
        self._most, self._size = most_bytes, size
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()
        self.bytes = 0
        """Those of all values that are kept."""

    def get(self, key: K) -> V | None:
        """Return the value of a key, None where it is not kept."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: K, value: V) -> None:
        """Keep a value, if it is not larger than all that may be kept."""
        size = self._size(value)
        with self._lock:
            if key in self._values:
                self.bytes -= self._values.pop(key)[1]
            if size > self._most:
                return
            self._values[key] = value, size
            self.bytes += size
            while self.bytes > self._most:
                self.bytes -= self._values.popitem(last=False)[1][1]

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._values)
