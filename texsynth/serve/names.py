"""Names of files from requests, made harmless."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST = 80  # Bytes of a name's stem; results join two

LONGEST_SUFFIX = 9

EDGES = " .-'"  # Not at the ends of a stem: hidden files, options, and what is easily overlooked

ODD = re.compile(r"[^\w.,+()' -]+")
"""What would be a folder, a pattern, a weight, or hidden, to a shell or to the command."""

RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def plain_name(name: str) -> str:
    """Return the last part of `name` as the name of a plain file: letters, digits and a few signs."""
    last = re.split(r"[/\\]", name)[-1]
    text = ODD.sub("_", last).strip()
    stem, dot, ending = text.rpartition(".")
    if not (dot and ending.isalnum() and len(ending) <= LONGEST_SUFFIX):
        stem, dot, ending = text, "", ""
    stem = stem.strip(EDGES).encode()[:LONGEST].decode(errors="ignore").strip(EDGES) or "picture"
    return f"{'_' * bool(RESERVED.fullmatch(stem))}{stem}{dot}{ending}"


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
