"""Names of files from requests, made harmless."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST = 80  # Bytes of a name's stem; results join two

LONGEST_SUFFIX = 9

EDGES = " .-'"  # Not at the ends of a stem: hidden files, options, and what is easily overlooked

SIGNS = frozenset("_.,+()' -\u200c\u200d🏻🏼🏽🏾🏿")
"""Signs that stay: neither a folder, a pattern nor a weight to a shell or to the command, nor hidden."""

KINDS = ("Mn", "Mc", "Me", "So")
"""Kinds of signs that stay, too: marks of letters, without which many languages cannot be read, and 🎨."""

RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def plain_name(name: str) -> str:
    """Return the last part of `name` as the name of a plain file: letters, digits and a few signs."""
    last = re.split(r"[/\\]", name)[-1]
    text = re.sub("\0+", "_", "".join(sign if _is_plain(sign) else "\0" for sign in last)).strip()
    stem, dot, ending = text.rpartition(".")
    if not (dot and ending.isalnum() and len(ending) <= LONGEST_SUFFIX):
        stem, dot, ending = text, "", ""
    stem = stem.strip(EDGES).encode()[:LONGEST].decode(errors="ignore").strip(EDGES) or "picture"
    return f"{'_' * bool(RESERVED.fullmatch(stem))}{stem}{dot}{ending}"


def _is_plain(sign: str) -> bool:
    return sign.isalnum() or sign in SIGNS or unicodedata.category(sign) in KINDS


def apart(names: Iterable[str]) -> list[str]:
    """Return `names` with a number where a name was there already, in any case of letters."""
    taken: set[str] = set()
    result = []
    for name in names:
        path, number, new = PurePosixPath(name), 1, name
        while new.casefold() in taken:
            number += 1
            new = f"{path.stem}-{number}{path.suffix}"
        taken.add(new.casefold())
        result.append(new)
    return result
