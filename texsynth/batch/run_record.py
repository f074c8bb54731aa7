"""The settings inside the outputs of a run, each block of them once however many outputs share it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from texsynth import images
from texsynth.errors import InputError

OWN = frozenset(
    {
        "command", "content", "content_labels", "exemplars", "guide", "guide_of", "hole", "index", "key",
        "mask", "part", "siblings", "style", "styles", "weights",
    }
)  # fmt: skip
"""Keys of a record that say which files an output was made from; all others are settings."""

_ENTRY = re.compile(r"^(?=\w+:)", re.MULTILINE)
"""Where a key of the outermost level begins."""


class Blocks:
    """Settings in the order in which they were first seen, numbered from 1."""

    def __init__(self) -> None:
        """None yet."""
        self._uses: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}

    def number(self, block: str) -> int:
        """Of `block`, which is used once more."""
        self._uses[block] += 1
        return self._numbers.setdefault(block, len(self._numbers) + 1)

    def __len__(self) -> int:
        """How many differ."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[int, str, int]]:
        """Number, text, and how often it was used."""
        return ((number, block, self._uses[block]) for block, number in self._numbers.items())


def divided(text: str) -> tuple[str, str]:
    """The settings that an output carries as its own part, what it was made from, and the part to share.

    Taken apart as text: reading YAML would take longer than making the small pictures.
    """
    own: list[str] = []
    shared: list[str] = []
    for entry in _ENTRY.split(text):
        (own if entry.partition(":")[0] in OWN else shared).append(entry)
    return "".join(own), "".join(shared)


def settings_of(path: Path) -> str:
    """What `images.embedded_settings` finds, or nothing."""
    try:
        return images.embedded_settings(path)
    except (InputError, OSError):
        return ""
