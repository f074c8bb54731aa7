"""Whether an output that is there already is what a run would make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from texsynth import images
from texsynth.batch.files import Made, written
from texsynth.batch.run import Written
from texsynth.errors import InputError, OutputExistsError, TexsynthError
from texsynth.explain import validated
from texsynth.presets import as_tree
from texsynth.records import Embedded, Record
from texsynth.strict_yaml import parse

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
