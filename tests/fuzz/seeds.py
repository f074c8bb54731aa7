"""Small files of every kind that is read."""

from __future__ import annotations

import io
import struct
import sys
import tempfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyvips
import torch
from PIL import Image
from safetensors.torch import save

from texsynth.config.records import Source
from texsynth.errors import TexsynthError
from texsynth.images import Picture, encode
from texsynth.images.light import Samples, from_light
from texsynth.images.picture import Pixels
from texsynth.jobs.cards import Card, write_card
from texsynth.jobs.library_index import Entry, Index, Unreadable, write_index
from texsynth.transforms.moments import Moments

from .readers import (
    ORIGIN,
    Reader,
    read_beside,
    read_embedded,
    read_jobs,
    read_library,
    read_model,
    read_network,
    read_picture,
    read_preset,
    read_record,
    read_style,
    read_table,
)  # fmt: skip

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.artists_files import hdr, pfm, ppm, psd
from helpers.image_files import chunk, deep_png, grey_profile, linear_profile, saved, smooth, tiff
from helpers.nets import in_parts, tiny_borders, tiny_tensors

IDLE = b"~nothing of the picture depends on this, and no reader looks at it~"
"""What pictures have where it does not matter: changed, the picture is the same."""


@dataclass(frozen=True)
class Seed:
    """A file, what reads it, and how it is changed."""

    read: Reader
    data: bytes
    kind: Literal["picture", "text", "other"] = "other"
    is_read: bool = True


TEXTS = {
    "jobs.yaml": """\
output: out
name: '{content}-{index}.png'
jobs:
- {contents: photo.png, styles: [ink.png], set: {grain: 0.1}}
- {command: expand, exemplars: [photo.png], with: ink.png, count: 2}
""",
    "jobs.csv": """\
content,style,preset,output
photo.png,ink.png,bold,out/a.png
"photo.png",ink.png,,out/b.png
""",
    "jobs.jsonl": """\
{"command": "stylize", "content": "photo.png", "style": "ink.png", "output": "a.png"}
{"command": "blend", "content": "photo.png", "styles": ["ink.png:0.7", "photo.png:0.3"], "output": "b.png"}
""",
}

RUN = """\
run: {seed: 3, device: cpu, dtype: float32, threads: 1}
model_sha256: c
versions: {texsynth: '1', torch: '2'}
"""

RECORDS = {
    "tile.yaml": """\
command: tile
exemplars:
- {path: a, sha256: b}
siblings:
- {path: c, sha256: d, output: e, kind: opengl}
key: a
part: 1
expand: {method: patch, patch: {iterations: [1, 2]}}
""",
    "stylize.yaml": """\
command: stylize
content: {path: a, sha256: b}
style: {path: c, sha256: d}
tween:
  before: [{path: a, sha256: b}]
  share: 0.5
stylize: {levels: [4, 3], transform: {name: ift, pull: {4: 2.0}}, finish: {content: 0.5}}
""",
    "blend.yaml": """\
command: blend
content: {path: a, sha256: b}
styles:
- {sources: [{path: c, sha256: d}], weight: 0.5, levels: [4], mask: {path: e, sha256: f}}
- {sources: [{path: c, sha256: d}, {path: g, sha256: h}], weight: 1}
feather: 3
stylize: {style_scale: 0.5}
""",
}

PRESET = (
    "description: x\nextends: photo\nstylize:\n  levels: [4, 3]\n  transform: {name: ift, pull: {4: 2.0}}\n"
)

TABLE = """\
{"command": "evaluate stylize", "versions": {"texsynth": "1"}, "features": {"sha256": "a"}, "max_side": 64,
"pairs": [{"content": {"sha256": "a"}, "style": {"sha256": "b"}, "results": [
{"method": "wct", "seconds": 1.5, "measures": {"style": 0.5, "ssim": null}}]}]}
"""

TEXT_CHUNKS = (
    (b"iCCP", b"x\0\0" + zlib.compress(linear_profile())),
    (b"gAMA", b"\0\0\xb1\x8f"),
    (b"tEXt", b"texsynth\0a: 1"),
    (b"zTXt", b"x\0\0" + zlib.compress(b"a" * 99)),
    (b"iTXt", b"x\0\0\0\0\0abc"),
)


def card() -> bytes:
    """A style card of a small network."""
    values = torch.rand(8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    levels = {n: Moments(8.0 * n, values.sum(0), values.T @ values) for n in (1, 2, 3)}
    source = Source(path="a", sha256="b")
    made = Card({1: levels[1], 2: levels[2]}, "lite", "c", (source,), smooth(6, 8, 3), colours=levels[3])
    with tempfile.TemporaryDirectory() as folder:
        write_card(made, Path(folder, "x.card"), force=False)
        return Path(folder, "x.card").read_bytes()


def library() -> bytes:
    """An index of two files, one of which could not be read."""
    index = Index(
        ORIGIN, (Entry("a.png", 9, 8),), torch.ones(1, 3, 4).half(), (Unreadable("b", 1, 2, "c"),), 9
    )
    with tempfile.TemporaryDirectory() as folder:
        write_index(index, Path(folder, "x"))
        return Path(folder, "x").read_bytes()


def checkpoint(*, zipped: bool = True) -> bytes:
    """A checkpoint of torch, with lists around its tensors."""
    buffer = io.BytesIO()
    state = {"state_dict": {"0.weight": torch.ones(2, 3), "0.bias": torch.arange(2.0)}, "epoch": 3}
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def run_length_bmp() -> bytes:
    """A palette BMP of 8 x 4 pixels whose rows are packed by run lengths."""
    rows = b"".join(bytes((5, n, 3, 7, 0, 0)) for n in range(4)) + b"\0\1"
    palette = b"".join(bytes((n, 30 * n % 256, 90, 0)) for n in range(8))
    header = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, 8, 1, len(rows), 2835, 2835, 8, 8)
    start = 14 + len(header) + len(palette)
    return struct.pack("<2sIII", b"BM", start + len(rows), 0, start) + header + palette + rows


def by_libvips(pixels: Pixels, kind: str, **options: object) -> bytes:
    """A file as libvips writes it. pixels: (H, W, C) uint8."""
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels), pixels.shape[1], pixels.shape[0], pixels.shape[2], "uchar"
    )
    image = image.copy(interpretation="srgb" if pixels.shape[2] > 2 else "b-w")
    return bytes(getattr(image, f"{kind}save_buffer")(**options))


def samples_tif(kind: int, dtype: type) -> bytes:
    """A TIFF of floats (kind 3) or signed numbers (kind 2)."""
    buffer = io.BytesIO()
    image = Image.fromarray(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8).astype(dtype))
    image.save(buffer, "TIFF", tiffinfo={339: kind})
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    """Name of a file -> a picture of every format and kind."""
    rgb, deep, grey = smooth(12, 16, 3), smooth(12, 16, 3, np.uint16), smooth(12, 16, 1)
    animation = io.BytesIO()
    frames = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    frames[0].save(animation, "PNG", save_all=True, append_images=frames[1:])
    turned = Image.Exif()
    turned[274] = 6

    def moving(kind: str) -> bytes:
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        return buffer.getvalue()

    plain = saved(rgb)
    lossless = saved(rgb, "WEBP", lossless=True) + b"idle" + struct.pack("<I", len(IDLE) + 1) + IDLE + b"\0"
    lossless = lossless[:4] + struct.pack("<I", len(lossless) - 8) + lossless[8:]
    return {
        "rgb.png": plain[:33] + chunk(b"tEXt", b"x\0" + IDLE) + plain[33:],
        "palette.png": saved(rgb, mode="P"),
        "2-bit.png": saved(rgb // 64 * 64, mode="P", bits=2),
        "4-bit.png": by_libvips(grey, "png", bitdepth=4, interlace=True),
        "interlaced-bits.png": by_libvips(grey, "png", bitdepth=1, interlace=True),
        "interlaced-palette.png": by_libvips(rgb, "png", palette=True, interlace=True),
        "grey.png": saved(grey, transparency=3),
        "deep.png": deep_png(deep),
        "deep-grey.png": deep_png(deep[..., :1]),
        "interlaced.png": deep_png(deep, interlace=True),
        "animation.png": animation.getvalue(),
        "bits.png": saved(rgb, mode="1"),
        "alpha.png": saved(smooth(12, 16, 4)),
        "texts.png": deep_png(deep, *TEXT_CHUNKS),
        "baseline.jpg": saved(rgb, "JPEG", comment=IDLE),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True, comment=IDLE),
        "restart.jpg": saved(rgb, "JPEG", restart_marker_blocks=1),
        "ink.jpg": saved(rgb, "JPEG", mode="CMYK", comment=IDLE),
        "ink-progressive.jpg": saved(rgb, "JPEG", mode="CMYK", progressive=True),
        "grey.jpg": saved(rgb, "JPEG", mode="L", icc_profile=grey_profile()),
        "turned.jpg": saved(rgb, "JPEG", exif=turned),
        "strips.tif": tiff(rgb, rows=4) + IDLE,
        "deflated.tif": tiff(deep, rows=4, compression="deflate", predictor=True) + IDLE,
        "tiles.tif": tiff(deep, tile=(16, 16), compression="lzma"),
        "tiled-lzw.tif": by_libvips(
            rgb, "tiff", tile=True, tile_width=16, tile_height=16, compression="lzw", predictor="horizontal"
        ),
        "big.tif": tiff(deep, big=True, rows=5) + IDLE,
        "pages.tif": tiff(rgb, deep, order=">"),
        "planar.tif": tiff(deep, planar=True),
        "planar-strips.tif": tiff(rgb, planar=True, rows=5, compression="deflate"),
        "grey.tif": tiff(deep[..., :1], rows=5, photometric=0),
        "alpha.tif": tiff(smooth(12, 16, 4), rows=5),
        "palette.tif": saved(rgb, "TIFF", mode="P", tiffinfo={270: IDLE.decode()}),
        "ink.tif": saved(rgb, "TIFF", mode="CMYK"),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw", tiffinfo={270: IDLE.decode()}),
        "jpeg.tif": saved(rgb, "TIFF", compression="jpeg"),
        "packed.tif": saved(rgb, "TIFF", mode="1", compression="packbits"),
        "fax.tif": saved(rgb, "TIFF", mode="1", compression="group4"),
        "float.tif": samples_tif(3, np.float32),
        "signed.tif": samples_tif(2, np.int32),
        "lossy.webp": saved(rgb, "WEBP"),
        "alpha.webp": saved(smooth(12, 16, 4), "WEBP"),
        "whole.webp": lossless,
        "moving.webp": moving("WEBP"),
        "palette.gif": saved(rgb, "GIF", comment=IDLE),
        "interlaced.gif": saved(rgb, "GIF", mode="P", interlace=1),
        "moving.gif": moving("GIF"),
        "plain.bmp": saved(rgb, "BMP") + IDLE,
        "palette.bmp": saved(rgb, "BMP", mode="P"),
        "bits.bmp": saved(rgb, "BMP", mode="1"),
        "runs.bmp": run_length_bmp(),
        **artists_files(rgb, deep),
    }


def artists_files(rgb: Pixels, deep: Pixels) -> dict[str, bytes]:
    """Pictures of formats that programs for painting, compositing and cameras write."""
    light = rgb.astype(np.float32) / 64
    files = {
        "photo.avif": saved(rgb, "AVIF"),
        "plain.tga": saved(rgb, "TGA"),
        "packed.tga": saved(rgb, "TGA", compression="tga_rle"),
        "palette.tga": saved(rgb, "TGA", mode="P"),
        "photo.jp2": saved(rgb, "JPEG2000"),
        "plain.dds": saved(rgb, "DDS"),
        "packed.dds": saved(smooth(12, 16, 4), "DDS", pixel_format="DXT5"),
        "plain.ppm": saved(rgb, "PPM"),
        "deep.ppm": ppm(deep),
        "light.pfm": pfm(light),
        "light.hdr": hdr(smooth(12, 16, 4)),
        "packed.hdr": hdr(smooth(12, 16, 4), packed=True),
        "plain.psd": psd(rgb, icc=linear_profile()),
        "packed.psd": psd(deep, packed=True, layers=-1),
        "light.psd": psd(light),
        "light.tif": encode(from_light(Samples(light), "TIFF"), "TIFF")[0],
    }
    # Others need packages that may not be there.
    with suppress(TexsynthError):
        files["light.exr"] = encode(from_light(Samples(light), "EXR"), "EXR")[0]
    with suppress(ImportError, KeyError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        files["photo.heic"] = saved(rgb, "HEIF")
    with suppress(ImportError, KeyError):
        import pillow_jxl  # noqa: F401

        files["photo.jxl"] = saved(rgb, "JXL")
    with suppress(ImportError):
        codec: Any = __import__("imagecodecs")
        files["deep.jp2"] = bytes(codec.jpeg2k_encode(deep, codecformat="jp2"))
        files["deep.jxl"] = bytes(codec.jpegxl_encode(deep, lossless=True))
    return files


def seeds() -> dict[str, Seed]:
    """Name of a file -> what is in it."""
    rgb, record = smooth(12, 16, 3), (RECORDS["tile.yaml"] + RUN).encode()
    carrying = saved(rgb)
    borders = {key: v.contiguous() for key, v in in_parts({"borders": tiny_borders()}).items()}
    carrying = carrying[:33] + chunk(b"tEXt", b"texsynth\0" + record) + carrying[33:]
    files = {name: Seed(read_picture, data, "picture") for name, data in pictures().items()}
    files |= {name: Seed(read_record, (text + RUN).encode(), "text") for name, text in RECORDS.items()}
    files |= {name: Seed(read_jobs, text.encode(), "text") for name, text in TEXTS.items()}
    # Of these a sentence is all that may come.
    files |= {name: replace(files[name], is_read=False) for name in ("float.tif", "signed.tif")}
    return files | {
        "record.png": Seed(read_embedded, carrying),
        **{
            f"record.{name.lower()}": Seed(
                read_embedded, encode(Picture(rgb), name, settings=record.decode())[0]
            )
            for name in ("TIFF", "JPEG", "WEBP")
        },
        "beside.yaml": Seed(read_beside, record, "text"),
        "preset.yaml": Seed(read_preset, PRESET.encode(), "text"),
        "table.json": Seed(read_table, TABLE.encode(), "text"),
        "net.safetensors": Seed(read_network, save({"0.weight": torch.ones(2, 3)}, {"kind": "x"})),
        "model.safetensors": Seed(read_model, save({k: v.half() for k, v in tiny_tensors().items()})),
        "borders.safetensors": Seed(read_model, save(borders)),
        "net.pth": Seed(read_network, checkpoint()),
        "old.pth": Seed(read_network, checkpoint(zipped=False)),
        "style.card": Seed(read_style, card()),
        "library": Seed(read_library, library()),
    }
