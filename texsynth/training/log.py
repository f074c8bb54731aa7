"""The log of a training: a CSV file with a row for every step, and a plot of it."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from texsynth.images.files import store
from texsynth.paths import exists


def append(path: Path, row: Mapping[str, float | None]) -> None:
    """Add a row. The first one decides the columns; None leaves a field empty."""
    with path.open("a+", newline="") as file:
        file.seek(0)
        columns, writer = next(csv.reader(file), None), csv.writer(file)
        if columns is None:
            columns = list(row)
            writer.writerow(columns)
        values = (row.get(name) for name in columns)
        writer.writerow("" if value is None else f"{value:.6g}" for value in values)


def keep(path: Path, count: int) -> None:
    """Drop all but the first `count` rows; later ones will be written again."""
    if exists(path):
        rows = path.read_bytes().splitlines(keepends=True)
        store(b"".join(rows[: count + 1]), path, force=True)


def draw(path: Path) -> None:
    """Write the plot beside the log."""
    if exists(path):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        store(plot(rows, path.stem).encode(), path.with_suffix(".svg"), force=True)


def plot(rows: Sequence[Mapping[str, str]], title: str) -> str:
    """Draw every column of a log over its column `step`, each in a panel of its own. Returns SVG.

    PSNR has a linear axis, all others a logarithmic one; fields that are not on it are left out.
    """
    columns = [name for name in (rows[0] if rows else ()) if name != "step"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {40 + 120 * len(columns)}" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="20">{escape(title)}</text>'
    ]
    for k, name in enumerate(columns):
        scale = float if name == "psnr" else _log10
        pairs = [(_number(row["step"]), scale(_number(row[name]))) for row in rows]
        points = [(x, y) for x, y in pairs if math.isfinite(x + y)]
        points = points[:: len(points) // 400 + 1] or [(0.0, 0.0)]
        low, high, last = min(y for _, y in points), max(y for _, y in points), max(points)[0] or 1
        wide, tall, foot = 700 / last, 90 / max(high - low, 0.02), 140 + 120 * k
        corners = " ".join(f"{10 + wide * x:.1f},{foot - tall * (y - low):.1f}" for x, y in points)
        ends = " to ".join(f"{y if name == 'psnr' else 10**y:.3g}" for y in (low, high))
        parts.append(
            f'<text x="10" y="{foot - 95}">{escape(name)}</text><text x="150" y="{foot - 95}">{ends}</text>'
        )
        parts.append(f'<polyline points="{corners}" fill="none" stroke="#1f77b4"/>')
    return "\n".join([*parts, "</svg>\n"])


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else math.nan


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
