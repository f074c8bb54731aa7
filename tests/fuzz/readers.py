"""What reads files of strangers, small files for it, and how these are changed."""

from __future__ import annotations

import io
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from texsynth.config.records import Embedded
from texsynth.config.validation import validate
from texsynth.errors import TexsynthError
from texsynth.images import open_strips, read
from texsynth.models.checkpoints.formats import read_checkpoint
from texsynth.models.weights import read_weights
from texsynth.strict_yaml import parse

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers.image_files import deep_png, saved, smooth, tiff

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


def seeds() -> dict[str, tuple[Reader, bytes]]:
    """Name of a file -> its reader and what is in it."""
    rgb, deep = smooth(12, 16, 3), smooth(12, 16, 3, np.uint16)
    checkpoint, animation = io.BytesIO(), io.BytesIO()
    torch.save({"0.weight": torch.ones(2, 3)}, checkpoint)
    frames = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    frames[0].save(animation, "PNG", save_all=True, append_images=frames[1:])
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
    }
    record = (
        b"command: tile\nexemplars:\n- path: a\n  sha256: b\nkey: a\nrun: {seed: 3}\nversions: {torch: '2'}\n"
    )
    files: dict[str, tuple[Reader, bytes]] = {n: (read_picture, data) for n, data in pictures.items()}
    return files | {
        "record.yaml": (read_record, record),
        "net.safetensors": (read_network, save({"0.weight": torch.ones(2, 3)}, {"kind": "x"})),
        "net.pth": (read_network, checkpoint.getvalue()),
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
