"""Names of files from requests, made harmless."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST = 80  # Bytes of a name's stem; results join two

ODD = re.compile(r"[^\w.,+()' -]+")
"""What would be a folder, a pattern, a weight, or hidden, to a shell or to the command."""

RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def plain_name(name: str) -> str:
    """Return the last part of `name` as the name of a plain file: letters, digits and a few signs."""
    last = re.split(r"[/\\]", name)[-1]
    text = ODD.sub("_", last).strip(" .-_'") or "picture"
    path = PurePosixPath(text)
    suffix = path.suffix if len(path.suffix) <= 10 else ""
    stem = text.removesuffix(suffix).encode()[:LONGEST].decode(errors="ignore").rstrip(" .") or "picture"
    return f"_{stem}{suffix}" if RESERVED.fullmatch(stem) else f"{stem}{suffix}"


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
