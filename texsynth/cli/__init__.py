"""The command line. Only what every start needs is imported here; a command's module is, when it runs."""

import os
from typing import Annotated

import typer

import texsynth
from texsynth.cli.app import App

app = typer.Typer(
    name="texsynth",
    cls=App,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={
        "help_option_names": ["-h", "--help"],
        # Options of both spellings, like --preserve-colour.
        "token_normalize_func": lambda name: name.replace("colour", "color"),
    },
    help="Texture synthesis and style transfer, offline from the first minute.",
)


WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
"""Variables with which users say how the threads of OpenMP wait."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"texsynth {texsynth.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the `texsynth` command."""
    # Features take megabytes each, and faulting in their pages of 4 KiB costs up to a fifth of a run. Torch
    # reads this when it is loaded; where there are no huge pages it has no effect.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Threads that wait by turning in circles take the cores from other programs, and from other runs of this
    # one: three at once then take several times as long as one after the other.
    if not WAITING & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    app()
