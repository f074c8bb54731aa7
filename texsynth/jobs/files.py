"""The files of a job: reading inputs, writing results once, and leaving those that are finished."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from texsynth import images
from texsynth.config.presets import as_tree
from texsynth.config.records import Embedded, Record, Source
from texsynth.config.settings import QUALITY, RunSettings
from texsynth.config.validation import validate
from texsynth.errors import (
    InputError,
    MemoryExhaustedError,
    OutputError,
    OutputExistsError,
    TexsynthError,
    is_exhaustion,
)
from texsynth.images.gamut import in_srgb
from texsynth.images.hidden import fill_hidden
from texsynth.jobs.inputs import PIPE, Input
from texsynth.jobs.outcomes import WrittenInfo
from texsynth.jobs.recorded import recorded_path
from texsynth.paths import is_taken, why
from texsynth.strict_yaml import parse


@dataclass(frozen=True)
class LargePicture:
    """A finished picture that is made, and written, by strips from the top down; not to PIPE."""

    width: int
    height: int
    bit_depth: int
    has_alpha: bool
    strips: Callable[[], Iterator[images.Picture]]
    profile: bytes | None = None  # Of a space wider than sRGB
    is_half: bool = False  # Floats have 16 bits


@dataclass(frozen=True)
class OutputFile:
    """A finished picture, the file it goes to (or PIPE), and the settings that it carries."""

    picture: images.Picture | LargePicture | bytes  # Bytes of what is no picture, which carry no settings
    path: Path
    settings: str
    kept: images.Metadata | None = None  # Of its input

    @property
    def in_memory(self) -> images.Picture:
        """The picture of a file that goes to standard output, which is never written by strips."""
        assert isinstance(self.picture, images.Picture)
        return self.picture


@dataclass(frozen=True)
class JobResult:
    """The files that a job made, the one that counts first, or the answer of a job that writes none."""

    files: tuple[OutputFile, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Names and values of what was decided during the work."""
    value: Any = None
    size: tuple[int, int] = (0, 0)
    """Width and height in pixels of the picture that a job without files has read."""


@dataclass(frozen=True)
class OutputPolicy:
    """The treatment of results that are there already, and the format of new ones."""

    force: bool = False
    resume: bool = False
    suffix: str = ".png"  # Format of standard output
    quality: int = QUALITY  # Quality of JPEG and WebP, 1 to 100
    strip: bool = False  # Results say nothing of what their inputs say beside their pixels
    records: Literal["inside", "beside", "none"] = "inside"
    """Where results carry their records; beside those of formats without a place, `inside` is `beside`."""

    def sidecar(self, path: Path) -> Path | None:
        """Return the file beside the picture `path` that its record goes to."""
        if self.records == "none" or path == PIPE:
            return None
        return images.sidecar(path, asked=self.records == "beside")


@contextmanager
def memory_guard(what: object, cure: str = "reduce it with --max-side") -> Iterator[None]:
    """Turn every way of running out of memory into one error."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_exhaustion(error):
            raise
        raise MemoryExhaustedError(f"{what} does not fit in memory; {cure}") from error


def read_input(
    item: Input, run: RunSettings, *, as_data: bool = False, own_space: bool = False
) -> tuple[images.Picture, Source]:
    """Decode a picture, with its path and hash for a record. as_data: values that are no colours.

    own_space: a picture with a profile wider than sRGB keeps it, unless the run writes sRGB.

    Raises InputError, also for colours of which nothing can be seen.
    """
    with memory_guard(item):
        data = item.read(images.file_limit(run.max_pixels))
    picture = item.picture
    if picture is None:
        with memory_guard(item):
            picture = images.read(
                data,
                name=str(item),
                max_pixels=run.max_pixels,
                frame=run.frame,
                as_data=as_data,
                lenient=run.lenient,
                own_space=own_space and not run.srgb,
            )
    elif not (as_data or (own_space and not run.srgb)):
        picture = in_srgb(picture)
    if not as_data:
        refuse_transparent(item, picture)
    return picture, Source(path=recorded_path(item), sha256=hashlib.sha256(data).hexdigest())


def read_visible(item: Input, run: RunSettings, *, own_space: bool = False) -> tuple[images.Picture, Source]:
    """Decode a picture for networks to see: colours below alpha 0 are made of the visible ones around them.

    Returns and raises what `read_input` does.
    """
    picture, source = read_input(item, run, own_space=own_space)
    with memory_guard(item):
        return fill_hidden(picture), source


def probe_input(item: Input, run: RunSettings) -> tuple[int, int]:
    """Return width and height of a picture from its header. Raises InputError."""
    if item.picture is not None:
        return item.picture.width, item.picture.height
    header = images.probe(item.source, name=str(item), max_pixels=run.max_pixels, frame=run.frame)
    return header.width, header.height


def source_of(item: Input) -> Source:
    """Return the path and hash of a file for a record, without decoding it. Raises InputError."""
    return Source(path=recorded_path(item), sha256=images.file_sha256(item.source))


def refuse_transparent(item: Input, picture: images.Picture) -> None:
    """Raise InputError when nothing of `picture` can be seen."""
    if picture.alpha is not None and not picture.alpha.any():
        raise InputError(f"{item} is fully transparent, so there is nothing to measure")


def make_folder(folder: Path) -> None:
    """Make `folder` and those it is in when they are missing. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"the folder {folder} cannot be made: {why(error)}") from error


def write_files(files: Sequence[OutputFile], policy: OutputPolicy) -> tuple[str, ...]:
    """Write all files or none of the new ones. Returns warnings."""
    warnings: tuple[str, ...] = ()
    new: list[Path] = []
    try:
        for file in files:
            is_picture = not isinstance(file.picture, bytes)
            beside = policy.sidecar(file.path) if is_picture else None
            paths = [] if file.path == PIPE else [file.path, beside]
            missing = [path for path in paths if path and not is_taken(path)]
            warnings += _write(file, policy)
            new += missing
    except BaseException:
        # Siblings without their texture are of no use to anyone.
        for path in new:
            with suppress(OSError):
                path.unlink()
        raise
    return warnings


def _write(file: OutputFile, policy: OutputPolicy) -> tuple[str, ...]:
    picture, path, kept = file.picture, file.path, file.kept
    quality, force, beside = policy.quality, policy.force, policy.records == "beside"
    settings = "" if policy.records == "none" else file.settings
    if path != PIPE:
        make_folder(path.parent)
        if isinstance(picture, bytes):
            images.store(picture, path, force=force)
            return ()
        if isinstance(picture, images.Picture):
            return images.write(
                picture, path, settings=settings, quality=quality, force=force, kept=kept, beside=beside
            )
        return images.write_strips(
            picture.strips(), path, picture.width, picture.height, alpha=picture.has_alpha,
            bit_depth=picture.bit_depth, settings=settings, quality=quality, force=force, kept=kept,
            beside=beside, wide=picture.profile, half=picture.is_half,
        )  # fmt: skip
    assert isinstance(picture, images.Picture), "strips are for files"
    name = images.output_format(Path(f"-{policy.suffix}"))
    data, warnings = images.encode(picture, name, settings=settings, quality=quality, kept=kept)
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {why(error)}") from error
    return warnings


WITHOUT_EFFECT = frozenset({"run.model", "run.max_pixels", "run.memory_limit", "run.tile"})
"""Parts of a record that do not count, besides paths: hashes say what was read, a limit changes no pixel, and
tiles, chosen by the memory that is free at the moment, change rounding alone."""


def unfinished(parts: Iterable[tuple[Path, Record]], policy: OutputPolicy) -> list[Path]:
    """Return the outputs that are not there as their records say.

    Raises OutputExistsError for those that are there otherwise, unless the policy says to replace them.
    """
    paths = []
    for path, record in parts:
        try:
            finished = is_finished(path, record, policy.sidecar(path))
        except OutputExistsError:
            if not policy.force:
                raise
            finished = False
        paths += [] if finished else [path]
    return paths


def with_metadata(result: JobResult, item: Input, policy: OutputPolicy) -> JobResult:
    """Let the files of a job say what its input says beside its pixels, unless the policy strips it."""
    if policy.strip or not result.files or item.picture is not None:
        return result
    kept = images.metadata(item.source)
    return replace(result, files=tuple(replace(file, kept=kept) for file in result.files))


def write_result(result: JobResult, policy: OutputPolicy) -> WrittenInfo | None:
    """Write the files of a job; None when --resume sees that another run has just written the same."""
    # That run may be a moment ahead. What it has made is checked; settings alone are removed, for it restores
    # them with its picture, which the second attempt then sees.
    for _ in range(2 if policy.resume and not policy.force else 0):
        with suppress(OutputExistsError):
            return write_outputs(result, policy)
        parts = [(file.path, record_in(file.settings, str(file.path))) for file in result.files]
        if not unfinished(parts, policy):
            return None
    return write_outputs(result, policy)


def write_outputs(result: JobResult, policy: OutputPolicy) -> WrittenInfo:
    """Write the files of a job and report on them. Raises OutputError."""
    if not result.files:
        return WrittenInfo(*result.size, result.warnings, result.facts, result.value)
    first = result.files[0]
    # The file that counts comes last: when it is there, all are.
    with memory_guard(first.path):
        warnings = result.warnings + write_files(result.files[::-1], policy)
    picture = first.picture
    assert not isinstance(picture, bytes), "what counts is a picture"
    shown = picture if first.path == PIPE and isinstance(picture, images.Picture) else None
    return WrittenInfo(picture.width, picture.height, warnings, result.facts, picture=shown)


def is_finished(output: Path, record: Record, beside: Path | None) -> bool:
    """Return True when `output` is there, sound, and made as `record` says.

    beside: where its record goes if not inside. Without a picture, settings there that are those of `record`
    are removed: a run was stopped between the two. Raises OutputExistsError for an output, or settings beside
    it, of any other origin.
    """
    left = output if is_taken(output) else beside
    if left is None or not is_taken(left):
        return False
    try:
        text, digest = images.settings_and_hash(output)
        fault = difference(record_in(text, str(left)), record)
        if left == output:
            fault = _damage(output, digest, record.run.max_pixels) or fault
    except InputError as error:
        fault = str(error)
    except TexsynthError:
        fault = "its settings cannot be read"
    if fault:
        raise OutputExistsError(f"{left} exists already ({fault}); use --force to replace it")
    if left == output:
        return True
    # Those of a run that is still at work must stay with its picture.
    if not is_taken(output):
        left.unlink(missing_ok=True)
    return is_taken(output)


def _damage(output: Path, digest: str, max_pixels: int) -> str:
    """Say that `output` has not the pixels of the hash in its settings. Raises InputError for damage."""
    if digest and images.pixel_hash(output, max_pixels=max_pixels) == digest:
        return ""
    images.verify(output, max_pixels=max_pixels)
    return "its pixels are not those it was made with" if digest else ""


def record_in(text: str, source: str) -> Record:
    """The record in the settings of a file. source: what messages call it. Raises TexsynthError."""
    return validate(Embedded, parse(text, source=source), source).root


def difference(old: Record, new: Record) -> str:
    """Name the first thing in which `old` would give another picture than `new`, or return ''."""
    before, now = dict(_leaves(as_tree(old))), dict(_leaves(as_tree(new)))
    for key in {**now, **before}:
        last = key.rpartition(".")[2]
        if key not in WITHOUT_EFFECT and last != "path" and before.get(key) != now.get(key):
            if last.endswith("sha256"):
                # The value would tell a reader nothing.
                field_name = key.partition(".")[0].removesuffix("_sha256").replace("_", " ")
                return f"made with other {'weights' if key == 'model_sha256' else field_name}"
            return f"made with {key} {before.get(key)}, not {now.get(key)}"
    return ""


def _leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """`a.b.0.c` and value of everything in a nest of mappings and lists."""
    if not isinstance(tree, dict | list):
        yield path, tree
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
