"""Progress for programs: lines of JSON on standard error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from texsynth.cli.pace import Bar, Pace
from texsynth.pipelines.progress import Step

INTERVAL = 0.1  # Seconds between two lines of one picture, at least

PREPARING = "preparing"  # The stage before the first picture: what reads files and loads networks


class JsonBar(Bar):
    """Progress over pictures as JSON, one object a line, for the program that has started this one."""

    def __init__(
        self,
        total: int,
        *,
        steps: bool,
        write: Callable[[str], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with none done, and say so. steps: pictures are in work one at a time and tell their steps.

        write: takes a line without its end. now: seconds of a clock that only goes forward.
        """
        self._pace, self._write, self._now = Pace(total, single=steps, now=now), write, now
        self._picture, self._stage, self._last = "", PREPARING, now()
        self._line()

    def picture(self, name: str) -> None:
        """Begin a new picture."""
        self._pace.begin()
        self._picture, self._stage = name, ""
        self._line()

    def rename(self, name: str) -> None:
        """Call the picture in work otherwise."""
        self._picture = name

    def step(self, step: Step) -> None:
        """Show a part of a picture as done."""
        if self._pace.is_preparing:
            self.picture("")
        self._pace.step(step.stage, step.share)
        if step.stage != self._stage or self._now() - self._last >= INTERVAL:
            self._stage = step.stage
            self._line()

    def advance(self, *, worked: bool = True) -> None:
        """Count a picture as finished. worked: work on it had begun."""
        self._pace.end(worked=worked)
        self._line()

    def _line(self) -> None:
        """Write how far the run is, and the seconds that it may still take; null where they are not known."""
        self._last, (_, left) = self._now(), self._pace.run_times()
        fields = {
            "done": self._pace.done,
            "total": self._pace.total,
            "picture": self._picture,
            "stage": self._stage,
            "share": round(self._pace.run_share, 4),
            "left": None if left is None else round(left, 1),
        }
        self._write(json.dumps(fields))
