"""Descriptions of textures, and the search for those that look alike, from Python."""

import os
from contextlib import closing

import torch

from texsynth.api_options import ImageLike, Options, PathLike, run_settings
from texsynth.api_pictures import UserPicture, do_job, log, prepare
from texsynth.config.settings import RunSettings
from texsynth.interrupts import Interrupts
from texsynth.jobs.describe import Describe, TextureDescription
from texsynth.jobs.files import OutputPolicy
from texsynth.jobs.inputs import InputJob
from texsynth.jobs.library import Kind as Comparison
from texsynth.jobs.library import SearchQuery, open_library
from texsynth.jobs.match import FindMatches, IndexedLibrary, Match
from texsynth.jobs.outcomes import Events, collect
from texsynth.jobs.runner import SerialExecutor


def describe(
    image: ImageLike, *, device: str | torch.device = "auto", threads: int | None = None
) -> TextureDescription:
    """Say what a texture is like: regularity, lattice, orientations, contrast, colours, and its descriptor.

    Returns a TextureDescription; its `fields` are those of `texsynth describe --json`. Raises InputError.

    >>> import numpy as np, texsynth
    >>> stripes = np.tile(np.repeat([0.2, 0.8], 8), (96, 6))
    >>> texsynth.describe(stripes).width
    96
    """
    operation = Describe(_run(device, threads))
    prepare(operation)
    result = do_job(operation, InputJob(UserPicture.of(image, "image").input), None)
    assert isinstance(result.value, TextureDescription)
    return result.value


def match(
    query: ImageLike,
    library: PathLike,
    *,
    count: int = 5,
    compare: Comparison = "as-is",
    include_self: bool = False,
    index: PathLike | None = None,
    rebuild: bool = False,
    device: str | torch.device = "auto",
    threads: int | None = None,
) -> list[Match]:
    """Find the pictures below the folder `library` that look most like `query`.

    The folder is indexed first; after that only new and changed pictures are looked at. compare: as-is,
    any-turn (by quarters), or upright (by any angle). include_self: also the query itself. index: the file of
    the index, by default in the library. rebuild: describe all pictures again.

    Returns `count` or fewer matches, best first, each with path, key, rank and similarity (cosine, -1 to 1).
    Raises InputError, UsageError, OutputError, ModelError.
    """
    run = _run(device, threads)
    folder = open_library(os.fspath(library), None if index is None else os.fspath(index))

    indexed = IndexedLibrary(folder, run, compare, rebuild=rebuild)
    with Interrupts() as interrupts:
        events = Events(note=log.warning, interruptible=interrupts.allowed, check=interrupts.check)
        with closing(
            SerialExecutor(indexed.operation, OutputPolicy()).outcomes(indexed.jobs, events)
        ) as outcomes:
            report = collect(outcomes, len(indexed.jobs), on_outcome=indexed.add)
    indexed.finish(interrupted=report.interrupted)
    if report.interrupted:
        raise KeyboardInterrupt
    operation = FindMatches(SearchQuery(count, compare, include_self), indexed)
    matches: list[Match] = do_job(operation, InputJob(UserPicture.of(query, "query").input), None).value
    return matches


def _run(device: str | torch.device, threads: int | None) -> RunSettings:
    options: Options = {"device": device}
    return run_settings(options if threads is None else {**options, "threads": threads})
