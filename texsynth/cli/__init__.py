"""The command line. Only what every start needs is imported here; commands import the rest when they run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

import typer

import texsynth
from texsynth.cli import (
    batch,
    bench,
    blend,
    card,
    doctor,
    evaluate,
    expand,
    match,
    models,
    presets,
    replay,
    stylize,
    train,
)
from texsynth.cli.app import App

app = typer.Typer(
    name="texsynth",
    cls=App,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Texture synthesis and style transfer, offline from the first minute.",
)

commands: dict[str, Callable[..., None]] = {
    "expand": expand.expand,
    "tile": expand.tile,
    "stylize": stylize.stylize,
    "blend": blend.blend,
    "batch": batch.batch,
    "match": match.match,
    "describe": match.describe,
    "replay": replay.replay,
    "doctor": doctor.doctor,
    "bench": bench.bench,
}
for name, command in commands.items():
    app.command(name)(command)

for name, group in {
    "card": card.app,
    "presets": presets.app,
    "models": models.app,
    "train": train.app,
    "evaluate": evaluate.app,
}.items():
    app.add_typer(group, name=name)


def _show_version(wanted: bool) -> None:
    if wanted:
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
    """Entry point of the `texsynth` command."""
    # Features take megabytes each, and faulting in their pages of 4 KiB costs up to a fifth of a run. Torch
    # reads this when it is loaded; where there are no huge pages it has no effect.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    app()
