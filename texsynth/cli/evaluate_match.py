"""texsynth evaluate match."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.comparison import COMPARISON, HeldOut, show_rows
from texsynth.cli.show import Screen
from texsynth.cli.values import run_settings

if TYPE_CHECKING:
    from texsynth.batch.evaluation.match.bench import Retrieval
    from texsynth.errors import TexsynthError


def match(
    textures: Annotated[
        list[str], typer.Argument(metavar="TEXTURE...", help="Textures, folders or quoted patterns.")
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            "--descriptor",
            metavar="FILE",
            help="A descriptor made by `texsynth train descriptor`. Default: the embedded one.",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("-k", min=1, help="How many neighbours count.", rich_help_panel=COMPARISON)
    ] = 5,
    held_out: HeldOut = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many textures.", rich_help_panel=COMPARISON)
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    threads: options.Threads = None,
    seed: options.Seed = None,
    recursive: options.Recursive = False,
    max_pixels: options.MaxPixels = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
) -> None:
    """Measure how well crops of textures find others of the same texture.

    Each texture is cut into nine squares that do not overlap. Each square is looked for among all others, as
    it is, in other size and light, and turned; beside the descriptor by pooled features without training.

    texsynth evaluate match textures/ --held-out
    """
    from texsynth.batch.evaluation.expand.bench import choose
    from texsynth.batch.evaluation.match.bench import evaluate
    from texsynth.batch.plan import find_inputs

    run = run_settings(device=device, dtype=dtype, threads=threads, seed=seed, max_pixels=max_pixels)
    inputs = choose(find_inputs(textures, recursive=recursive), held_out=held_out, limit=limit)
    screen = Screen(quiet, verbose, as_json)
    failures = []

    def failed(name: str, error: TexsynthError) -> None:
        failures.append(name)
        screen.note(f"left out: {error}")

    with screen.progress(len(inputs)) as bar:

        def begin(name: str) -> None:
            bar.picture(name)
            bar.advance()

        found = evaluate(inputs, run, weights, k, on_picture=begin, on_failure=failed)
    _show(found, screen)
    raise typer.Exit(3 if failures else 0)


def _show(found: Retrieval, screen: Screen) -> None:
    """A row for each way of comparing, a column for each condition."""
    from texsynth.batch.evaluation.match.bench import DESCRIPTOR

    conditions = list(dict.fromkeys(score.condition for score in found.scores))
    rows = []
    for method in dict.fromkeys(score.method for score in found.scores):
        mine = {score.condition: score for score in found.scores if score.method == method}
        means = {name: mine[name].precision.mean for name in conditions}
        cells = {"compared by": method, "numbers": str(mine[conditions[0]].numbers)}
        texts = {name: f"{value:.3f}" for name, value in means.items()}
        rows.append((cells | texts, {"method": method, "conditions": [asdict(mine[c]) for c in conditions]}))
    show_rows(rows, screen)
    ours = {score.condition: score for score in found.scores if score.method == DESCRIPTOR}
    screen.note(f"precision at {found.k} of crops of {found.textures} textures")
    for name in conditions:
        best = found.best_baseline(name)
        share = (1 - ours[name].precision.mean) / max(1 - best.precision.mean, 1e-9)
        screen.note(f"{name}: {share:.2f} of the errors of the best baseline, {best.method}")
