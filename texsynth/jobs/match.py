"""What a library has that looks like a picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import Tensor

from texsynth.config.settings import RunSettings
from texsynth.errors import InputError
from texsynth.images import file_sha256
from texsynth.jobs.describe import AS_IS, DTYPE, Kind, ReducedImage, of_kind, read_reduced
from texsynth.jobs.files import JobResult, memory_guard
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.library import Library
from texsynth.jobs.library_index import IndexUpdate, Origin, RunOperation, update_index
from texsynth.jobs.operation import Operation, resolve_run
from texsynth.models.descriptor import load_descriptor
from texsynth.pipelines.describe import LONGEST, Describer, load_describer, nearest
from texsynth.pipelines.progress import OnStep


@dataclass(frozen=True)
class Match:
    """A picture of a library. rank: from 1, the most similar. similarity: cosine, -1 to 1."""

    path: Path
    key: str
    """Its path relative to the library."""
    rank: int
    similarity: float


@dataclass(frozen=True)
class SearchQuery:
    """A search for similar pictures. itself: also the picture itself and its copies."""

    count: int
    kind: Kind = AS_IS
    itself: bool = False


@dataclass(frozen=True)
class IndexedLibrary:
    """A library and its index, brought up to date for the settings `run`."""

    library: Library
    update: IndexUpdate
    run: RunSettings
    describer: Callable[[], Describer]
    """Describes further pictures; networks are loaded when that is needed."""

    def copies(self, item: Input) -> list[int]:
        """Rows of `item` itself and of files with the same bytes. Raises InputError."""
        if not item.is_file:
            size = len(item.read())
        else:
            try:
                size = item.path.stat().st_size
            except OSError:
                item.read()  # says what is wrong
                raise
        rows = [row for row, entry in enumerate(self.update.index.entries) if entry.bytes == size]
        digest = file_sha256(item.source) if rows else ""
        return [row for row in rows if self._is(row, item, digest)]

    def _is(self, row: int, item: Input, digest: str) -> bool:
        path = self.library.path(self.update.index.entries[row].key)
        # A file that was removed a moment ago is no copy.
        with suppress(OSError, InputError):
            return (item.is_file and os.path.samefile(path, item.path)) or file_sha256(path) == digest
        return False

    def matches(self, item: Input, descriptor: Tensor, copies: list[int], query: SearchQuery) -> list[Match]:
        """Return the pictures most like `item`, best first.

        descriptor: (size,), that of `item`, of the kind of the query. copies: its rows. Raises InputError
        when there is no other picture.
        """
        index = self.update.index
        without = () if query.itself else copies
        similar = nearest(descriptor, index.of(query.kind), query.count, without=without)
        if not similar:
            raise InputError(f"the library {self.library.folder} has no other picture than {item}; add some")
        return [
            Match(self.library.path(index.entries[row].key), index.entries[row].key, rank, similarity)
            for rank, (row, similarity) in enumerate(similar, 1)
        ]


def open_index(
    library: Library, run: RunSettings, run_operation: RunOperation, *, rebuild: bool = False
) -> IndexedLibrary:
    """Bring the index of `library` up to date.

    run: says on what to compute, and how large pictures may be. rebuild: describe all pictures again. Raises
    InputError when none of them can be read, also OutputError, ModelError.
    """
    run, device, dtype = resolve_run(run.model_copy(update={"dtype": DTYPE}))
    descriptor = load_descriptor(device=device)
    origin = Origin(descriptor.sha256, descriptor.model, descriptor.model_sha256, LONGEST)
    describer = cache(lambda: load_describer(device, dtype, descriptor))
    update = update_index(library, origin, describer, run, run_operation, rebuild=rebuild)
    if not update.index.entries and not update.report.interrupted:
        count = len(library.files)
        raise InputError(f"none of the pictures in the library {library.folder} can be read, {count} in all")
    return IndexedLibrary(library, update, run, describer)


class FindMatches(Operation[Job]):
    """Answers queries; the value of a job is its list of matches, at least one."""

    def __init__(self, query: SearchQuery, library: IndexedLibrary) -> None:
        """library: its settings `run` are those that queries are read with, too."""
        self.run, self._query, self._library = library.run, query, library

    def load(self, job: Job) -> tuple[list[int], ReducedImage | Tensor]:
        """Return the rows of the library that are the query itself, and its descriptor or its picture."""
        copies = self._library.copies(job.picture)
        # The library knows the first frame of animated pictures.
        if copies and not self.run.frame:
            return copies, self._library.update.index.of(self._query.kind)[copies[0]]
        return copies, read_reduced(job.picture, self.run)

    def compute(
        self, job: Job, loaded: tuple[list[int], ReducedImage | Tensor], on_step: OnStep
    ) -> JobResult:
        """Find the pictures most like the query."""
        del on_step
        copies, known = loaded
        if isinstance(known, ReducedImage):
            with memory_guard(job.picture, "use a smaller picture"):
                known = of_kind(known, self._library.describer(), self._query.kind)
        return JobResult(value=self._library.matches(job.picture, known, copies, self._query))
