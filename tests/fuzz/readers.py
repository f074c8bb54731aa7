"""What reads files of strangers, and what must hold of what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from texsynth.config import presets
from texsynth.config.records import Embedded
from texsynth.config.validation import validate
from texsynth.errors import TexsynthError
from texsynth.evaluation.baseline import read_baseline
from texsynth.images import Picture, embedded_settings, open_strips, read
from texsynth.images.picture import Pixels
from texsynth.jobs.cards import read_card
from texsynth.jobs.files import record_in
from texsynth.jobs.library_index import Origin, read_index
from texsynth.jobs.manifest import read_manifest
from texsynth.models.checkpoints.formats import read_checkpoint
from texsynth.models.registry import load_model
from texsynth.models.transposers import load_network
from texsynth.models.weights import facts_of, read_weights
from texsynth.strict_yaml import parse

LIMIT = 1 << 16  # Pixels

Reader = Callable[[bytes, Path], object]

IGNORABLE = (b"iCCP", b"gAMA", b"sRGB", b"cHRM", b"tRNS")
"""Chunks of a PNG that are left out with a warning where they are damaged."""


def read_picture(data: bytes, path: Path) -> Picture:
    """Whole, in part and by strips; those that succeed agree."""
    del path
    whole = _tried(lambda: read(data, max_pixels=LIMIT, frame=0))
    strips = _tried(lambda: _joined(data))
    left = _tried(lambda: read(data, max_pixels=LIMIT, frame=0, lenient=True))
    taken = [not isinstance(one, TexsynthError) for one in (whole, strips)]
    assert taken[0] == taken[1], f"only one takes it: whole {_brief(whole)}, strips {_brief(strips)}"
    if isinstance(whole, TexsynthError) or isinstance(strips, TexsynthError):
        assert isinstance(whole, TexsynthError)
        raise whole
    assert same(whole, strips), "strips are other pixels"
    assert not isinstance(left, TexsynthError), f"what is whole is refused in part: {left}"
    assert same(whole, left), "what is left of a whole picture is other pixels"
    return whole


def _tried(call: Callable[[], Picture]) -> Picture | TexsynthError:
    try:
        return call()
    except TexsynthError as error:
        return error


def _brief(result: Picture | TexsynthError) -> str:
    return str(result) if isinstance(result, TexsynthError) else "a picture"


def _joined(data: bytes) -> Picture:
    """The picture of all strips."""
    strips = list(open_strips(data, max_pixels=LIMIT, frame=0).rows(7))
    parts = [strip.alpha for strip in strips if strip.alpha is not None]
    return Picture(np.concatenate([s.rgb for s in strips]), np.concatenate(parts) if parts else None)


def same(one: Picture, other: Picture) -> bool:
    """Tell whether colours and opacity are equal."""
    pairs: list[tuple[Pixels | None, Pixels | None]] = [(one.rgb, other.rgb), (one.alpha, other.alpha)]
    return all(
        a is b or (a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b))
        for a, b in pairs
    )


@cache
def sound_pictures(data: bytes) -> tuple[Picture, ...]:
    """The picture of a whole file, and of a PNG also those without chunks that may be left out."""
    if not data.startswith(b"\x89PNG"):
        return (read(data, frame=0),)
    there = [kind for kind in IGNORABLE if kind in data]
    without = (left for n in range(len(there) + 1) for left in combinations(there, n))
    return tuple(
        read(data[:8] + b"".join(one for kind, one in chunks(data) if kind not in left), frame=0)
        for left in without
    )


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and whole chunks of a PNG; the last may be cut."""
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def read_record(data: bytes, path: Path) -> object:
    """YAML, and the record in it."""
    del path
    return validate(Embedded, parse(data.decode(errors="replace"), source="x"), "x")


def read_embedded(data: bytes, path: Path) -> object:
    """The record that a picture carries."""
    path.write_bytes(data)
    return record_in(embedded_settings(path), "x")


def read_beside(data: bytes, path: Path) -> object:
    """The record in a file beside a picture."""
    picture = path.with_name("a.jpg")
    Image.new("RGB", (8, 8)).save(picture)
    picture.with_name("a.jpg.yaml").write_bytes(data)
    return record_in(embedded_settings(picture), "x")


def read_network(data: bytes, path: Path) -> object:
    """Weights of ours, or of strangers."""
    path.write_bytes(data)
    return (read_weights if path.suffix == ".safetensors" else read_checkpoint)(path)


def read_model(data: bytes, path: Path) -> object:
    """A network that is made of its weights."""
    path.write_bytes(data)
    facts = facts_of(path)
    return load_network(str(path)) if facts.transposer else load_model(str(path))


def read_style(data: bytes, path: Path) -> object:
    """A style card."""
    del path
    return read_card(data, "x")


def read_library(data: bytes, path: Path) -> object:
    """The index of a library."""
    path.write_bytes(data)
    return read_index(path, ORIGIN)


def read_jobs(data: bytes, path: Path) -> object:
    """A manifest."""
    path.write_bytes(data)
    for name in ("photo.png", "ink.png"):
        path.with_name(name).touch()
    return read_manifest(path, str(path.parent), lambda kind, preset, changes: validate(kind, changes, "x"))


def read_preset(data: bytes, path: Path) -> object:
    """A preset."""
    path.write_bytes(data)
    return presets.load(str(path))


def read_table(data: bytes, path: Path) -> object:
    """The table of an earlier evaluation."""
    path.write_bytes(data)
    return read_baseline(path)


ORIGIN = Origin("a", "lite", "b", 256)
