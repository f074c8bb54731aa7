"""OpenEXR: headers by ourselves, so that limits hold before the library runs, pixels by the
library, in another process."""

import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from texsynth.images.formats import EXTRA
from texsynth.images.light import LARGEST, Floats, Samples, Unpacked
from texsynth.images.picture import NotReadError
from texsynth.paths import is_file

SIGNATURE = b"v/1\x01"
LONGEST_HEADER = 1 << 20
MULTIPART, DEEP = 0x1000, 0x800
LARGEST_PIXELS = 1 << 40

GREY = ("Y", "luminance")

CHILD = Path(__file__).with_name("exr_child.py")


def parse(file: BinaryIO) -> Unpacked | None:
    """Read the header; None for a file of another format. ValueError: damage; NotReadError: a rare kind."""
    file.seek(0)
    head = file.read(LONGEST_HEADER)
    file.seek(0)
    if not head.startswith(SIGNATURE):
        return None
    if len(head) < 9:
        raise ValueError("its header is cut off")
    if struct.unpack_from("<I", head, 4)[0] & DEEP:
        raise NotReadError("is a deep OpenEXR; flatten it")
    library()
    window = _window(head)
    width, height = window[2] - window[0] + 1, window[3] - window[1] + 1
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise ValueError("its size is missing or damaged")
    size = width, height
    # A picture is decoded once, however often its rows are read.
    planes = lru_cache(maxsize=1)(lambda source: _planes(source, size))

    def rows(source: Path | bytes, count: int) -> Iterator[Samples]:
        for top in range(0, height, count):
            yield _samples(planes(source), slice(top, top + count))

    return Unpacked("EXR", size, lambda data: _samples(_planes(data, size), slice(None)), rows=rows)


def library() -> Any:  # noqa: ANN401 (a module)
    """The package that does it. Raises NotReadError where it is not there."""
    try:
        import OpenEXR
    except ImportError:
        raise NotReadError(f"is OpenEXR, which needs another package: {EXTRA}") from None
    return OpenEXR


def encode(light: Floats, *, half: bool) -> bytes:
    """Return a file of (H, W, 1 to 4) linear light, the last of 2 and 4 being alpha. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="texsynth-") as folder:
        path = Path(folder, "picture.exr")
        encoder = RowEncoder(path, light.shape, half=half)
        encoder.add(light)
        encoder.finish()
        return path.read_bytes()


class RowEncoder:
    """Writes a file while its rows come in."""

    def __init__(self, target: Path, shape: tuple[int, ...], *, half: bool) -> None:
        """shape: (H, W, C). The rest is as for `encode`. Raises OSError."""
        library_ = library()
        import Imath

        height, width, channels = shape
        self._names = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[channels]
        self._kind = np.float16 if half else np.float32
        kind = Imath.PixelType(Imath.PixelType.HALF if half else Imath.PixelType.FLOAT)
        header = library_.Header(width, height)
        header["channels"] = {name: Imath.Channel(kind) for name in self._names}
        header["compression"] = Imath.Compression(Imath.Compression.ZIP_COMPRESSION)
        with _failures():
            self._file = library_.OutputFile(str(target), header)

    def add(self, light: Floats) -> None:
        """Append (n, W, C) rows of linear light. Raises OSError."""
        if len(self._names) in (2, 4):
            # By convention colours are multiplied by alpha.
            light = np.concatenate([light[..., :-1] * light[..., -1:], light[..., -1:]], -1)
        if self._kind is np.float16:
            light = light.clip(-LARGEST, LARGEST)
        values = np.moveaxis(light, -1, 0).astype(self._kind)
        planes = {name: plane.tobytes() for name, plane in zip(self._names, values, strict=True)}
        with _failures():
            self._file.writePixels(planes, len(light))

    def finish(self) -> None:
        """Write what is left. Raises OSError."""
        self.close()

    def close(self) -> None:
        """Stop, in the middle or at the end."""
        with _failures():
            self._file.close()


@contextmanager
def _failures() -> Iterator[None]:
    """Turn errors of the library, which are of every kind, into OSErrors of one line."""
    try:
        yield
    except Exception as error:
        raise OSError(str(error).split("\n")[0]) from error


def _window(head: bytes) -> tuple[int, int, int, int]:
    """Return the window of the pixels of the first part: least x and y, largest x and y."""
    place = 8
    while place < len(head) and head[place]:
        name_end = head.index(b"\0", place)
        kind_end = head.index(b"\0", name_end + 1)
        (size,) = struct.unpack_from("<i", head.ljust(kind_end + 5, b"\0"), kind_end + 1)
        body = kind_end + 5
        if size < 0 or body + size > len(head):
            raise ValueError("its header is cut off")
        if head[place:name_end] == b"dataWindow" and size == 16:
            x, y, right, bottom = struct.unpack_from("<4i", head, body)
            return x, y, right, bottom
        place = body + size
    raise ValueError("its size is missing or damaged")


@dataclass(frozen=True)
class _Planes:
    """The channels of a picture, one after the other in a file of float32 that has no name any more."""

    names: tuple[str, ...]
    halves: frozenset[str]  # Names of those that the picture holds with 16 bits
    size: tuple[int, int]  # Width and height
    file: BinaryIO

    def read(self, name: str, rows: slice) -> Floats:
        """Read some rows of a channel, (h, W)."""
        width, height = self.size
        top, bottom, _ = rows.indices(height)
        self.file.seek((self.names.index(name) * height + top) * width * 4)
        return np.fromfile(self.file, np.float32, (bottom - top) * width).reshape(-1, width)


def _planes(source: Path | bytes, size: tuple[int, int]) -> _Planes:
    """Decode the channels. Raises OSError, ValueError."""
    with tempfile.TemporaryDirectory(prefix="texsynth-", ignore_cleanup_errors=True) as folder:
        copy, target, listed = (Path(folder, name) for name in ("picture.exr", "planes", "names.json"))
        if isinstance(source, bytes):
            copy.write_bytes(source)
            source = copy
        command = [sys.executable, "-P", str(CHILD), str(source), str(target), str(listed)]
        quiet = subprocess.DEVNULL
        done = subprocess.run(command, check=False, stdin=quiet, stdout=quiet, stderr=quiet)
        if done.returncode or not is_file(listed):
            raise OSError("its decoder failed")
        answer = json.loads(listed.read_text(encoding="utf-8"))
        if isinstance(answer, str):
            raise OSError(answer)
        if target.stat().st_size != len(answer) * size[0] * size[1] * 4:
            raise ValueError("its size is told in two ways")
        halves = frozenset(name for name, is_half in answer.items() if is_half)
        return _Planes(tuple(answer), halves, size, target.open("rb"))


def _samples(planes: _Planes, rows: slice) -> Samples:
    """Make samples of some rows of the channels, those of the first layer with colours."""
    names = planes.names
    prefix = _layer(list(names))
    shown = [prefix + name for name in "RGB"]
    if not set(shown) <= set(names):
        grey = next((prefix + name for name in GREY if prefix + name in names), None)
        if not grey and len(names) != 1:
            listed = ", ".join(sorted(names))[:200] or "no channels"
            raise NotReadError(f"is OpenEXR without colours: {listed}")
        shown = [grey or names[0]]
    colours, is_half = np.stack([planes.read(name, rows) for name in shown], -1), planes.halves >= set(shown)
    if prefix + "A" not in names:
        return Samples(colours, is_half=is_half)
    alpha = planes.read(prefix + "A", rows)
    # Where nothing covers the light of a flame, it stays as it is.
    colours = np.where(alpha[..., None] > 0, colours / np.maximum(alpha, 1e-6)[..., None], colours)
    return Samples(colours, alpha, is_half=is_half)


def _layer(names: list[str]) -> str:
    """Return what stands before the names of the channels to read: nothing, or a layer with colours."""
    if "R" in names or any(name in names for name in GREY):
        return ""
    return next((name[:-1] for name in sorted(names) if name.endswith(".R")), "")
