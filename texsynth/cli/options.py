"""Options that several commands share, each declared once, in groups that `grouped` puts into a command."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import partial, wraps
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from texsynth.cli.completion import complete_model, complete_preset, complete_setting
from texsynth.cli.show import ARGUMENTS, VERBOSE, Screen
from texsynth.errors import UsageError


def _remember(ctx: typer.Context, value: bool) -> bool:
    """Let the error handler around all commands know."""
    ctx.meta[VERBOSE] = value
    return value


FILES, LOOK, MACHINE, FRAMES = "Files", "Look", "Machine", "Frames"
SCREEN = "Output on screen"


def option(default: Any, *names: str, panel: str | None = None, **more: Any) -> Any:  # noqa: ANN401 (as Typer)
    """Declare a parameter, or a field of a group, to be an option; `...` makes it a required one.

    names: by default that of the parameter; only flags that name it have an opposite, like --no-quick.
    """
    return _declared(default, partial(typer.Option, rich_help_panel=panel, **more), names)


def argument(default: Any, **more: Any) -> Any:  # noqa: ANN401 (as Typer)
    """Declare a parameter to be an argument; `...` makes it a required one."""
    return _declared(default, partial(typer.Argument, **more), ())


def _declared(default: Any, declare: Callable[..., Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401 (as above)
    required = default is ...
    metadata = {"declare": declare, "names": names}
    return field(default=MISSING if required else default, kw_only=required, metadata=metadata)


file_option, look_option, machine_option, frames_option, screen_option = (
    partial(option, panel=panel) for panel in (FILES, LOOK, MACHINE, FRAMES, SCREEN)
)
_file, _look, _machine, _screen = (
    partial(typer.Option, rich_help_panel=panel) for panel in (FILES, LOOK, MACHINE, SCREEN)
)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let Typer read the parameters of `command`, and each field of those that are dataclasses as one.

    All commands are treated so when they are loaded. They get the dataclasses, filled. Parameters and fields
    are declared with `option` and `argument`, or annotated and defaulted as in any Typer command; a group may
    extend others.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(kind := hints[name]):
            groups[name] = kind
            types = get_type_hints(kind, include_extras=True)
            parameters += [_for_typer(each.name, types[each.name], each) for each in fields(kind)]
        else:
            declared = parameter.default
            if not isinstance(declared, Field):
                declared = field(default=MISSING if declared is parameter.empty else declared)
            parameters.append(_for_typer(name, kind, declared))

    opposites = [pair for parameter in parameters if (pair := _opposites(parameter.annotation))]

    @wraps(command)
    def flat(**values: Any) -> None:  # noqa: ANN401 (whatever the options are)
        typed = set(takewhile(lambda word: word != "--", ARGUMENTS.get(())))
        for pair in opposites:
            if typed.issuperset(pair):
                raise UsageError(f"{' and '.join(pair)} contradict each other; give one of them")
        filled = {
            name: kind(**{each.name: values.pop(each.name) for each in fields(kind)})
            for name, kind in groups.items()
        }
        command(**values, **filled)

    # What Typer reads.
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _for_typer(name: str, kind: Any, declared: Field[Any]) -> inspect.Parameter:  # noqa: ANN401 (any type)
    if declared.metadata:
        names = declared.metadata["names"] or ([f"--{name.replace('_', '-')}"] if kind is bool else [])
        kind = Annotated[kind, declared.metadata["declare"](*names)]
    default = inspect.Parameter.empty if declared.default is MISSING else declared.default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _opposites(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401 (any type)
    """Return the two flags of a parameter like --photo/--artistic, () for others."""
    for declared in getattr(annotation, "__metadata__", ()):
        # Typer takes the first name for a default until it reads the command.
        for name in (declared.default, *(declared.param_decls or ())):
            if isinstance(name, str) and name.startswith("--") and "/--" in name:
                return tuple(name.split("/"))
    return ()


def pictures_argument(metavar: str) -> Any:  # noqa: ANN401 (what Typer reads)
    """Declare the argument for any number of pictures."""
    return typer.Argument(metavar=metavar, help="Pictures, folders or quoted patterns; - is standard input.")


def output_option(default: str) -> Any:  # noqa: ANN401 (what Typer reads)
    """Declare the -o option of a command whose results are called `default` when no name is given."""
    return _file(
        "-o",
        "--output",
        metavar="FILE|FOLDER|-",
        help="Result: a file, a folder (made when missing if it ends with /), or - for standard output. "
        f"Default: {default} here.",
    )


Report = Annotated[
    Path | None,
    _file(metavar="FILE.html", help="Also write a page that shows every result beside its input."),
]
Force = Annotated[bool, _file("-f", "--force", help="Replace existing results.")]
Set = Annotated[
    list[str] | None,
    _look(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting of those that `texsynth presets explain` lists. Repeatable.",
        autocompletion=complete_setting,
    ),
]
Model = Annotated[
    str | None,
    _machine(
        metavar="NAME|FILE",
        help="Network: a name that `texsynth models list` shows, or a .safetensors file. Default: lite.",
        autocompletion=complete_model,
    ),
]
Device = Annotated[str | None, _machine(help="auto, cpu, mps, cuda or cuda:N. Default: auto.")]
Dtype = Annotated[
    str | None, _machine(help="auto, float32, bfloat16 or float16. Default: auto, bfloat16 where native.")
]
Threads = Annotated[int | None, _machine(help="CPU threads. Default: torch's choice.")]
Seed = Annotated[int | None, _machine(help="Seed of all random numbers. Default: 0.")]
Quiet = Annotated[bool, _screen("-q", "--quiet", help="Nothing but errors, and JSON where it is asked for.")]
Json = Annotated[bool, _screen("--json", help="Results as JSON, one object per line.")]


@dataclass(frozen=True)
class BriefOptions:
    """The form of what is shown, for commands that have no more to tell."""

    quiet: Quiet = False
    as_json: Json = False

    def screen(self, output: str | None = None, *, totals: bool = False) -> Screen:
        """Return the screen that is asked for. output: `-` leaves standard output to the picture."""
        verbose = isinstance(self, ScreenOptions) and self.verbose
        progress = isinstance(self, RunScreenOptions) and self.json_progress
        results = output != "-"
        return Screen(self.quiet, verbose, self.as_json, results, totals=totals, json_progress=progress)


@dataclass(frozen=True)
class ScreenOptions(BriefOptions):
    """The amount and the form of what is shown."""

    verbose: bool = screen_option(
        False, "-v", "--verbose", callback=_remember, help="More detail; for a bug also where it is."
    )


@dataclass(frozen=True)
class RunScreenOptions(ScreenOptions):
    """The same for commands that work on any number of pictures, which may take a while."""

    json_progress: bool = screen_option(
        False, "--json-progress", help="Progress as JSON on standard error, one object per line."
    )


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
class TiledNetworkOptions(NetworkOptions):
    """The same for stylizations, which may work in tiles."""

    backend: str | None = machine_option(
        None, metavar="NAME", help="What computes the networks: torch, or openvino on CPUs. Default: torch."
    )
    compiled: bool = machine_option(
        False,
        "--compile",
        help="Compile the networks: slow once, then kept, and each picture faster. Needs a C++ compiler.",
    )
    vary: bool = machine_option(
        False, help="Mix each file's path into the seed: another grain for each picture."
    )
    memory_limit: str | None = machine_option(
        None,
        metavar="SIZE|N%",
        help="Work in tiles when more memory would be needed, like 4GiB or 80%. Default: half of the free.",
    )


@dataclass(frozen=True)
class DecodeOptions:
    """The limits and the part of a picture that is read."""

    max_pixels: int | None = file_option(
        None, help="Refuse larger pictures, before decoding, and larger results. Default: 2^28."
    )
    frame: int | None = file_option(None, help="Frame of animated pictures or page of TIFF, from 0.")
    lenient: bool = file_option(False, help="Read what is left of damaged pictures, and warn.")


@dataclass(frozen=True)
class InputOptions(DecodeOptions):
    """The pictures that are read."""

    recursive: bool = file_option(False, "-r", "--recursive", help="Search folders inside folders.")


@dataclass(frozen=True)
class ReduceOptions(DecodeOptions):
    """The same for contents, which may be reduced."""

    max_side: int | None = file_option(
        None, "--max-side", "--size", help="Reduce larger contents to this longer side in pixels."
    )


@dataclass(frozen=True)
class WriteOptions:
    """Results and how they are written, wherever their names come from."""

    bit_depth: int | None = file_option(
        None, help="8, 16 or 32 (floats) bits per channel. Default: those of the input."
    )
    quality: int | None = file_option(None, help="Of JPEG and WebP, 1 to 100. Default: 95.")
    report: Report = None
    srgb: bool = file_option(
        False, help="Write sRGB, where the input has a wider space like Display P3, too."
    )
    strip: bool = file_option(
        False, help="Drop what an input says beside its pixels: EXIF and resolution. The record stays."
    )
    sidecar: bool = file_option(False, help="Keep settings in NAME.yaml beside each result, and not in it.")
    no_record: bool = file_option(
        False,
        "--no-record",
        help="Keep no settings in results or beside them. They cannot be replayed or resumed then.",
    )
    force: Force = False
    resume: bool = file_option(False, help="Skip results that an earlier run has finished.")
    dry_run: bool = file_option(
        False, "-n", "--dry-run", help="Check everything and list the results, but make none."
    )


@dataclass(frozen=True)
class OutputOptions(WriteOptions):
    """Results that are named after their inputs."""

    suffix: str | None = file_option(
        None,
        "--format",
        metavar="SUFFIX",
        help="Format of results whose name is not given: png, jpg, webp, avif, tif, exr or tga. Default: "
        "that of the input; png where it is none of these or borders must meet.",
    )


@dataclass(frozen=True)
class ExecutorOptions:
    """The jobs that are done, and the workers that do them."""

    executor: str = machine_option(
        "serial",
        metavar="NAME",
        help="serial, processes (several on this machine) or ray (a cluster, or this machine).",
    )
    workers: int | None = machine_option(
        None, min=1, help="Of processes and ray. Default: one for each CPU core, or GPU of a Ray cluster."
    )
    shard: str | None = file_option(
        None, metavar="I/N", help="Only the I-th of N parts, from 1, to spread over processes or machines."
    )


@dataclass(frozen=True)
class AnalysisOptions(RunScreenOptions, InputOptions, DeviceOptions):
    """All that commands share which read pictures and write none."""


@dataclass(frozen=True)
class RunOptions(RunScreenOptions, OutputOptions, InputOptions, ExecutorOptions, NetworkOptions):
    """All that commands from pictures to pictures share: machine, workers, files and screen."""


@dataclass(frozen=True)
class FrameOptions:
    """Contents that are the frames of a film."""

    sequence: bool = frames_option(
        False,
        help="The contents are frames of one take, in the order of the numbers in their names: what does not "
        "change in them shall not flicker.",
    )
    window: int | None = frames_option(
        None,
        min=1,
        help="Frames from one fit to the next. Large is steady, small follows faster. Default: 24.",
    )


@dataclass(frozen=True)
class StylizeRunOptions(RunOptions, ReduceOptions, TiledNetworkOptions, FrameOptions):
    """The same for stylizations."""


@dataclass(frozen=True)
class LookOptions:
    """Settings by preset and by name."""

    preset: str | None = look_option(
        None,
        "-p",
        "--preset",
        metavar="NAME|FILE",
        help="Named settings; `texsynth presets list` shows them.",
        autocompletion=complete_preset,
    )
    assignments: Set = None


@dataclass(frozen=True)
class StylizeLookOptions(LookOptions):
    """The settings of a stylization that have options of their own in several commands."""

    photo: bool | None = look_option(
        None, "--photo/--artistic", help="Keep contours as in a photograph, or paint."
    )
    transform: str | None = look_option(
        None,
        help="How features are matched: ift, wct, ot or adain; or optimize, slow descent on the picture.",
    )
    strength: float | None = look_option(None, help="0 keeps the content, 1 applies the whole style.")
    preserve_color: bool | None = look_option(
        None, "--preserve-color/--no-preserve-color", help="Keep the colours of the content."
    )
