"""Light read and written by strips: what the whole gives, in little memory, and nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers.image_files import smooth, tiff

from texsynth.images import (
    Picture,
    encode,
    open_strips,
    pixel_hash,
    read,
    settings_and_hash,
    write,
    write_strips,
)
from texsynth.images.light import Samples, from_light
from texsynth.images.picture import Pixels

exr = pytest.mark.skipif(find_spec("OpenEXR") is None, reason="needs OpenEXR")
FORMATS = ["TIFF", pytest.param("EXR", marks=exr)]
SUFFIX = {"TIFF": ".tif", "EXR": ".exr"}


def light(channels: int) -> Pixels:
    """Partly stronger than 1, (83, 47, channels)."""
    return (smooth(83, 47, channels) / 255).astype(np.float32) ** 3 * 9


def picture_of(channels: int) -> Picture:
    """Grey or RGB, with alpha as the last of 4 channels."""
    values = light(channels)
    alpha = None if channels < 4 else np.linspace(0, 1, 83 * 47, dtype=np.float32).reshape(83, 47)
    return from_light(Samples(values[..., :3], alpha), "TIFF")


def ones(picture: Picture) -> Pixels:
    """The highlights, where there are none, too."""
    return np.ones(picture.rgb.shape[:2], np.float32) if picture.highlights is None else picture.highlights


def check(data: bytes) -> None:
    whole, strips = read(data), open_strips(data)
    assert not strips.whole
    assert (strips.width, strips.height, strips.kind.bit_depth) == (47, 83, whole.bit_depth)
    for count in (1, 7, 5000):
        parts = list(strips.rows(count))
        assert [part.height for part in parts[:-1]] == [count] * (len(parts) - 1)
        assert np.array_equal(np.concatenate([part.rgb for part in parts]), whole.rgb)
        assert np.array_equal(np.concatenate([ones(part) for part in parts]), ones(whole))
        assert all((part.alpha is None) == (whole.alpha is None) for part in parts)
        if whole.alpha is not None:
            alphas = [part.alpha for part in parts if part.alpha is not None]
            assert np.array_equal(np.concatenate(alphas), whole.alpha)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", FORMATS)
def test_strips_are_the_rows_of_the_whole(name: str, channels: int) -> None:
    check(encode(picture_of(channels), name)[0])


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_whole_numbers_of_32_bits_by_strips(tile: tuple[int, int] | None) -> None:
    check(tiff(smooth(83, 47, 3, np.uint16).astype(np.uint32) << 16, tile=tile, rows=9))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", FORMATS)
def test_the_file_is_what_write_makes(name: str, channels: int, tmp_path: Path) -> None:
    picture = picture_of(channels)
    path = tmp_path / f"whole{SUFFIX[name]}"
    write(picture, path, settings="a: 1\n")
    for count in (1, 7, 5000):
        other = tmp_path / f"{count}{SUFFIX[name]}"
        write_strips(
            picture.strips(count), other, 47, 83, alpha=channels == 4, bit_depth=32, settings="a: 1\n"
        )
        assert other.read_bytes() == path.read_bytes()
        assert settings_and_hash(other) == settings_and_hash(path)
        assert pixel_hash(other) == settings_and_hash(other)[1]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_left_after_an_error(name: str, tmp_path: Path) -> None:
    def broken() -> Iterator[Picture]:
        yield from list(picture_of(3).strips(9))[:3]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_strips(broken(), tmp_path / f"a{SUFFIX[name]}", 47, 83, bit_depth=32)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_cannot_hold_strong_light_says_so(suffix: str, tmp_path: Path) -> None:
    strips = picture_of(3).strips(9)
    warnings = write_strips(strips, tmp_path / f"a{suffix}", 47, 83, bit_depth=32)
    assert len(warnings) == 1
    assert "cannot hold light stronger than 1" in warnings[0]


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from texsynth.images import Picture, open_strips, write_strips

def peak():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
    return int(line.split()[1])

path = Path(sys.argv[1])
rows = np.full((100, 3000, 3), 9000, np.uint16)
write_strips((Picture(rows, is_float=True) for _ in range(2)), path, 3000, 200, bit_depth=32)
assert sum(s.height for s in open_strips(path).rows(100)) == 200
path.unlink()
before = peak()
write_strips((Picture(rows, is_float=True) for _ in range(15)), path, 3000, 1500, bit_depth=32)
assert sum(s.height for s in open_strips(path).rows(100)) == 1500
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the system tells the peak")
@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_picture(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEASURED, str(tmp_path / f"a{SUFFIX[name]}")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    # It has 54 MB, and took 270 MB while it was read and written as a whole.
    assert int(done.stdout) < 60_000
