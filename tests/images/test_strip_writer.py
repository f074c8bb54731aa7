"""Pictures written by strips: the same files as from the whole, nothing half-written, and far less memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.image_files import SIZES, check, fail, same, smooth
from PIL import Image, PngImagePlugin

from texsynth.errors import OutputError
from texsynth.images import Picture, embedded_settings, encode, placed, read, sidecar, write, write_strips


def write_parts(picture: Picture, path: Path, count: int, **options: Any) -> tuple[str, ...]:  # noqa: ANN401
    return write_strips(
        picture.strips(count), path, picture.width, picture.height, alpha=picture.alpha is not None,
        bit_depth=picture.bit_depth, **options,
    )  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_file_is_what_write_makes(
    tmp_path: Path, size: tuple[int, int], suffix: str, dtype: type
) -> None:
    for alpha in (False, True):
        pixels = smooth(*size, 4, dtype)
        picture = Picture(pixels[..., :3], pixels[..., 3] if alpha else None)
        path = tmp_path / f"whole{alpha}{suffix}"
        warnings = write(picture, path, settings="a: ü\n")
        for count in (1, 7, 5000):
            by_strips = tmp_path / f"{count}{alpha}{suffix}"
            assert write_parts(picture, by_strips, count, settings="a: ü\n") == warnings
            assert same(read(by_strips), read(path))
            assert embedded_settings(by_strips) == embedded_settings(path)
            assert yaml.safe_load(embedded_settings(by_strips)) == {"a": "ü"}
            with Image.open(path) as expected, Image.open(by_strips) as found:
                assert np.array_equal(np.asarray(expected), np.asarray(found))
                assert found.info.get("icc_profile") == expected.info.get("icc_profile")
            if suffix != ".webp":
                assert by_strips.read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_written_can_be_streamed(tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = smooth(700, 300, 4, dtype)
    write_parts(Picture(pixels[..., :3], pixels[..., 3]), tmp_path / f"a{suffix}", 64)
    check(tmp_path / f"a{suffix}")


def test_bigtiff_where_offsets_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.images.vips.CLASSIC_TIFF_BYTES", 1000)
    picture = Picture(smooth(60, 47, 3))
    write_parts(picture, tmp_path / "a.tif", 8)
    assert (tmp_path / "a.tif").read_bytes()[2] == 43
    assert np.array_equal(read(tmp_path / "a.tif").rgb, picture.rgb)
    check(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_nothing_is_left_after_an_error(tmp_path: Path, name: str) -> None:
    picture, path = Picture(smooth(60, 47, 3)), tmp_path / name

    def broken() -> Iterator[Picture]:
        yield from picture.strips(30)
        raise PermissionError("mine")

    half = [next(picture.strips(30))]
    with pytest.raises(PermissionError, match="mine"):
        write_strips(broken(), path, 47, 90, settings="a: 1")
    with pytest.raises(ValueError, match="30 rows were given for the 60"):
        write_strips(half, path, 47, 60)
    with pytest.raises(ValueError, match="30 rows were given for the 29"):
        write_strips(half, path, 47, 29)
    with pytest.raises(ValueError, match="does not fit"):
        write_strips([picture], path, 46, 60)
    with pytest.raises(ValueError, match="does not fit"):
        write_strips([picture], path, 47, 60, alpha=True)
    assert list(tmp_path.iterdir()) == []


def test_no_overwriting_without_force(tmp_path: Path) -> None:
    picture = Picture(smooth(60, 47, 3))
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already"):
        write_strips(untouched(), path, 47, 60)
    write_parts(picture, path, 9, force=True, settings="a: 1\n", beside=True)
    assert embedded_settings(path) == "a: 1\n"
    path.unlink()
    with pytest.raises(OutputError, match=r"a\.tif\.yaml exists already"):
        write_parts(picture, path, 9, settings="other", beside=True)
    (tmp_path / "a.tif.yaml").unlink()
    with pytest.raises(OutputError, match="exists already"):
        write_strips(overtaken(picture, path), path, 47, 60, settings="late", beside=True)
    assert path.read_bytes() == b"another run's"
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def untouched() -> Iterator[Picture]:
    return map(pytest.fail, ["refused before the first strip"])


def overtaken(picture: Picture, path: Path) -> Iterator[Picture]:
    yield picture
    path.write_bytes(b"another run's")


@pytest.mark.parametrize("stage", ["os.fsync", "os.link", "texsynth.images.vips._chunk"])
def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    before = threading.enumerate()
    monkeypatch.setattr(stage, full)
    if stage == "os.link":
        monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="no space left on device"):
        write_parts(Picture(smooth(60, 47, 3)), tmp_path / "a.png", 9, force=stage == "os.link")
    assert set(threading.enumerate()) <= set(before)
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from texsynth.errors import OutputError
from texsynth.images import Picture, write_strips

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
# One that runs in the background of a script would ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
path, rows = Path(sys.argv[1]), np.random.default_rng(0).integers(90, 160, (100, 800, 3), np.uint8)

def strips():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))
    for _ in range(6):
        yield Picture(rows)

try:
    write_strips(strips(), path, 800, 600)
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_disk_that_gets_full(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("resource")
    path = tmp_path / f"a{suffix}"
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=False)
    assert done.stdout.casefold().startswith(f"{path} cannot be written: file too large".casefold())
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
import numpy as np
from texsynth.images import Picture, write_strips

# One that runs in the background of a script would ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
path, rows = Path(sys.argv[1]), np.random.default_rng(0).integers(0, 256, (400, 4000, 3), np.uint8)
drawn, before = [], []

def press():
    before.extend(drawn)
    os.kill(os.getpid(), signal.SIGINT)

def strips():
    for number in range(300):
        drawn.append(number)
        if number == 2:
            threading.Timer(0.1, press).start()
        yield Picture(rows)

try:
    write_strips(strips(), path, 4000, 120000)
except KeyboardInterrupt:
    print(len(drawn) - len(before))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals to oneself")
def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert int(done.stdout) <= 2, "of the strips that were to come"
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_parts(Picture(smooth(6, 4, 3)), tmp_path / "none" / "a.png", 9)
    with pytest.raises(OutputError, match="at most 16383 pixels; use"):
        write_strips(untouched(), tmp_path / "a.webp", 16384, 1)
    with pytest.raises(OutputError, match="cannot be written"), placed(tmp_path / "a") as file:
        fail(OSError(5, "Input/output error"), file.write(b"half"))
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_text_reader(tmp_path: Path) -> None:
    """The chunks have correct checksums and stand where Pillow finds them without decoding."""
    write_parts(Picture(smooth(6, 4, 3)), tmp_path / "a.png", 2, settings="x: 1")
    assert sidecar(tmp_path / "a.png") is None
    with Image.open(tmp_path / "a.png") as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.info["texsynth"] == "x: 1"
        image.verify()
    again = encode(Picture(smooth(6, 4, 3)), "PNG", settings="x: 1")[0]
    assert same(read(again), read(tmp_path / "a.png"))


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from texsynth.images import Picture, open_strips, write_strips

def peak():
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # The other one counts the memory of the process that started this one, too.
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024

def through(source, target):
    strips = open_strips(source)
    assert not strips.whole
    write_strips(strips.rows(64), target, strips.width, strips.height)

folder, side, heights, suffix = Path(sys.argv[1]), 6000, (1000, 4000), sys.argv[2]
rng = np.random.default_rng(0)
tile = rng.integers(100, 140, (40, side, 3), np.uint8)
for name, height in zip(("small", "large"), heights):
    rows = (Picture(np.roll(tile, top, 1)) for top in range(0, height, 40))
    write_strips(rows, folder / f"{name}{suffix}", side, height)
    through(folder / f"{name}{suffix}", folder / f"{name}_again{suffix}")
    print(peak())
for index, strip in enumerate(open_strips(folder / f"large_again{suffix}").rows(40)):
    assert np.array_equal(strip.rgb, np.roll(tile, 40 * index, 1)), index
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_memory_does_not_grow_with_the_picture(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), suffix], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    small, large = map(int, done.stdout.split())
    assert large - small < 6000 * (4000 - 1000) * 3 / 2, "half of what the rows take that are more"
