"""The command line. Only what every start needs is imported here; a command's module is, when it runs."""

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
