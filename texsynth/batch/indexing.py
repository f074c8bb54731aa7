"""Bring the index of a library up to date: only files that are new or have changed are described."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from torch import Tensor

from texsynth.batch.describing import describing
from texsynth.batch.executors import Stages
from texsynth.batch.library import ELSEWHERE, Found, Library
from texsynth.batch.library_index import (
    CURE,
    Entry,
    Index,
    Origin,
    Unreadable,
    check_replaceable,
    read_index,
    write_index,
)
from texsynth.batch.plan import Input, Job
from texsynth.batch.run import Failed, J, Outcome, Report
from texsynth.errors import InputError, OutputError
from texsynth.pipelines.describing import Describer
from texsynth.settings import RunSettings

SAVE_EVERY = 200
"""Pictures after which an unfinished index is written, so that a killed run goes on near where it was."""

Do = Callable[[Sequence[J], Stages[J], Callable[[Outcome], None]], Report]
"""Does jobs in stages, and tells of every outcome."""

FIRST_FRAME = {"frame": 0}
"""Animated pictures of a library are known by their first frame."""


@dataclass(frozen=True)
class Pending(Job):
    """A file to describe; its output is the index."""

    found: Found


@dataclass(frozen=True)
class Survey:
    """What of an index still holds. index: as it was, maybe empty; rows: those to keep."""

    library: Library
    index: Index
    rows: tuple[int, ...]
    unreadable: tuple[Unreadable, ...]
    """Files that need not be tried again."""
    todo: tuple[Pending, ...]
    max_pixels: int

    @property
    def is_new(self) -> bool:
        """Whether the index has to be written."""
        return bool(self.todo) or self.gone > 0 or self.unreadable != self.index.unreadable

    @property
    def gone(self) -> int:
        """How many described files are no longer there, or no longer the same."""
        return len(self.index.entries) - len(self.rows)


def survey(library: Library, origin: Origin, max_pixels: int, *, rebuild: bool) -> Survey:
    """Compare the library with its index. rebuild: take nothing over.

    Raises InputError for an index that is damaged, foreign, or of other weights.
    """
    index = _known(library, origin, rebuild=rebuild)
    now = {found.key: found for found in library.files}
    rows = tuple(
        row
        for row, entry in enumerate(index.entries)
        if (found := now.get(entry.key)) and entry == Entry(found.key, found.bytes, found.mtime_ns)
    )
    unreadable = tuple(
        known
        for known in index.unreadable
        if (found := now.get(known.key))
        and known[:3] == (found.key, found.bytes, found.ctime_ns)
        # Another limit might let it in.
        and index.max_pixels == max_pixels
    )
    settled = {index.entries[row].key for row in rows} | {known.key for known in unreadable}
    todo = tuple(
        Pending(Input(library.path(found.key), found.key), library.index, found)
        for found in library.files
        if found.key not in settled
    )
    return Survey(library, index, rows, unreadable, todo, max_pixels)


def _known(library: Library, origin: Origin, *, rebuild: bool) -> Index:
    path = library.index
    if not path.exists():
        return Index(origin)
    if rebuild:
        check_replaceable(path)
        return Index(origin)
    index = read_index(path, origin)
    keys = {found.key for found in library.files}
    if library.elsewhere and index.entries and not any(entry.key in keys for entry in index.entries):
        raise InputError(
            f"{path} is the index of another library than {library.folder}; name another file with --index, "
            f"or {CURE}"
        )
    return index


def brought_up_to_date(
    known: Survey, describer: Callable[[], Describer], run: RunSettings, do: Do[Pending]
) -> tuple[Index, Report]:
    """Describe what is to do and write the index, on Ctrl-C with what there is by then.

    describer: called when there is something to describe. do: does the jobs. Raises OutputError, ModelError.
    """
    fresh: list[tuple[Entry, Tensor]] = []
    unreadable = list(known.unreadable)

    def keep(job: Pending, descriptors: Tensor) -> None:
        found = job.found
        fresh.append((Entry(found.key, found.bytes, found.mtime_ns), descriptors))

    def current() -> Index:
        return known.index.updated(known.rows, list(fresh), unreadable, known.max_pixels)

    numbers = count(1)

    def ended(outcome: Outcome) -> None:
        job = outcome.job
        # Other reasons, like too little memory, are not the file's own.
        if isinstance(outcome, Failed) and isinstance(outcome.error, InputError):
            assert isinstance(job, Pending)
            found = job.found
            unreadable.append(Unreadable(found.key, found.bytes, found.ctime_ns, str(outcome.error)))
        if next(numbers) % SAVE_EVERY == 0:
            _write(current(), known.library)

    if not known.is_new:
        return known.index, Report(0)
    known.library.check_writable()
    if known.todo:
        # Without networks every picture would fail for a reason that is not its own.
        describer()
    report = do(known.todo, describing(describer, run.model_copy(update=FIRST_FRAME), keep), ended)
    index = current()
    _write(index, known.library)
    return index, report


def _write(index: Index, library: Library) -> None:
    try:
        write_index(index, library.index)
    except OutputError as error:
        raise OutputError(f"{error}; {ELSEWHERE}") from error
