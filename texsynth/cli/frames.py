"""Options for frames and for the variety of grain, as they change the jobs of a command."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from texsynth.cli.options import StylizeRunOptions, TiledNetworkOptions
from texsynth.errors import UsageError
from texsynth.jobs.blend_inputs import BlendJob, StylizeJob
from texsynth.jobs.frames import WINDOW, FrameJob, as_take, check_take
from texsynth.jobs.inputs import Job

F = TypeVar("F", StylizeJob, BlendJob)
J = TypeVar("J", bound=Job)


def arranged(jobs: Sequence[F], options: StylizeRunOptions) -> list[F]:
    """Return jobs as --vary, or --sequence and --window, want them. Raises UsageError."""
    if not options.sequence:
        if options.window is not None:
            raise UsageError("--window is for frames; add --sequence or leave it out")
        return varied(jobs, options)
    if options.vary:
        raise UsageError("--sequence gives all frames the same grain, and --vary does not; leave one out")
    for job in jobs:
        check_take(job.settings)
    return as_take(jobs, options.window or WINDOW)


def varied(jobs: Sequence[J], options: TiledNetworkOptions) -> list[J]:
    """Let the path of each picture count in its seed, with --vary."""
    return [replace(job, vary=options.vary) if isinstance(job, FrameJob) else job for job in jobs]
