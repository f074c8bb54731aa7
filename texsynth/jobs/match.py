"""What a library has that looks like a picture."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, OutputError
from texsynth.images import file_sha256
from texsynth.jobs.checks import check_writable
from texsynth.jobs.describe import DTYPE, DescribeForIndex, ReducedImage, of_kind, read_reduced
from texsynth.jobs.files import JobResult, memory_guard
from texsynth.jobs.inputs import Input, Job
from texsynth.jobs.library import Kind, Library, LibraryFile, SearchQuery
from texsynth.jobs.library_index import Entry, Index, Origin, Unreadable, known_index, write_index
from texsynth.jobs.operation import Operation, resolve_run
from texsynth.jobs.outcomes import Done, Failed, Outcome
from texsynth.models.descriptor import load_descriptor
from texsynth.pipelines.describe import LONGEST, load_describer, nearest
from texsynth.pipelines.progress import OnStep


@dataclass(frozen=True)
class Match:
    """A picture of a library. rank: from 1, the most similar. similarity: cosine, -1 to 1."""

    path: Path
    key: str  # Its path relative to the library
    rank: int
    similarity: float


SAVE_EVERY = 200
"""Pictures after which an unfinished index is written, so that a killed run goes on near where it was."""


@dataclass(frozen=True)
class Pending(Job):
    """A file to describe; its output is the index."""

    file: LibraryFile


class IndexedLibrary:
    """A library and its index, which is brought up to date: `operation` does the `jobs` that this takes.

    `add` takes each outcome, and `finish` comes after all of them.
    """

    def __init__(self, library: Library, run: RunSettings, kind: Kind, *, rebuild: bool = False) -> None:
        """Compare a library with its index.

        run: says on what to compute, and how large pictures may be. kind: of the descriptors that are needed;
        all of them would take five times as long. rebuild: describe all pictures again. Raises InputError as
        `known_index` does, OutputError, ModelError.
        """
        self.library = library
        self.run, device, dtype = resolve_run(run.model_copy(update={"dtype": DTYPE}))
        descriptor = load_descriptor(device=device)
        # Networks are loaded when they are needed.
        self.describer = cache(lambda: load_describer(device, dtype, descriptor))
        origin = Origin(descriptor.sha256, descriptor.model, descriptor.model_sha256, LONGEST)
        self.index = self._old = old = known_index(library, origin, rebuild=rebuild)
        now = {file.key: file for file in library.files}
        self._same = {
            entry.key: row for row, entry in enumerate(old.entries) if entry == now.get(entry.key, ())[:3]
        }
        """Rows of the old index that still hold."""
        has = old.has(kind)
        self.known = [row for row in self._same.values() if has[row]]
        """Those with a descriptor of the kind."""
        self.gone = len(old.entries) - len(self._same)
        """The number of described files that are no longer there, or no longer the same."""
        self.left_out = tuple(
            one
            for one in old.unreadable
            if (file := now.get(one.key))
            and one[:3] == (file.key, file.bytes, file.ctime_ns)
            # Another limit might let it in.
            and old.max_pixels == run.max_pixels
        )
        """Files that could not be read before, and are not tried again."""
        settled = {old.entries[row].key for row in self.known} | {one.key for one in self.left_out}
        self.jobs = [
            Pending(Input(library.folder / file.key, file.key), library.index, file)
            for file in library.files
            if file.key not in settled
        ]
        # Animated pictures of a library are known by their first frame.
        self.operation = DescribeForIndex[Pending](run.model_copy(update={"frame": 0}), self.describer, kind)
        self._fresh: list[tuple[Entry, Tensor]] = []
        self._unreadable = list(self.left_out)
        self._counts = count(1)
        self._is_new = bool(self.jobs or self.gone or self.left_out != old.unreadable)
        if self._is_new:
            with _suggesting_elsewhere():
                check_writable(library.index, force=True)
        if self.jobs:
            # Without networks every picture would fail for a reason that is not its own.
            self.describer()

    def add(self, outcome: Outcome) -> None:
        """Take the outcome of a job, and write the index now and then. Raises OutputError."""
        assert isinstance(outcome.job, Pending)
        file = outcome.job.file
        if isinstance(outcome, Done):
            value = outcome.written.value.half()
            if file.key in self._same:
                before = self._old.descriptors[self._same.pop(file.key)]
                value = torch.where(value.any(1, keepdim=True), value, before)
            self._fresh.append((Entry(*file[:3]), value))
        # Other reasons, like too little memory, are not the file's own.
        elif isinstance(outcome, Failed) and isinstance(outcome.error, InputError):
            self._unreadable.append(Unreadable(file.key, file.bytes, file.ctime_ns, str(outcome.error)))
        if next(self._counts) % SAVE_EVERY == 0:
            self._write()

    def finish(self, *, interrupted: bool) -> None:
        """Write the index if anything has changed.

        Raises OutputError, and InputError when no picture can be read, unless the jobs were `interrupted`.
        """
        if self._is_new:
            self._write()
        if not self.index.entries and not interrupted:
            raise InputError(
                f"none of the pictures in the library {self.library.folder} can be read, "
                f"{len(self.library.files)} in all"
            )

    def _write(self) -> None:
        old = self._old
        parts = [*((old.entries[row], old.descriptors[row]) for row in self._same.values()), *self._fresh]
        parts.sort(key=lambda part: part[0].key)
        entries = tuple(entry for entry, _ in parts)
        descriptors = torch.stack([part for _, part in parts]) if parts else old.descriptors[:0]
        unreadable = tuple(sorted(self._unreadable))
        self.index = Index(old.origin, entries, descriptors, unreadable, self.run.max_pixels)
        with _suggesting_elsewhere():
            write_index(self.index, self.library.index)

    def copies(self, item: Input) -> list[int]:
        """Rows of `item` itself and of files with the same bytes. Raises InputError."""
        data, rows = item.read(), []
        digest = hashlib.sha256(data).hexdigest()
        for row, entry in enumerate(self.index.entries):
            path = self.library.folder / entry.key
            # A file that was removed a moment ago is no copy.
            with suppress(OSError, ValueError, InputError):
                if entry.bytes == len(data) and (
                    (item.is_file and os.path.samefile(path, item.path)) or file_sha256(path) == digest
                ):
                    rows.append(row)
        return rows

    def matches(self, item: Input, descriptor: Tensor, copies: list[int], query: SearchQuery) -> list[Match]:
        """Return the pictures most like `item`, best first.

        descriptor: (size,), that of `item`, of the kind of the query. copies: its rows. Raises InputError
        when there is no other picture.
        """
        without = () if query.itself else copies
        similar = nearest(descriptor, self.index.of(query.kind), query.count, without=without)
        if not similar:
            raise InputError(f"the library {self.library.folder} has no other picture than {item}; add some")
        keys = [(self.index.entries[row].key, similarity) for row, similarity in similar]
        return [Match(self.library.folder / key, key, rank, s) for rank, (key, s) in enumerate(keys, 1)]


@contextmanager
def _suggesting_elsewhere() -> Iterator[None]:
    """Let an OutputError end with the option that names another place."""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{error}; name another place for the index with --index FILE") from error


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
            return copies, self._library.index.of(self._query.kind)[copies[0]]
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
