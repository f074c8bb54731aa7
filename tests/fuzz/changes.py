"""Changes of files at random, and what may come of them."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

from texsynth.errors import TexsynthError
from texsynth.images import Picture

from .readers import chunks, same, sound_pictures
from .seeds import IDLE, Seed

TOKENS = (
    b"null", b"~", b"[]", b"{}", b"''", b"-1", b"0", b"1e999", b".nan", b"-.inf", b"9" * 400, b"0.0000001",
    b"!!int x", b"&a [*a]", b"<<: 1", b"\0", b"\xff\xfe", b'"\\ud800"', b"'", b'"', b"[" * 99, b": ", b"\t",
    b"\r", b"../../etc/passwd", b"/dev/zero", b"{content}", b"{" * 9, b"true", b"\xe2\x80\xae", b"- " * 50,
    b"a" * 5000, b"1" * 5000,
)  # fmt: skip
"""What is put into texts."""

NUMBERS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\0\1\0\1", b"\xff\xff\0\0")


def mutated(data: bytes, rng: random.Random, *, is_text: bool = False) -> bytes:
    """Some bits, bytes or pieces changed."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        if len(changed) < 9:
            break
        place, kind = rng.randrange(len(changed) - 1), rng.randrange(10 if is_text else 8)
        if kind == 0:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            changed[place : place + 4] = rng.choice(NUMBERS)
        elif kind == 3:
            del changed[place : place + rng.randrange(1, 20)]
        elif kind == 4:
            changed[place:place] = changed[: rng.randrange(1, 40)]
        elif kind == 5:
            changed = changed[: max(8, place)]
        elif kind in (6, 7):
            start = rng.randrange(len(changed) - 1)
            piece = changed[start : start + rng.randrange(1, 64)]
            changed[place : place + len(piece) * (kind == 6)] = piece
        else:
            changed[place : place + rng.randrange(12)] = rng.choice(TOKENS)
    return bytes(changed)


def resealed(data: bytes) -> bytes:
    """A PNG with the checksums of what it has."""
    parts = [data[:8]]
    for _, one in chunks(data):
        parts.append(one[:-4] + struct.pack(">I", zlib.crc32(one[4:-4])))
    return b"".join(parts)


def attempt(name: str, seed: Seed, number: int, folder: Path) -> str:
    """Read a file with one change, and return what came of it. AssertionError names what can be tried again.

    Every eighth change of a picture is of what does not matter, and nothing may come of it. Every other one
    of a PNG has sound checksums; all others must be found.
    """
    rng = random.Random(f"{name} {number}")
    idle = number % 8 == 7 and IDLE in seed.data and seed.kind == "picture"
    sealed = number % 2 == 1 and seed.data.startswith(b"\x89PNG") and not idle
    if idle:
        start = seed.data.index(IDLE) + 1
        changed = bytearray(seed.data)
        for _ in range(rng.randrange(1, 9)):
            changed[start + rng.randrange(len(IDLE) - 2)] = rng.randrange(1, 256)
        data = bytes(changed)
    else:
        data = mutated(seed.data, rng, is_text=seed.kind == "text")
        data = resealed(data) if sealed else data
    fault, outcome = "", "read"
    try:
        result = seed.read(data, folder / name)
        if isinstance(result, Picture) and (
            idle or data == seed.data or (data.startswith(b"\x89PNG") and not sealed)
        ):
            right = any(same(result, one) for one in sound_pictures(seed.data))
            fault = "" if right else "accepted, with other pixels"
    except TexsynthError as error:
        outcome = type(error).__name__
        if idle or "\n" in str(error).strip():
            fault = f"refused for what does not matter, or in more than a line: {error}"
    except Exception as error:
        raise AssertionError(f"{name}, change {number}: {type(error).__name__}: {error}") from error
    assert not fault, f"{name}, change {number}: {fault}"
    return outcome
