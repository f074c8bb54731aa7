"""Small pictures of a finished job: what went in and what came out, at one scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from texsynth import images
from texsynth.batch.plan import Job
from texsynth.errors import InputError
from texsynth.settings import RunSettings

SIDES_PX = ((200, 640), (2000, 320))
"""Up to so many jobs -> longer side of a small picture: a browser must hold the page."""

LEAST_SIDE_PX = 160


@dataclass(frozen=True)
class Small:
    """A reduced picture. width, height: of it, in pixels."""

    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Pair:
    """Output and, where it can be shown, content. width, height: of the output's file, in pixels."""

    output: Small
    content: Small | None
    width: int
    height: int


def side_px(jobs: int) -> int:
    """Longest side of small pictures on a page with so many jobs."""
    return next((side for most, side in SIDES_PX if jobs <= most), LEAST_SIDE_PX)


class Pictures:
    """The small pictures of a run, job by job."""

    def __init__(self, run: RunSettings, side: int) -> None:
        """side: the longest of an output, in pixels."""
        self._run, self._side = run, side
        # The variations of a picture come one after the other.
        self._content = lru_cache(maxsize=1)(self._small_content)

    def of(self, job: Job) -> Pair | None:
        """The pictures of `job`, None without an output to show.

        The content keeps its scale to the output, unless it would not fit into its frame.
        """
        output = None if job.to_pipe else _read(job.output, self._run.max_pixels)
        if output is None:
            return None
        width, height = output.width, output.height
        scale = min(1.0, self._side / max(width, height))
        small = Small(*images.jpeg_thumbnail(output, scale))
        # Two large pictures need not be in memory together.
        del output
        piped = job.picture.piped is not None
        return Pair(small, None if piped else self._content(job.picture.path, width, height), width, height)

    def _small_content(self, path: Path, width: int, height: int) -> Small | None:
        """The content of an output of this size."""
        content = _read(path, self._run.max_pixels, self._run.frame)
        if content is None:
            return None
        fit = min(1.0, width / content.width, height / content.height)
        return Small(*images.jpeg_thumbnail(content, fit * min(1.0, self._side / max(width, height))))


def _read(path: Path, max_pixels: int, frame: int | None = None) -> images.Picture | None:
    """The picture; None when it is gone or cannot be read, which must not cost a run its report."""
    try:
        return images.read(path, max_pixels=max_pixels, frame=frame)
    except (InputError, MemoryError):
        return None
