"""Oddities of artists' files: each is read as it looks elsewhere, or refused with a reason that is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.image_files import same, saved, smooth, tiff

from texsynth.errors import InputError
from texsynth.images import metadata, open_strips, read

RGB = smooth(20, 24, 3)
DEEP = smooth(20, 24, 3, np.uint16)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"")
    for source in (path, b""):
        with pytest.raises(InputError, match=r"is empty$"):
            read(source)


@pytest.mark.parametrize("packed", ["none", "deflate"])
def test_tiles_of_separate_colours_are_read_at_8_bits_and_named_at_16(packed: str) -> None:
    picture = read(tiff(RGB, tile=(16, 16), planar=True, compression=packed))
    assert np.array_equal(picture.rgb, RGB)
    with pytest.raises(InputError, match="has tiles of separate colours with more than 8 bits; save it as"):
        read(tiff(DEEP, tile=(16, 16), planar=True, compression=packed))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"rows": 7}, {"compression": "deflate"}])
def test_grey_tiff_with_alpha_at_16_bits(tmp_path: Path, order: str, options: dict[str, Any]) -> None:
    """As stored. Grey that was multiplied by alpha is divided; a channel of unknown use is no alpha."""
    samples = DEEP[..., :2].copy()
    samples[..., 0] //= 4
    samples[..., 1] = np.maximum(samples[..., 1], 20000)
    path = tmp_path / "a.tif"
    for extra in (2, 1, 0):
        data = tiff(samples, order=order, extra=[extra], **options)
        path.write_bytes(data)
        picture = read(data)
        grey, alpha = samples[..., 0].astype(float), samples[..., 1]
        expected = grey * 65535 / alpha if extra == 1 else grey
        assert (picture.grey, picture.bit_depth, picture.source_format) == (True, 16, "TIFF")
        assert np.abs(picture.rgb[..., 0] - expected).max() <= (extra == 1)
        assert (picture.alpha is not None) == bool(extra)
        assert picture.alpha is None or np.array_equal(picture.alpha, alpha)
        strips = zip(open_strips(path).rows(7), picture.strips(7), strict=True)
        assert all(same(*pair) for pair in strips)
    with pytest.raises(InputError, match="damaged"):
        read(data[: len(data) // 3])


def test_a_tiff_that_says_no_resolution_has_none() -> None:
    assert metadata(tiff(RGB)) is None
    kept = metadata(saved(RGB, "TIFF", dpi=(300, 300)))
    assert kept is not None
    assert kept.dpi == (300, 300)


@pytest.mark.parametrize(("kind", "channels"), [("P2", 1), ("P3", 3)])
def test_16_bits_as_text(kind: str, channels: int) -> None:
    values = DEEP[..., :channels]
    words = "\n# a remark\n".join(" ".join(map(str, row.ravel())) for row in values)
    data = f"{kind} 24 20 65535\n{words}".encode()
    assert np.array_equal(read(data).rgb[..., :channels], values)
    for wrong in (data[: len(data) // 2], data.replace(b"\n# a remark\n", b"x", 1)):
        with pytest.raises(InputError, match="damaged"):
            read(wrong)
