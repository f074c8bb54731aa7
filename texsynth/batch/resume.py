"""Whether an output that is there already is what a run would make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from texsynth import images
from texsynth.errors import InputError, OutputExistsError, TexsynthError
from texsynth.explain import validated
from texsynth.presets import as_tree
from texsynth.records import Embedded, Record
from texsynth.strict_yaml import parse

WITHOUT_EFFECT = frozenset(
    {"content.path", "style.path", "run.model", "run.max_pixels", "run.memory_limit", "run.tile"}
)
"""Parts of a record that do not count: hashes say what was read, a limit changes no pixel, and tiles, chosen
by the memory that is free at the moment, change rounding alone."""

HASHES = {"content.sha256": "content", "style.sha256": "style", "model_sha256": "weights"}
"""Parts of a record whose values would tell a reader nothing."""


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
        if key not in WITHOUT_EFFECT and old.get(key) != new.get(key):
            if key in HASHES:
                return f"made with other {HASHES[key]}"
            return f"made with {key} {old.get(key)}, not {new.get(key)}"
    return ""


def _leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """`a.b.c` and value of everything in a nested mapping."""
    if not isinstance(tree, dict):
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
