"""What a library has that looks like a picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from texsynth.config.settings import RunSettings
from texsynth.errors import InputError
from texsynth.images import file_sha256
from texsynth.jobs.describe import AS_IS, Kind, Read, of_kind, read_small
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.library import Index, Library
from texsynth.jobs.operation import memory_guard
from texsynth.jobs.outcomes import Stages, Written
from texsynth.pipelines.describe import Describer, nearest


@dataclass(frozen=True)
class Match:
    """A picture of a library. rank: from 1, the most similar. similarity: cosine, -1 to 1."""

    path: Path
    key: str
    """Its path relative to the library."""
    rank: int
    similarity: float


@dataclass(frozen=True)
class Wish:
    """What is looked for. itself: also the query."""

    count: int
    kind: Kind = AS_IS
    itself: bool = False


@dataclass(frozen=True)
class Catalogue:
    """A library and its index, which is up to date."""

    library: Library
    index: Index

    def copies(self, item: Input) -> list[int]:
        """Rows of `item` itself and of files with the same bytes. Raises InputError."""
        if item.piped is not None:
            size = len(item.piped)
        else:
            try:
                size = item.path.stat().st_size
            except OSError:
                item.read()  # says what is wrong
                raise
        rows = [row for row, entry in enumerate(self.index.entries) if entry.bytes == size]
        digest = file_sha256(item.source) if rows else ""
        return [row for row in rows if self._is(row, item, digest)]

    def _is(self, row: int, item: Input, digest: str) -> bool:
        path = self.library.path(self.index.entries[row].key)
        # A file that was removed a moment ago is no copy.
        with suppress(OSError, InputError):
            return (item.piped is None and os.path.samefile(path, item.path)) or file_sha256(path) == digest
        return False

    def matches(self, item: Input, query: Tensor, copies: list[int], wish: Wish) -> list[Match]:
        """The pictures most like `item`, best first.

        query: (size,), its descriptor of the kind that is wished. copies: its rows. Raises InputError when
        there is no other picture.
        """
        entries = self.index.entries
        found = nearest(
            query,
            self.index.of(wish.kind),
            wish.count,
            without=() if wish.itself else copies,
        )
        if not found:
            raise InputError(f"the library {self.library.folder} has no other picture than {item}; add some")
        return [
            Match(self.library.path(entries[row].key), entries[row].key, rank, similarity)
            for rank, (row, similarity) in enumerate(found, 1)
        ]


def looking(
    catalogue: Catalogue,
    describer: Callable[[], Describer],
    run: RunSettings,
    wish: Wish,
    keep: Callable[[Job, list[Match]], None],
) -> Stages[Job]:
    """How queries are answered. keep: gets the matches of every one, at least one."""

    def load(job: Job) -> tuple[list[int], Read | Tensor]:
        copies = catalogue.copies(job.picture)
        # The library knows the first frame of animated pictures.
        if copies and not run.frame:
            return copies, catalogue.index.of(wish.kind)[copies[0]]
        return copies, read_small(job.picture, run)

    def make(job: Job, loaded: tuple[list[int], Read | Tensor], _: object) -> list[Match]:
        copies, found = loaded
        if isinstance(found, Read):
            with memory_guard(job.picture, "use a smaller picture"):
                found = of_kind(found, describer(), wish.kind)
        return catalogue.matches(job.picture, found, copies, wish)

    def write(job: Job, matches: list[Match]) -> Written:
        keep(job, matches)
        return Written(0, 0)

    return Stages(load, make, write)
