"""Pictures too large for memory, in files that have no name."""

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from texsynth.errors import OutputError
from texsynth.jobs.memory import return_freed_memory
from texsynth.paths import why


class FileRaster:
    """A `Canvas` in a scratch file that has no name, so nothing is left of it whatever happens."""

    def __init__(self, size: tuple[int, int], folder: Path, *, dtype: str = "float32") -> None:
        """dtype: float32; or uint8 or uint16, whose largest value is read as 1. Raises OutputError."""
        self.size = size
        self._shape = (3, *size)
        self._dtype = np.dtype(dtype)
        self._folder = folder
        with self._guard():
            self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (lives as long as this)
            self._file.truncate(int(np.prod(self._shape)) * self._dtype.itemsize)
        weakref.finalize(self, self._file.close)

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Read a part, as `Raster` says."""
        with self._guard():
            self._file.flush()
        mapped = np.memmap(self._file, self._dtype, "r", shape=self._shape)
        # A copy: the pages of the map count as memory for as long as it lives.
        block = np.array(mapped[:, rows, columns])
        values = torch.from_numpy(block.astype(np.float32))[None]
        return values if self._dtype.kind == "f" else values.div_(float(np.iinfo(self._dtype).max))

    def write(self, rows: slice, columns: slice, values: Tensor) -> None:
        """Write float32 values, as `Canvas` says. Raises OutputError when the disk is full."""
        self.write_raw(rows, columns, values[0].float().cpu().numpy())
        # Pieces of that size are kept by the C library, and come to several times what is in use.
        return_freed_memory()

    def write_raw(self, rows: slice, columns: slice, values: NDArray[Any]) -> None:
        """Fill a rectangle with values (3, h, w) of the type that is stored. Raises OutputError."""
        # Not through a map: there a full disk kills the process.
        height, width = self.size
        top, _, _ = rows.indices(height)
        left, right, _ = columns.indices(width)
        with self._guard():
            for channel, plane in enumerate(values):
                start = (channel * height + top) * width + left
                lines = [plane] if right - left == width else plane
                for number, line in enumerate(lines):
                    self._file.seek((start + number * width) * self._dtype.itemsize)
                    self._file.write(np.ascontiguousarray(line, self._dtype).data)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"scratch files cannot be kept in {self._folder}: {why(error)}; name another folder in TMPDIR"
            ) from error
