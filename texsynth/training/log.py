"""The log of a training: a CSV file with a row for every step, and its plot."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape


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


Point = tuple[float, float]

OTHERS = {
    "psnr": "held-out PSNR in dB",
    "grad_norm": "gradient norm",
    "rate": "learning rate",
    "samples_per_s": "samples per second",
}
"""Columns of a log that are no terms of the loss, each with a panel of its own."""

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
LEFT, RIGHT, HEAD, HEIGHT, GAP, WIDTH, MOST_POINTS = 70, 20, 34, 150, 50, 720, 400


def plot(rows: Sequence[Mapping[str, str]], title: str) -> str:
    """The columns of a log over its column `step`, as SVG text; losses share a panel.

    rows: as `csv.DictReader` gives them. What is empty, no number, infinite or, where the axis is
    logarithmic, not positive is left out. PSNR has a linear axis; everything else is smoothed.
    """
    columns = [name for name in (rows[0] if rows else ()) if name != "step"]
    losses = [name for name in columns if name not in OTHERS]
    panels = [("terms of the loss", losses), *((OTHERS[n], [n]) for n in OTHERS if n in columns)]
    total = HEAD + len(panels) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
    ]
    for k, (name, members) in enumerate(panels):
        parts += _panel(rows, name, members, HEAD + 16 + k * (HEIGHT + GAP), log=members != ["psnr"])
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    rows: Sequence[Mapping[str, str]], name: str, members: list[str], top: float, log: bool
) -> list[str]:
    series = {member: _points(rows, member, log) for member in members}
    values = [y for points in series.values() for _, y in points] or [0.0]
    steps = [x for row in rows if math.isfinite(x := _number(row.get("step")))]
    low, high, last = min(values), max(values), max([*steps, 1.0])
    margin = max(0.05 * (high - low), 0.02)  # or a constant would look like its rounding errors
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> str:
        across, up = x / last * (WIDTH - LEFT - RIGHT), (y - low) / (high - low) * HEIGHT
        return f"{LEFT + across:.1f},{top + HEIGHT - up:.1f}"

    box = f'x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT}"'
    out = [f'<rect {box} fill="none" stroke="#999"/>', _text(LEFT, top - 5, name)]
    out += [_text(LEFT, top + HEIGHT + 15, "0"), _text(WIDTH - RIGHT, top + HEIGHT + 15, f"{last:g}", "end")]
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        label = f"{10**value if log else value:.3g}"
        out.append(_text(LEFT - 6, top + HEIGHT * (1 - share) + 4, label, "end"))
    for k, (member, points) in enumerate(series.items()):
        colour = COLOURS[k % len(COLOURS)]
        corners = " ".join(place(x, y) for x, y in points)
        out.append(f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if len(series) > 1:
            out.append(_text(WIDTH - RIGHT - 8, top + 16 + 15 * k, member, "end", colour))
    return out


def _points(rows: Sequence[Mapping[str, str]], name: str, log: bool) -> list[Point]:
    """Steps and values of a column, logarithms of them if `log`; smoothed and thinned if they are many."""
    found = [(_number(row.get("step")), _number(row.get(name))) for row in rows]
    kept = [(x, y) for x, y in found if math.isfinite(x + y) and (y > 0 or not log)]
    if not log:
        return kept
    keep, smooth, weight, out = 1 - 1 / max(1.0, len(kept) / 50), 0.0, 0.0, []
    for x, y in kept:
        smooth, weight = keep * smooth + (1 - keep) * y, keep * weight + 1 - keep
        out.append((x, math.log10(max(smooth / weight, 1e-300))))
    return out[:: -(-len(out) // MOST_POINTS) or 1]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#333") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
