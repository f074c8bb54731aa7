"""The page of a run: one HTML file that shows every result beside its content and loads nothing."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from texsynth import images
from texsynth.config.settings import RunSettings
from texsynth.errors import InputError, UsageError
from texsynth.html.page import render
from texsynth.images.files import taken
from texsynth.jobs.expand_inputs import ExpandJob
from texsynth.jobs.files import make_folder
from texsynth.jobs.inputs import PIPE, Job
from texsynth.jobs.outcomes import BUG, Done, Failed, Outcome, Report
from texsynth.paths import is_folder, is_taken, real

KIND = "run"

STATES = ("done", "skipped", "failed")


def check_report(path: Path, jobs: Sequence[Job], *, force: bool, resume: bool) -> None:
    """UsageError when `path` cannot be a page beside the results of `jobs`, OutputError when it exists.

    resume: an earlier page may be there, for a run that goes on shall not be stopped by what it left.
    """
    if path.suffix.lower() != ".html":
        raise UsageError(f"--report is {str(path)!r} but must be the name of a page, like report.html")
    inside = real(path) + os.sep
    if any(real(output).startswith(inside) for job in jobs for output in job.outputs):
        raise UsageError(f"--report {path} is also the folder of results; choose another name")
    if is_taken(path) and not is_folder(path) and not force and not (resume and _is_report(path)):
        raise taken(path)


def write_report(
    report: Report,
    path: Path,
    *,
    arguments: Sequence[str],
    run: RunSettings,
    force: bool,
    on_item: Callable[[], None] = lambda: None,
) -> None:
    """Write the page of a run to `path`, one job at a time. Raises OutputError.

    arguments: of the program. on_item: called after every job.
    """
    pictures = Pictures(run, side_px(len(report.outcomes)))
    # Settings in the order in which they are first seen: their number, and how often they are used.
    blocks: dict[str, int] = {}
    uses: Counter[str] = Counter()

    def items() -> Iterator[dict[str, object]]:
        for number, outcome in enumerate(report.outcomes, 1):
            item = _item(outcome, pictures, path.parent)
            if settings := item["settings"]:
                item["block"] = blocks.setdefault(str(settings), len(blocks) + 1)
                uses[str(settings)] += 1
            yield {**item, "number": number}
            on_item()

    heading = " ".join(["texsynth", *arguments[:1]])
    counts = Counter(map(_state, report.outcomes))
    rate = counts["done"] / report.seconds if report.seconds else 0.0
    speed = {"seconds": f"{report.seconds:.1f}", "pictures per second": f"{rate:.2f}"}
    page = render(
        KIND,
        title=f"{heading}, run report",
        heading=heading,
        command=shlex.join(["texsynth", *arguments]),
        report=report,
        totals={name: str(counts[name]) for name in STATES} | speed,
        states=STATES,
        items=items(),
        blocks=blocks,
        uses=uses,
    )
    make_folder(path.parent)
    with images.placed(path, force=force) as file:
        for piece in page:
            file.write(piece.encode())


def _is_report(path: Path) -> bool:
    """Return True for the page of a run."""
    try:
        with path.open("rb") as file:
            return f'data-page="{KIND}"'.encode() in file.read(200)
    except OSError:
        return False


def _state(outcome: Outcome) -> str:
    """Return the one of STATES that a job has come to."""
    return type(outcome).__name__.lower()


def _item(outcome: Outcome, pictures: Pictures, folder: Path) -> dict[str, object]:
    """Return what the template shows of a job. folder: of the page, where links start."""
    job, failed = outcome.job, isinstance(outcome, Failed)
    has_file = not failed and not job.to_pipe
    own = shared = ""
    if has_file:
        with suppress(InputError, OSError):
            own, shared = divided(images.embedded_settings(job.output))
    pair = pictures.of(job) if has_file else None
    name, picture = _name(job.output), str(job.picture)
    paths = [job.output] if failed else [job.output, *(p for p in job.outputs if p != job.output)]
    facts = {job.role: picture, **job.facts}
    problems: list[str] = []
    if pair:
        facts["size"] = f"{pair.width} × {pair.height} px"
    if isinstance(outcome, Done):
        written = outcome.written
        problems = [f"Warning: {warning}" for warning in written.warnings]
        facts |= {"size": f"{written.width} × {written.height} px", "time": f"{outcome.seconds:.2f} s"}
    elif isinstance(outcome, Failed):
        error, is_bug = outcome.error, outcome.exit_code == BUG
        problems = [f"This is a bug in texsynth: {type(error).__name__}: {error}" if is_bug else str(error)]
    return {
        "state": _state(outcome),
        "outcome": outcome,
        "text": " ".join([name, picture, *job.facts.values(), *problems]).lower(),
        "name": name,
        "input": picture,
        "links": [(_name(path), "" if failed else _target(path, folder)) for path in paths],
        "problems": problems,
        "facts": facts,
        "inputs": own,
        "settings": shared,
        "pair": pair,
    }


def _name(path: Path) -> str:
    return "standard output" if path == PIPE else str(path)


def _target(path: Path, folder: Path) -> str:
    """The address of a file, seen from a page in `folder`; empty where it has none."""
    with suppress(ValueError):  # on another drive of Windows
        return "" if path == PIPE else quote(os.fsencode(Path(os.path.relpath(path, folder)).as_posix()))
    return ""


SIDES_PX = ((200, 640), (2000, 320))
"""Up to so many jobs -> longer side of a small picture: a browser must hold the page."""

LEAST_SIDE_PX = 160

OTHER_PX = 112  # Longest side of a small style
MOST_OTHERS = 8  # Styles and the like that are shown beside a result


def side_px(jobs: int) -> int:
    """Longest side of small pictures on a page with so many jobs."""
    return next((side for most, side in SIDES_PX if jobs <= most), LEAST_SIDE_PX)


@dataclass(frozen=True)
class Small:
    """A reduced picture of width x height pixels."""

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
    others: tuple[tuple[str, Small], ...] = ()  # Names and pictures of styles and the like
    is_seamless: bool = False

    @property
    def is_aligned(self) -> bool:
        """Whether content and output have the same size, so that one can lie over the other."""
        content = self.content
        return content is not None and (content.width, content.height) == (
            self.output.width,
            self.output.height,
        )


class Pictures:
    """The small pictures of a run, job by job."""

    def __init__(self, run: RunSettings, side: int) -> None:
        """side: the longest of an output, in pixels."""
        self._run, self._side = run, side
        # The variations of a picture come one after the other.
        self._content = lru_cache(maxsize=1)(self._small_content)
        self._other = lru_cache(maxsize=MOST_OTHERS)(self._small_other)

    def of(self, job: Job) -> Pair | None:
        """Return the pictures of `job`, None without an output to show.

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
        content = None
        if job.picture.piped is None:
            content = self._content(job.picture.path, width, height)
        others = [(item.stem, self._other(item.path)) for item in job.inputs[1:] if item.is_file]
        shown = tuple((name, picture) for name, picture in others if picture)[:MOST_OTHERS]
        return Pair(small, content, width, height, shown, _is_seamless(job))

    def _small_content(self, path: Path, width: int, height: int) -> Small | None:
        """Reduce the content of an output of this size."""
        content = _read(path, self._run.max_pixels, self._run.frame)
        if content is None:
            return None
        fit = min(1.0, width / content.width, height / content.height)
        return Small(*images.jpeg_thumbnail(content, fit * min(1.0, self._side / max(width, height))))

    def _small_other(self, path: Path) -> Small | None:
        """Reduce a style or the like; None for what is no picture, as a style card."""
        picture = _read(path, self._run.max_pixels, 0)
        if picture is None:
            return None
        return Small(*images.jpeg_thumbnail(picture, min(1.0, OTHER_PX / max(picture.width, picture.height))))


def _is_seamless(job: Job) -> bool:
    return isinstance(job, ExpandJob) and (job.task.command == "tile" or job.settings.tileable)


def _read(path: Path, max_pixels: int, frame: int | None = None) -> images.Picture | None:
    """The picture; None when it is gone or cannot be read, which must not cost a run its report."""
    try:
        return images.read(path, max_pixels=max_pixels, frame=frame)
    except (InputError, MemoryError):
        return None


OWN = frozenset(
    {
        "command", "content", "content_labels", "exemplars", "guide", "guide_of", "hole", "index", "key",
        "mask", "part", "siblings", "style", "styles", "weights",
    }
)  # fmt: skip
"""Keys of a record that say which files an output was made from; all others are settings."""

_ENTRY = re.compile(r"^(?=\w+:)", re.MULTILINE)
"""The place where a key of the outermost level begins."""


def divided(text: str) -> tuple[str, str]:
    """Divide the settings that an output carries into what it was made from, and the part to share.

    As text: reading YAML would take longer than making the small pictures.
    """
    entries = _ENTRY.split(text)
    own = [entry for entry in entries if entry.partition(":")[0] in OWN]
    return "".join(own), "".join(entry for entry in entries if entry.partition(":")[0] not in OWN)
