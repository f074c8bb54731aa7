"""What reads files of strangers, small files for it, and how these are changed."""

from __future__ import annotations

import io
import random
import sys
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from texsynth.config import presets
from texsynth.config.records import Embedded, Source
from texsynth.config.validation import validate
from texsynth.errors import TexsynthError
from texsynth.images import encode, open_strips, read
from texsynth.images.light import Samples, from_light
from texsynth.images.picture import Pixels
from texsynth.jobs.cards import Card, read_card, write_card
from texsynth.jobs.library_index import Entry, Index, Origin, Unreadable, read_index, write_index
from texsynth.jobs.manifest import read_manifest
from texsynth.models.checkpoints.formats import read_checkpoint
from texsynth.models.weights import read_weights
from texsynth.strict_yaml import parse
from texsynth.transforms.moments import Moments

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.artists_files import hdr, pfm, ppm, psd
from helpers.image_files import deep_png, grey_profile, linear_profile, saved, smooth, tiff

LIMIT = 1 << 16  # Pixels

Reader = Callable[[bytes, Path], None]


def read_picture(data: bytes, path: Path) -> None:
    """Whole, in part and by strips; two of them that succeed agree."""
    whole = _rgb(lambda: read(data, max_pixels=LIMIT, frame=0).rgb)
    strips = _rgb(
        lambda: np.concatenate([s.rgb for s in open_strips(data, max_pixels=LIMIT, frame=0).rows(7)])
    )
    assert (whole is None) == (strips is None), "one reader takes what the other refuses"
    assert whole is None or strips is None or np.array_equal(whole, strips)
    _rgb(lambda: read(data, max_pixels=LIMIT, frame=0, lenient=True).rgb)


def _rgb(call: Callable[[], np.ndarray]) -> np.ndarray | None:
    try:
        return call()
    except TexsynthError:
        return None


def read_record(data: bytes, path: Path) -> None:
    """YAML, and the record in it."""
    validate(Embedded, parse(data.decode(errors="replace"), source="x"), "x")


def read_network(data: bytes, path: Path) -> None:
    """Weights of ours, or of strangers."""
    path.write_bytes(data)
    (read_weights if path.suffix == ".safetensors" else read_checkpoint)(path)


def read_style(data: bytes, path: Path) -> None:
    """A style card."""
    read_card(data, "x")


def read_library(data: bytes, path: Path) -> None:
    """The index of a library."""
    path.write_bytes(data)
    read_index(path, ORIGIN)


def read_jobs(data: bytes, path: Path) -> None:
    """A manifest."""
    path.write_bytes(data)
    for name in ("photo.png", "ink.png"):
        path.with_name(name).touch()
    read_manifest(path, str(path.parent), lambda kind, preset, changes: validate(kind, changes, "x"))


def read_preset(data: bytes, path: Path) -> None:
    """A preset."""
    path.write_bytes(data)
    presets.load(str(path))


ORIGIN = Origin("a", "lite", "b", 256)

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
RECORD = """\
command: tile
exemplars:
- {path: a, sha256: b}
key: a
expand: {method: patch, patch: {iterations: [1, 2]}}
run: {seed: 3, device: cpu, dtype: float32, threads: 1}
model_sha256: c
versions: {texsynth: '1', torch: '2'}
"""

PRESET = (
    "description: x\nextends: photo\nstylize:\n  levels: [4, 3]\n  transform: {name: ift, pull: {4: 2.0}}\n"
)


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
    return files


def seeds() -> dict[str, tuple[Reader, bytes]]:
    """Name of a file -> its reader and what is in it."""
    rgb, deep = smooth(12, 16, 3), smooth(12, 16, 3, np.uint16)
    checkpoint, animation = io.BytesIO(), io.BytesIO()
    torch.save({"0.weight": torch.ones(2, 3)}, checkpoint)
    frames = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    frames[0].save(animation, "PNG", save_all=True, append_images=frames[1:])
    turned = Image.Exif()
    turned[274] = 6

    def moving(kind: str) -> bytes:
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        return buffer.getvalue()

    pictures = {
        "rgb.png": saved(rgb),
        "palette.png": saved(rgb, mode="P"),
        "grey.png": saved(rgb[..., :1], transparency=3),
        "deep.png": deep_png(deep),
        "interlaced.png": deep_png(deep, interlace=True),
        "animation.png": animation.getvalue(),
        "baseline.jpg": saved(rgb, "JPEG"),
        "progressive.jpg": saved(rgb, "JPEG", progressive=True),
        "strips.tif": tiff(rgb, rows=4),
        "deflated.tif": tiff(deep, rows=4, compression="deflate", predictor=True),
        "tiles.tif": tiff(deep, tile=(16, 16), compression="lzma"),
        "pages.tif": tiff(rgb, deep, order=">", big=True),
        "lossy.webp": saved(rgb, "WEBP"),
        "palette.gif": saved(rgb, "GIF"),
        "plain.bmp": saved(rgb, "BMP"),
        "bits.png": saved(rgb, mode="1"),
        "alpha.png": saved(smooth(12, 16, 4)),
        "texts.png": deep_png(deep, *TEXT_CHUNKS),
        "ink.jpg": saved(rgb, "JPEG", mode="CMYK"),
        "grey.jpg": saved(rgb, "JPEG", mode="L", icc_profile=grey_profile()),
        "turned.jpg": saved(rgb, "JPEG", exif=turned),
        "planar.tif": tiff(deep, planar=True),
        "grey.tif": tiff(deep[..., :1], rows=5, photometric=0),
        "alpha.tif": tiff(smooth(12, 16, 4), rows=5),
        "palette.tif": saved(rgb, "TIFF", mode="P"),
        "ink.tif": saved(rgb, "TIFF", mode="CMYK"),
        "lzw.tif": saved(rgb, "TIFF", compression="tiff_lzw"),
        "packed.tif": saved(rgb, "TIFF", mode="1", compression="packbits"),
        "whole.webp": saved(rgb, "WEBP", lossless=True),
        "moving.webp": moving("WEBP"),
        "moving.gif": moving("GIF"),
        "palette.bmp": saved(rgb, "BMP", mode="P"),
        **artists_files(rgb, deep),
    }
    files: dict[str, tuple[Reader, bytes]] = {n: (read_picture, data) for n, data in pictures.items()}
    return files | {
        "record.yaml": (read_record, RECORD.encode()),
        "net.safetensors": (read_network, save({"0.weight": torch.ones(2, 3)}, {"kind": "x"})),
        "net.pth": (read_network, checkpoint.getvalue()),
        "style.card": (read_style, card()),
        "library": (read_library, library()),
        "preset.yaml": (read_preset, PRESET.encode()),
        **{name: (read_jobs, text.encode()) for name, text in TEXTS.items()},
    }


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bits, bytes or pieces changed."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place, kind = rng.randrange(max(1, len(changed) - 1)), rng.randrange(6)
        if len(changed) < 9:
            break
        if kind == 0:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            changed[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        elif kind == 3:
            del changed[place : place + rng.randrange(1, 20)]
        elif kind == 4:
            changed[place:place] = changed[: rng.randrange(1, 40)]
        else:
            changed = changed[: max(8, place)]
    return bytes(changed)


def attempt(name: str, reader: Reader, data: bytes, number: int, folder: Path) -> None:
    """Read one changed file. AssertionError names what can be tried again."""
    changed = mutated(data, random.Random(f"{name} {number}"))
    try:
        reader(changed, folder / name)
    except TexsynthError:
        pass
    except Exception as error:
        raise AssertionError(f"{name}, change {number}: {type(error).__name__}: {error}") from error


def run(count: int) -> None:
    """Try `count` changes; failures are printed, and none may take long."""
    import faulthandler
    import resource

    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        files = list(seeds().items())
        for number in range(count):
            name, (reader, data) = files[number % len(files)]
            faulthandler.dump_traceback_later(10, exit=True)
            try:
                attempt(name, reader, data, number, Path(folder))
            except AssertionError as error:
                faults += 1
                sys.stdout.write(f"{error}\n")
    faulthandler.cancel_dump_traceback_later()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    sys.stdout.write(f"{count} files, {faults} faults, {peak} MiB at most\n")
    sys.exit(bool(faults))
