"""OpenEXR: headers by ourselves, so that limits hold before the library runs, pixels by the
library, in another process."""

import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from texsynth.images.formats import EXTRA
from texsynth.images.light import Floats, Samples, Unpacked
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
    return Unpacked("EXR", (width, height), lambda data: _decode(data, (width, height)))


def library() -> Any:  # noqa: ANN401 (a module)
    """The package that does it. Raises NotReadError where it is not there."""
    try:
        import OpenEXR
    except ImportError:
        raise NotReadError(f"is OpenEXR, which needs another package: {EXTRA}") from None
    return OpenEXR


def encode(light: Floats, *, half: bool) -> bytes:
    """Return a file of (H, W, 1 to 4) linear light, the last of 2 and 4 being alpha. Raises OSError."""
    library_ = library()
    count = light.shape[2]
    names = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[count]
    values = light.copy()
    if count in (2, 4):
        # By convention colours are multiplied by alpha.
        values[..., :-1] *= values[..., -1:]
    kind = np.float16 if half else np.float32
    with np.errstate(over="ignore"):
        planes = {name: np.ascontiguousarray(values[..., number], kind) for number, name in enumerate(names)}
    header = {"compression": library_.ZIP_COMPRESSION, "type": library_.scanlineimage}
    with tempfile.TemporaryDirectory(prefix="texsynth-") as folder:
        path = Path(folder, "picture.exr")
        try:
            library_.File(header, planes).write(str(path))
        except Exception as error:  # the library raises errors of every kind
            raise OSError(str(error).split("\n")[0]) from error
        return path.read_bytes()


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


def _planes(data: bytes) -> dict[str, Floats]:
    """Return the channels by name. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="texsynth-") as folder:
        source, target, listed = (Path(folder, name) for name in ("picture.exr", "planes.npz", "names.json"))
        source.write_bytes(data)
        command = [sys.executable, "-P", str(CHILD), str(source), str(target), str(listed)]
        quiet = subprocess.DEVNULL
        done = subprocess.run(command, check=False, stdin=quiet, stdout=quiet, stderr=quiet)
        if done.returncode or not is_file(listed):
            raise OSError("its decoder failed")
        answer = json.loads(listed.read_text(encoding="utf-8"))
        if isinstance(answer, str):
            raise OSError(answer)
        with np.load(target) as arrays:
            return {name: arrays[f"arr_{number}"] for number, name in enumerate(answer)}


def _decode(data: bytes, size: tuple[int, int]) -> Samples:
    planes = _planes(data)
    planes = {name: plane for name, plane in planes.items() if plane.shape == size[::-1]}
    prefix = _layer(list(planes))
    grey = next((planes[prefix + name] for name in GREY if prefix + name in planes), None)
    if all(prefix + name in planes for name in "RGB"):
        colours = np.stack([planes[prefix + name] for name in "RGB"], -1)
    elif grey is not None:
        colours = grey[..., None]
    elif len(planes) == 1:
        colours = next(iter(planes.values()))[..., None]
    else:
        raise NotReadError(f"is OpenEXR without colours: {', '.join(sorted(planes))[:200] or 'no channels'}")
    alpha = planes.get(prefix + "A")
    if alpha is not None:
        # Where nothing covers the light of a flame, it stays as it is.
        colours = np.where(alpha[..., None] > 0, colours / np.maximum(alpha, 1e-6)[..., None], colours)
    return Samples(colours, alpha)


def _layer(names: list[str]) -> str:
    """Return what stands before the names of the channels to read: nothing, or a layer with colours."""
    if "R" in names or any(name in names for name in GREY):
        return ""
    return next((name[:-1] for name in sorted(names) if name.endswith(".R")), "")
