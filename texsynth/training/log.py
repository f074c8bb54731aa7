"""The log of a training: a CSV file with a row for every step, and its plot."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from texsynth.training.plot import plot


@dataclass(frozen=True)
class Log:
    """Rows as CSV in `path`, curves as SVG beside it."""

    path: Path

    def append(self, row: Mapping[str, float | None]) -> None:
        """Add a row. The first one decides the columns; None leaves a field empty."""
        columns = list(row)
        if fresh := not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        else:
            with self.path.open(newline="") as file:
                columns = next(csv.reader(file), columns)
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(columns)
            values = (row.get(name) for name in columns)
            writer.writerow("" if value is None else f"{value:.6g}" for value in values)

    def keep(self, count: int) -> None:
        """Drop all but the first `count` rows; what comes after them will be written again."""
        if self.path.exists():
            self._write(self.path, "".join(self.path.read_text().splitlines(keepends=True)[: count + 1]))

    def clear(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)

    def draw(self) -> None:
        """Write the plot."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            self._write(self.path.with_suffix(".svg"), plot(rows, self.path.stem))

    def _write(self, path: Path, text: str) -> None:
        part = path.with_name(f"{path.name}.part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
