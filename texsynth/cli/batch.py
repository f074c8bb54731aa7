"""texsynth batch."""

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from texsynth.cli import frames, options
from texsynth.cli.run import look_settings, make_setup, run_operation, shard_of
from texsynth.jobs.checks import check_outputs
from texsynth.jobs.inputs import Input, grouped
from texsynth.jobs.manifest import check_mixed, read_manifest


@dataclass(frozen=True)
class BatchOptions(
    options.RunScreenOptions,
    options.WriteOptions,
    options.ReduceOptions,
    options.ExecutorOptions,
    options.TiledNetworkOptions,
):
    """The options of other commands that go with a manifest, which names the files."""


def batch(
    manifest: Path = options.argument(
        ..., metavar="MANIFEST", help="A .yaml file with `jobs:`, or .jsonl or .csv with a row per picture."
    ),
    *,
    output: str | None = options.file_option(
        None,
        "-o",
        "--output",
        metavar="FOLDER",
        help="Folder of the results. Default: `output:` of a .yaml manifest.",
    ),
    common: BatchOptions,
) -> None:
    """Do the jobs of a manifest, of one command or several; a killed run goes on with --resume."""
    # The shard is taken here, so nothing is left to take of it.
    unsharded = options.StylizeRunOptions(**vars(common) | {"shard": None})
    setup = make_setup(unsharded, totals=True)
    jobs = read_manifest(
        manifest,
        output,
        lambda kind, preset, changes: look_settings(kind, options.LookOptions(preset), changes),
        setup.result_format,
    )
    # Shards must not get in each other's way, so the whole manifest is checked.
    check_outputs(jobs, [Input(manifest, "")], force=True, cure="change `name:` or `output` in the manifest")
    chosen = frames.varied(grouped(shard_of(jobs, common.shard)), common)
    if not chosen:
        setup.screen.note(f"shard {common.shard} is empty, {manifest} has {len(jobs)} jobs")
        return
    run_operation(
        chosen,
        partial(check_mixed, run=setup.run),
        lambda good: import_module("texsynth.jobs.mixed").Mixed(setup.run, good),
        setup,
    )
