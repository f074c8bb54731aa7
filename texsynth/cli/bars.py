"""Bars on a terminal: one for the picture in work, and one for all pictures of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as rich_progress
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from texsynth.cli.pace import Bar, Pace
from texsynth.cli.printing import printable
from texsynth.errors import check_room_for_threads
from texsynth.pipelines.progress import Step

NARROW = 64  # Columns below which the time that is over is left out
WIDE = 24  # Columns of a bar, at most
SLIM = 8  # At least
TIMES, LEFT = 8, 11  # Columns of the time that is over, and of what is said of the rest
LEAST_NAME = 12  # Columns of a name that are worth more than the stage after it

HOUR, DAY = 3600, 86400  # Seconds


@contextmanager
def shown(total: int, unit: str, *, steps: bool) -> Iterator[Bars]:
    """Show bars over `total` pictures, or what `unit` says, until the block ends. steps: as in Bars."""
    console = Console(stderr=True)
    check_room_for_threads(1)  # It is drawn by another thread
    # Results in a pipe must not be caught by the bar, which draws on standard error.
    with rich_progress.Progress(
        _Line(console), console=console, transient=True, redirect_stdout=sys.stdout.isatty()
    ) as live:
        yield Bars(live, total, unit, steps=steps, ascii_only=console.options.ascii_only)


class Bars(Bar):
    """Progress over pictures and, within one, over its stages."""

    def __init__(
        self, live: rich_progress.Progress, total: int, unit: str, *, steps: bool, ascii_only: bool
    ) -> None:
        """Begin with none done. steps: pictures are in work one at a time and tell their steps.

        ascii_only: the terminal has no other letters.
        """
        self._live, self._total = live, total
        self._done, self._rest, self._dots = "#-~" if ascii_only else "\u2501\u2501\u2026"
        self._pace, self._stage = Pace(total, single=steps), ""
        self._many = total > 1 or not steps
        self._run = live.add_task(unit, total=1.0, visible=self._many, bars=self, of_run=True)
        self._picture = live.add_task("preparing", total=None, bars=self, of_run=False)

    def picture(self, name: str) -> None:
        """Begin a new picture."""
        self._live.reset(self._picture, total=1.0, visible=self._pace.single)
        self.rename(name)
        self._pace.begin()

    def rename(self, name: str) -> None:
        """Call the picture in work otherwise."""
        self._stage = ""
        self._draw(printable(name))

    def step(self, step: Step) -> None:
        """Show a part of a picture as done."""
        if self._pace.is_preparing:
            self.picture("")
        self._pace.step(step.stage, step.share)
        self._stage = step.stage
        self._draw(None)

    def advance(self, *, worked: bool = True) -> None:
        """Count a picture as finished. worked: work on it had begun."""
        self._pace.end(worked=worked)
        self._draw(None)

    def line(self, task: rich_progress.Task, columns: int) -> Text:
        """Return what the row of a task says besides its bar, for so many `columns`."""
        of_run = bool(task.fields["of_run"])
        if self._pace.is_preparing:
            return Text(self._label(task, of_run, columns))
        elapsed, left = self._pace.run_times() if of_run else self._pace.times()
        share = self._pace.run_share if of_run else self._pace.share
        tail = f"{100 * share:4.0f}%"
        if columns >= NARROW:
            tail += f"{duration(elapsed):>{TIMES}}"
        tail += f"  {'' if left is None or share >= 1 else f'left {duration(left)}':<{LEFT}}"
        bar = max(SLIM, min(WIDE, columns // 4))
        room = columns - bar - 1 - cell_len(tail)
        full = round(bar * share)
        text = Text(set_cell_size(self._label(task, of_run, room - 1), max(room, 0)), no_wrap=True)
        text.append(self._done * full, "bar.complete").append(self._rest * (bar - full), "bar.back")
        return text.append(tail)

    def _label(self, task: rich_progress.Task, of_run: bool, columns: int) -> str:
        if of_run:
            return shortened(f"{task.description} {self._pace.done}/{self._total}", columns, self._dots)
        name, stage = task.description, f": {self._stage}" if self._stage else ""
        if columns - cell_len(stage) < min(LEAST_NAME, cell_len(name)):
            stage = ""
        return shortened(name, columns - cell_len(stage), self._dots) + stage

    def _draw(self, description: str | None) -> None:
        if description is not None:
            self._live.update(self._picture, description=description)
        self._live.update(self._picture, completed=self._pace.share)
        self._live.update(self._run, completed=self._pace.run_share)


class _Line(rich_progress.ProgressColumn):
    """A whole row: all its parts know how wide the terminal is."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: rich_progress.Task) -> Text:
        """Draw it anew."""
        bars: Bars = task.fields["bars"]
        return bars.line(task, self._console.width - 1)


def shortened(text: str, columns: int, dots: str = "\u2026") -> str:
    """Return `text` in at most so many `columns`, with `dots` for its middle where it is longer."""
    if cell_len(text) <= columns:
        return text
    room = columns - len(dots)
    if room < 2:
        return set_cell_size(text, max(columns, 0))
    head = set_cell_size(text, room // 2)
    # The end of a name tells files of a series apart.
    tail = set_cell_size(text[::-1], room - room // 2)[::-1]
    return f"{head.rstrip()}{dots}{tail.lstrip()}"


def duration(seconds: float) -> str:
    """Write a time, like 0:07, 1:02:03 or 4 d 7 h."""
    whole = round(seconds)
    if whole >= DAY:
        return f"{min(whole // DAY, 999)} d {whole % DAY // HOUR} h"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
