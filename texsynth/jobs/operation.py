"""What every job does around its work: read its pictures, note where they came from, write its files."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from texsynth import images
from texsynth.config.presets import as_tree
from texsynth.config.records import Embedded, Record, Source
from texsynth.config.settings import RunSettings
from texsynth.config.validation import parse, validated
from texsynth.device import pick_device, pick_dtype, set_threads
from texsynth.errors import InputError, MemoryExhaustedError, OutputError, OutputExistsError, TexsynthError
from texsynth.images.files import as_text
from texsynth.jobs.inputs import PIPE, Input
from texsynth.jobs.memory import is_exhaustion
from texsynth.jobs.outcomes import Written
from texsynth.models.hub.catalog import cache_folder
from texsynth.models.registry import Model, compile_networks, load_model


@dataclass(frozen=True)
class LargePicture:
    """A finished picture that is made, and written, by strips from the top down; not to PIPE."""

    width: int
    height: int
    bit_depth: int
    has_alpha: bool
    strips: Callable[[], Iterator[images.Picture]]


@dataclass(frozen=True)
class Delivery:
    """A finished picture, the file it goes to (or PIPE), and the settings that it carries."""

    picture: images.Picture | LargePicture
    path: Path
    settings: str

    def shown(self) -> images.Picture:
        """The picture in memory, for a sheet of thumbnails; a large one is read from its finished file."""
        return self.picture if isinstance(self.picture, images.Picture) else images.read(self.path)


@dataclass(frozen=True)
class Made:
    """What the work on a job made: files, the one that counts first, and what to say about its inputs."""

    deliveries: tuple[Delivery, ...]
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was decided during the work, by name."""


@contextmanager
def memory_guard(what: object, cure: str = "reduce it with --max-side") -> Iterator[None]:
    """Turn every way of running out of memory into one error."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_exhaustion(error):
            raise
        raise MemoryExhaustedError(f"{what} does not fit in memory; {cure}") from error


def read_input(item: Input, run: RunSettings, *, as_data: bool = False) -> tuple[images.Picture, Source]:
    """Decode a picture, and what a record says about it. as_data: values that are no colours."""
    data = item.read()
    with memory_guard(item):
        picture = images.read(
            data, name=str(item), max_pixels=run.max_pixels, frame=run.frame, as_data=as_data
        )
    return picture, Source(path=recorded_path(item), sha256=hashlib.sha256(data).hexdigest())


def source_of(item: Input) -> Source:
    """What a record says about a file, without decoding it. Raises InputError."""
    return Source(path=recorded_path(item), sha256=images.file_sha256(item.source))


def refuse_transparent(item: Input, picture: images.Picture) -> None:
    """InputError when nothing of `picture` can be seen."""
    if picture.alpha is not None and not picture.alpha.any():
        raise InputError(f"{item} is fully transparent, so there is nothing to measure")


def recorded_path(item: Input) -> str:
    """The path of `item` as text: names of files need not be text, settings must be."""
    return item.recorded or as_text(str(item.path))


def written(made: Made, *, quality: int, force: bool, suffix: str = ".png") -> Written:
    """Write what was made, and report it; arguments as for `deliver`."""
    # The file that counts comes last: when it is there, all are.
    warnings = deliver(made.deliveries[::-1], quality=quality, force=force, suffix=suffix)
    picture = made.deliveries[0].picture
    return Written(picture.width, picture.height, made.warnings + warnings, made.facts)


def make_folder(folder: Path) -> None:
    """Make `folder` and those it is in when they are missing. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {(error.strerror or '').lower()}") from error


def deliver(
    deliveries: Sequence[Delivery], *, quality: int, force: bool, suffix: str = ".png"
) -> tuple[str, ...]:
    """Write files, all or none of the new ones. suffix: format of standard output. Returns warnings."""
    warnings: tuple[str, ...] = ()
    made: list[Path] = []
    try:
        for delivery in deliveries:
            fresh = [] if delivery.path == PIPE else [p for p in _files(delivery.path) if not p.exists()]
            warnings += _write(delivery, quality=quality, force=force, suffix=suffix)
            made += fresh
    except BaseException:
        # Siblings without their texture are of no use to anyone.
        for path in made:
            with suppress(OSError):
                path.unlink()
        raise
    return warnings


def _files(path: Path) -> list[Path]:
    beside = images.sidecar(path)
    return [path, beside] if beside else [path]


def _write(delivery: Delivery, *, quality: int, force: bool, suffix: str) -> tuple[str, ...]:
    picture, path, text = delivery.picture, delivery.path, delivery.settings
    if path != PIPE:
        make_folder(path.parent)
        if isinstance(picture, LargePicture):
            return _write_strips(picture, delivery, quality=quality, force=force)
        return images.write(picture, path, settings=text, quality=quality, force=force)
    assert isinstance(picture, images.Picture), "strips are for files"
    name = images.output_format(Path(f"-{suffix}"))
    data, warnings = images.encode(picture, name, settings=text, quality=quality)
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {(error.strerror or '').lower()}") from error
    return warnings


def _write_strips(picture: LargePicture, delivery: Delivery, *, quality: int, force: bool) -> tuple[str, ...]:
    with images.StripWriter(
        delivery.path, picture.width, picture.height, alpha=picture.has_alpha, bit_depth=picture.bit_depth,
        settings=delivery.settings, quality=quality, force=force,
    ) as out:  # fmt: skip
        for strip in picture.strips():
            out.write(strip)
    return out.warnings


WITHOUT_EFFECT = frozenset({"run.model", "run.max_pixels", "run.memory_limit", "run.tile"})
"""Parts of a record that do not count, besides paths: hashes say what was read, a limit changes no pixel, and
tiles, chosen by the memory that is free at the moment, change rounding alone."""


def unfinished(parts: Iterable[tuple[Path, Record]], *, force: bool) -> list[Path]:
    """The outputs that are not there as their records say.

    Raises OutputExistsError for those that are there otherwise, unless `force` says to replace them.
    """
    return [path for path, record in parts if not _is_left(path, record, force=force)]


def written_once(
    made: Made, *, quality: int, force: bool, resume: bool, suffix: str = ".png"
) -> Written | None:
    """As `written`; None when `resume` finds that another run has just written the same."""
    # That run may be a moment ahead. What it has made is checked; settings alone are removed, for it restores
    # them with its picture, which the second attempt then finds.
    for _ in range(2 if resume and not force else 0):
        with suppress(OutputExistsError):
            return written(made, quality=quality, force=False, suffix=suffix)
        parts = [(part.path, record_in(part.settings, str(part.path))) for part in made.deliveries]
        if not unfinished(parts, force=False):
            return None
    return written(made, quality=quality, force=force, suffix=suffix)


def _is_left(path: Path, record: Record, *, force: bool) -> bool:
    try:
        return is_finished(path, record)
    except OutputExistsError:
        if not force:
            raise
        return False


def is_finished(output: Path, record: Record) -> bool:
    """Whether `output` is there, sound, and made as `record` says.

    Without a picture, settings beside its place that are those of `record` are removed: a run was stopped
    between the two. Raises OutputExistsError for an output, or settings beside it, of any other origin.
    """
    beside = images.sidecar(output)
    left = output if output.exists() else beside
    if left is None or not left.exists():
        return False
    try:
        if left == output:
            images.verify(output)
        text = images.embedded_settings(output)
        fault = difference(record_in(text, str(left)), record)
    except InputError as error:
        fault = str(error)
    except TexsynthError:
        fault = "its settings cannot be read"
    if fault:
        raise OutputExistsError(f"{left} exists already ({fault}); use --force to replace it")
    if left == output:
        return True
    # Those of a run that is still at work must stay with its picture.
    if not output.exists():
        left.unlink(missing_ok=True)
    return output.exists()


def record_in(text: str, source: str) -> Record:
    """The record in the settings of a file. source: what messages call it. Raises TexsynthError."""
    return validated(Embedded, parse(text, source=source), source).root


def difference(found: Record, wanted: Record) -> str:
    """The first thing in which `found` would give another picture than `wanted`, or ''."""
    old, new = dict(_leaves(as_tree(found))), dict(_leaves(as_tree(wanted)))
    for key in {**new, **old}:
        last = key.rpartition(".")[2]
        if key not in WITHOUT_EFFECT and last != "path" and old.get(key) != new.get(key):
            if last.endswith("sha256"):
                # The value would tell a reader nothing.
                return f"made with other {_owner(key)}"
            return f"made with {key} {old.get(key)}, not {new.get(key)}"
    return ""


def _leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """`a.b.0.c` and value of everything in a nest of mappings and lists."""
    if not isinstance(tree, dict | list):
        yield path, tree
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _owner(key: str) -> str:
    """What the hash at `key` is of: a field of the record, or its weights."""
    return (
        "weights"
        if key == "model_sha256"
        else key.partition(".")[0].removesuffix("_sha256").replace("_", " ")
    )


def decided(run: RunSettings) -> tuple[RunSettings, torch.device, torch.dtype]:
    """`run` with every `auto` decided, and the number of threads set."""
    device = pick_device(run.device)
    dtype = pick_dtype(run.dtype, device)
    found = {
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "threads": set_threads(run.threads),
    }
    return run.model_copy(update=found), device, dtype


def equipped(run: RunSettings) -> tuple[RunSettings, Model]:
    """`run` with every `auto` decided, and its model in place. Raises UsageError, ModelError."""
    run, device, dtype = decided(run)
    model = load_model(run.model, device, dtype)
    if run.compiled:
        compile_networks(model, cache_folder() / "compiled")
    return run, model
