"""What the commands that compare methods have in common on the screen."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from texsynth.cli import options
from texsynth.cli.show import Screen, complain
from texsynth.errors import TexsynthError

COMPARISON = "Comparison"

Folder = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER",
        help="Folder for table.json and index.html, made when missing.",
        rich_help_panel=options.FILES,
    ),
]
HeldOut = Annotated[
    bool,
    typer.Option(
        "--held-out", help="Only the 10% of files that training never saw.", rich_help_panel=COMPARISON
    ),
]


def failed(screen: Screen, what: str, error: Exception) -> None:
    """One line, as soon as it is known."""
    if isinstance(error, TexsynthError):
        complain(str(error))
        return
    complain(f"{what}: this is a bug in texsynth: {type(error).__name__}: {error}")
    if screen.verbose:
        traceback.print_exception(error)


def show_rows(rows: Sequence[tuple[Mapping[str, str], Mapping[str, object]]], screen: Screen) -> None:
    """A table with aligned columns, or an object for each row.

    rows: the texts of a row by column, the first a name, and the same row's figures.
    """
    widest: dict[str, int] = {}
    for cells, _ in rows:
        for name, text in cells.items():
            widest[name] = max(widest.get(name, max(len(name), MIN_WIDTH)), len(text))
    if rows and not screen.as_json:
        screen.result(_line({name: name for name in rows[0][0]}, widest))
    for cells, fields in rows:
        screen.result(_line(cells, widest), **fields)


MIN_WIDTH = 6


def _line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    (first, name), *rest = cells.items()
    return "  ".join([name.ljust(widths[first]), *(text.rjust(widths[key]) for key, text in rest)])


def figure(value: float | None) -> str:
    """Three digits that count."""
    return "-" if value is None else f"{value:.3g}"
