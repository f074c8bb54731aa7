"""Options that several commands share, each declared once, in groups that `grouped` puts into a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from texsynth.cli.show import ARGUMENTS, VERBOSE


def _preset_names(incomplete: str) -> list[str]:
    from texsynth.config.presets import names

    return [name for name in names() if name.startswith(incomplete)]


def model_names(incomplete: str) -> list[str]:
    """Completions of the name of a model."""
    from texsynth.models.hub import catalog as names

    return [name for name in names.model_names() if name.startswith(incomplete)]


def _remember(ctx: typer.Context, value: bool) -> bool:
    """Let the error handler around all commands know."""
    ctx.meta[VERBOSE] = value
    return value


@dataclass(frozen=True)
class ReportFile:
    """Where the page of a run goes. arguments: what was typed after the program's name, to be shown there."""

    path: Path
    arguments: tuple[str, ...] = ()


def _report_file(name: str) -> ReportFile:
    return ReportFile(Path(name))


def _typed(ctx: typer.Context, value: ReportFile | None) -> ReportFile | None:
    return value and replace(value, arguments=ctx.meta.get(ARGUMENTS, ()))


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` one option for each field of its parameters that are dataclasses.

    The command itself gets the dataclasses, filled. Their fields are annotated and defaulted like the
    parameters of any Typer command; a group may extend another one.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(annotation=kind))
            continue
        groups[name] = kind
        types = get_type_hints(kind, include_extras=True)
        for option in fields(kind):
            default = inspect.Parameter.empty if option.default is MISSING else option.default
            keyword = inspect.Parameter.KEYWORD_ONLY
            annotation = types[option.name]
            parameters.append(inspect.Parameter(option.name, keyword, default=default, annotation=annotation))

    @wraps(command)
    def flat(**values: Any) -> None:  # noqa: ANN401 (whatever the options are)
        filled = {
            name: kind(**{option.name: values.pop(option.name) for option in fields(kind)})
            for name, kind in groups.items()
        }
        command(**values, **filled)

    # What Typer reads.
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


FILES, LOOK, MACHINE, SCREEN = "Files", "Look", "Machine", "Output on screen"


def _output(default: str) -> object:
    """The -o option of a command whose results are called `default` when no name is given."""
    return typer.Option(
        "-o",
        "--output",
        metavar="FILE|FOLDER|-",
        help="Result: a file, a folder (made when missing if it ends with /), or - for standard output. "
        f"Default: {default} here.",
        rich_help_panel=FILES,
    )


Output = Annotated[str | None, _output("CONTENT.STYLE.png")]
BlendOutput = Annotated[str | None, _output("CONTENT.blend.png")]
ExpandOutput = Annotated[str | None, _output("NAME.expand.png")]
TileOutput = Annotated[str | None, _output("NAME.tile.png")]
Recursive = Annotated[
    bool, typer.Option("-r", "--recursive", help="Search folders inside folders.", rich_help_panel=FILES)
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="SUFFIX",
        help="Format of results whose name is not given: png, jpg, webp or tif.",
        rich_help_panel=FILES,
    ),
]
Report = Annotated[
    ReportFile | None,
    typer.Option(
        "--report",
        parser=_report_file,
        callback=_typed,
        metavar="FILE.html",
        help="Also write a page that shows every result beside its input.",
        rich_help_panel=FILES,
    ),
]
Force = Annotated[
    bool, typer.Option("-f", "--force", help="Replace existing results.", rich_help_panel=FILES)
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Skip results that an earlier run has finished.", rich_help_panel=FILES),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "-n", "--dry-run", help="Check everything and list the results, but make none.", rich_help_panel=FILES
    ),
]
BitDepth = Annotated[
    int | None,
    typer.Option(help="8 or 16 bits per channel. Default: those of the input.", rich_help_panel=FILES),
]
Quality = Annotated[
    int | None, typer.Option(help="Of JPEG and WebP, 1 to 100. Default: 95.", rich_help_panel=FILES)
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        help="Refuse larger pictures, before decoding, and larger results. Default: 2^28.",
        rich_help_panel=FILES,
    ),
]
Frame = Annotated[
    int | None,
    typer.Option(help="Frame of animated pictures or page of TIFF, from 0.", rich_help_panel=FILES),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        "--max-side",
        "--size",
        help="Reduce larger contents to this longer side in pixels.",
        rich_help_panel=FILES,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "-p",
        "--preset",
        metavar="NAME|FILE",
        help="Named settings; `texsynth presets list` shows them.",
        autocompletion=_preset_names,
        rich_help_panel=LOOK,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting of those that `texsynth presets show` lists. Repeatable.",
        rich_help_panel=LOOK,
    ),
]
Photo = Annotated[
    bool | None,
    typer.Option(
        "--photo/--artistic", help="Keep contours as in a photograph, or paint.", rich_help_panel=LOOK
    ),
]
Transform = Annotated[
    str | None,
    typer.Option(
        help="How features are matched: ift, wct, ot or adain; or optimize, slow descent on the picture.",
        rich_help_panel=LOOK,
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(help="0 keeps the content, 1 applies the whole style.", rich_help_panel=LOOK),
]
PreserveColor = Annotated[
    bool | None,
    typer.Option(
        "--preserve-color/--no-preserve-color",
        help="Keep the colours of the content.",
        rich_help_panel=LOOK,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Network: a name that `texsynth models list` shows, or a .safetensors file. Default: lite.",
        autocompletion=model_names,
        rich_help_panel=MACHINE,
    ),
]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu, mps, cuda or cuda:N. Default: auto.", rich_help_panel=MACHINE)
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="auto, float32, bfloat16 or float16. Default: auto, bfloat16 where native.",
        rich_help_panel=MACHINE,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the networks: slow once, then kept, and each picture faster. Needs a C++ compiler.",
        rich_help_panel=MACHINE,
    ),
]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads. Default: torch's choice.", rich_help_panel=MACHINE)
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE|N%",
        help="Work in tiles when more memory would be needed, like 4GiB or 80%. Default: half of the free.",
        rich_help_panel=MACHINE,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Seed of all random numbers, mixed with each file's path.", rich_help_panel=MACHINE),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only errors.", rich_help_panel=SCREEN)]
Verbose = Annotated[
    bool,
    typer.Option(
        "-v", "--verbose", callback=_remember, help="More detail, tracebacks too.", rich_help_panel=SCREEN
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Results as JSON, one object per line.", rich_help_panel=SCREEN)
]


Executor = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="serial, processes (several on this machine) or ray (a cluster, or this machine).",
        rich_help_panel=MACHINE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Of processes and ray. Default: one for each CPU core, or GPU of a Ray cluster.",
        rich_help_panel=MACHINE,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Only the I-th of N parts, from 1, to spread over processes or machines.",
        rich_help_panel=FILES,
    ),
]


@dataclass(frozen=True)
class ScreenOptions:
    """How much is shown, and in which form."""

    quiet: Quiet = False
    verbose: Verbose = False
    as_json: Json = False


@dataclass(frozen=True)
class DeviceOptions:
    """The device that computes."""

    device: Device = None
    threads: Threads = None


@dataclass(frozen=True)
class NetworkOptions(DeviceOptions):
    """The device and the networks on it."""

    model: Model = None
    dtype: Dtype = None
    seed: Seed = None


@dataclass(frozen=True)
class StylizeNetworkOptions(NetworkOptions):
    """The same for stylizations, which may work in tiles."""

    compiled: Compile = False
    memory_limit: MemoryLimit = None


@dataclass(frozen=True)
class InputOptions:
    """Which pictures are read."""

    recursive: Recursive = False
    max_pixels: MaxPixels = None
    frame: Frame = None


@dataclass(frozen=True)
class ContentOptions(InputOptions):
    """The same for contents, which may be reduced."""

    max_side: MaxSide = None


@dataclass(frozen=True)
class OutputOptions:
    """How results are written."""

    suffix: Format = "png"
    bit_depth: BitDepth = None
    quality: Quality = None
    report: Report = None
    force: Force = False
    resume: Resume = False
    dry_run: DryRun = False


@dataclass(frozen=True)
class ManifestOptions:
    """How pictures of a manifest are read and written; their names are its own."""

    max_side: MaxSide = None
    max_pixels: MaxPixels = None
    frame: Frame = None
    bit_depth: BitDepth = None
    quality: Quality = None
    report: Report = None
    force: Force = False
    resume: Resume = False
    dry_run: DryRun = False

    def as_output(self) -> OutputOptions:
        """Return the same as options of output."""
        shared = {
            option.name: getattr(self, option.name)
            for option in fields(OutputOptions)
            if hasattr(self, option.name)
        }
        return OutputOptions(**shared)


@dataclass(frozen=True)
class LookOptions:
    """Settings by preset and by name."""

    preset: Preset = None
    assignments: Set = None


@dataclass(frozen=True)
class StylizeLookOptions(LookOptions):
    """The settings of a stylization that have options of their own in several commands."""

    photo: Photo = None
    transform: Transform = None
    strength: Strength = None
    preserve_color: PreserveColor = None


@dataclass(frozen=True)
class ExecutorOptions:
    """Which of the jobs are done, and by how many workers."""

    executor: Executor = "serial"
    workers: Workers = None
    shard: Shard = None
