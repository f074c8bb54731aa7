"""texsynth docs."""

import re
import sys
from importlib.resources import files
from pathlib import Path

import typer

from texsynth.cli.options import argument, option
from texsynth.cli.printing import printable
from texsynth.errors import UsageError

TITLE = re.compile(r"# (.+)")


def docs(
    topic: str | None = argument(
        None, metavar="[TOPIC]", help="A page, like expand or presets. Default: list them."
    ),
    path: bool = option(False, help="Print where the page or the folder lies."),
) -> None:
    """Read the documentation in the terminal: a list of pages, or one of them."""
    page = folder() if topic is None else _page(topic)
    if path:
        typer.echo(printable(str(page)))
    elif topic is None:
        width = max(map(len, topics()))
        for name in topics():
            with _page(name).open(encoding="utf-8") as file:
                title = TITLE.match(file.readline())
            typer.echo(f"{name:{width}}  {title[1] if title else ''}".rstrip())
    elif not sys.stdout.isatty():
        typer.echo(page.read_text(encoding="utf-8"), nl=False)
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        console = Console()
        with console.pager(styles=True):
            console.print(Markdown(page.read_text(encoding="utf-8"), hyperlinks=False))


def folder() -> Path:
    """Return the folder of the pages, one Markdown file for each topic."""
    return Path(str(files("texsynth"))) / "docs"


def topics() -> list[str]:
    """Return the names of all pages, sorted."""
    return sorted(page.stem for page in folder().glob("*.md"))


def _page(topic: str) -> Path:
    """Return the file of a page. Raises UsageError with the nearest name."""
    known = topics()
    if topic not in known:
        from texsynth.config.validation import nearest

        raise UsageError(f"unknown topic {topic!r}{nearest(topic, known)}")
    return folder() / f"{topic}.md"
