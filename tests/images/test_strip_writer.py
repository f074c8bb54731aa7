"""Pictures written by strips: the same files as from the whole, nothing half-written, and far less memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.image_files import SIZES, check, fail, same, smooth
from PIL import Image, PngImagePlugin

from texsynth.errors import OutputError
from texsynth.images import Picture, StripWriter, embedded_settings, encode, placed, read, sidecar, write


def cut(picture: Picture, count: int) -> Iterator[Picture]:
    for top in range(0, picture.height, count):
        part = slice(top, top + count)
        alpha = None if picture.alpha is None else picture.alpha[part]
        yield replace(picture, rgb=picture.rgb[part], alpha=alpha)


def write_strips(picture: Picture, path: Path, count: int, **options: Any) -> tuple[str, ...]:  # noqa: ANN401
    with StripWriter(
        path, picture.width, picture.height, grey=picture.grey, alpha=picture.alpha is not None,
        bit_depth=picture.bit_depth, **options,
    ) as out:  # fmt: skip
        for strip in cut(picture, count):
            out.write(strip)
    return out.warnings


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_file_is_what_write_makes(
    tmp_path: Path, size: tuple[int, int], suffix: str, dtype: type
) -> None:
    for grey in (False, True):
        for alpha in (False, True):
            pixels = smooth(*size, 4, dtype)
            rgb = pixels[..., :1].repeat(3, 2) if grey else pixels[..., :3]
            picture = Picture(rgb, pixels[..., 3] if alpha else None, grey=grey)
            path = tmp_path / f"whole{grey}{alpha}{suffix}"
            warnings = write(picture, path, settings="a: ü\n")
            for count in (1, 7, 5000):
                by_strips = tmp_path / f"{count}{grey}{alpha}{suffix}"
                assert write_strips(picture, by_strips, count, settings="a: ü\n") == warnings
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
    write_strips(Picture(pixels[..., :3], pixels[..., 3]), tmp_path / f"a{suffix}", 64)
    check(tmp_path / f"a{suffix}")


def test_bigtiff_where_offsets_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.images.vips.CLASSIC_TIFF_BYTES", 1000)
    picture = Picture(smooth(60, 47, 3))
    write_strips(picture, tmp_path / "a.tif", 8)
    assert (tmp_path / "a.tif").read_bytes()[2] == 43
    assert np.array_equal(read(tmp_path / "a.tif").rgb, picture.rgb)
    check(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_nothing_is_left_after_an_error(tmp_path: Path, name: str) -> None:
    picture, path = Picture(smooth(60, 47, 3)), tmp_path / name
    half = next(cut(picture, 30))
    with (
        pytest.raises(PermissionError, match="mine"),
        StripWriter(path, 47, 60, settings="a: 1") as out,
    ):
        fail(PermissionError("mine"), out.write(picture))  # type: ignore[func-returns-value]
    with pytest.raises(ValueError, match="30 rows were given for the 60"), StripWriter(path, 47, 60) as out:
        out.write(half)
    with pytest.raises(ValueError, match="30 rows were given for the 29"), StripWriter(path, 47, 29) as out:
        out.write(half)
    with pytest.raises(ValueError, match="does not fit"), StripWriter(path, 46, 60) as out:
        out.write(picture)
    with pytest.raises(ValueError, match="does not fit"), StripWriter(path, 47, 60, alpha=True) as out:
        out.write(picture)
    with pytest.raises(ValueError, match="not open"):
        StripWriter(path, 47, 60).write(picture)
    assert list(tmp_path.iterdir()) == []


def test_no_overwriting_without_force(tmp_path: Path) -> None:
    picture = Picture(smooth(60, 47, 3))
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already"), StripWriter(path, 47, 60):
        pytest.fail("refused before the first strip")
    write_strips(picture, path, 9, force=True, settings="new")
    assert embedded_settings(path) == "new"
    path.unlink()
    with pytest.raises(OutputError, match=r"a\.tif\.yaml exists already"):
        write_strips(picture, path, 9, settings="other")
    (tmp_path / "a.tif.yaml").unlink()
    late = StripWriter(path, 47, 60, settings="late")
    with pytest.raises(OutputError, match="exists already"), late:
        fail_to_place(late, picture, path)
    assert path.read_bytes() == b"another run's"
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def fail_to_place(out: StripWriter, picture: Picture, path: Path) -> None:
    out.write(picture)
    path.write_bytes(b"another run's")


@pytest.mark.parametrize("stage", ["os.fsync", "os.link", "texsynth.images.vips._chunk"])
def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    threads = threading.active_count()
    monkeypatch.setattr(stage, full)
    if stage == "os.link":
        monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="no space left on device"):
        write_strips(Picture(smooth(60, 47, 3)), tmp_path / "a.png", 9, force=stage == "os.link")
    assert threading.active_count() == threads
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from texsynth.errors import OutputError
from texsynth.images import Picture, StripWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, rows = Path(sys.argv[1]), np.random.default_rng(0).integers(90, 160, (100, 800, 3), np.uint8)
try:
    with StripWriter(path, 800, 600) as out:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))
        for _ in range(6):
            out.write(Picture(rows))
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
import os, signal, sys, threading, time
from pathlib import Path
import numpy as np
from texsynth.images import Picture, StripWriter

path, rows = Path(sys.argv[1]), np.random.default_rng(0).integers(0, 256, (400, 4000, 3), np.uint8)
try:
    with StripWriter(path, 4000, 120000) as out:
        start = time.monotonic()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        for _ in range(300):
            out.write(Picture(rows))
except KeyboardInterrupt:
    print(time.monotonic() - start)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals to oneself")
def test_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert float(done.stdout) < 2
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_strips(Picture(smooth(6, 4, 3)), tmp_path / "none" / "a.png", 9)
    with (
        pytest.raises(OutputError, match="at most 16383 pixels; use"),
        StripWriter(tmp_path / "a.webp", 16384, 1),
    ):
        pytest.fail("refused before the first strip")
    with pytest.raises(OutputError, match="cannot be written"), placed(tmp_path / "a") as file:
        fail(OSError(5, "Input/output error"), file.write(b"half"))
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_text_reader(tmp_path: Path) -> None:
    """The chunks have correct checksums and stand where Pillow finds them without decoding."""
    write_strips(Picture(smooth(6, 4, 3)), tmp_path / "a.png", 2, settings="x: 1")
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
from texsynth.images import Picture, StripWriter, open_strips, read

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def through(source, target, settings=""):
    with open_strips(source) as strips, StripWriter(target, strips.width, strips.height) as out:
        assert not strips.whole
        for strip in strips.rows(64):
            out.write(strip)

folder, side, suffix = Path(sys.argv[1]), 6000, sys.argv[2]
rng = np.random.default_rng(0)
tile = rng.integers(100, 140, (40, side, 3), np.uint8)
for name, height in (("small", 80), ("large", side)):
    with StripWriter(folder / f"{name}{suffix}", side, height) as out:
        for top in range(0, height, 40):
            out.write(Picture(np.roll(tile, top, 1)))
    through(folder / f"{name}{suffix}", folder / f"{name}_again{suffix}")
    print(peak())
with open_strips(folder / f"large_again{suffix}") as strips:
    for index, strip in enumerate(strips.rows(40)):
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
    assert large - small < 6000 * 6000 * 3 / 5
