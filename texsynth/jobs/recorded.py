"""Records as results carry them, with paths that hold on when inputs and results are moved together."""

import os
from pathlib import Path

from texsynth.config.presets import as_tree
from texsynth.config.records import Record
from texsynth.images.files import as_text
from texsynth.jobs.inputs import Input
from texsynth.paths import real
from texsynth.strict_yaml import dump


def recorded_path(item: Input) -> str:
    """Return the path of a file from the root, or the name of another input, as text.

    Names of files need not be text, settings must be.
    """
    path = item.path
    return as_text(str(Path(real(path.parent)) / path.name) if item.is_file else str(path))


def record_text(record: Record, output: Path) -> str:
    """Return the settings that the file `output` carries, with paths relative to its folder."""
    return dump(seen_from(output.parent, as_tree(record)))


def seen_from(folder: Path, tree: object) -> object:
    """Return a tree of mappings and lists with the paths of files in it relative to a folder."""
    return _seen_from(as_text(real(folder)), tree)


def _seen_from(folder: str, tree: object) -> object:
    if isinstance(tree, list):
        return [_seen_from(folder, value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if isinstance(path := tree.get("path"), str) and "sha256" in tree:
        return {**tree, "path": _relative(path, folder)}
    return {key: _seen_from(folder, value) for key, value in tree.items()}


def _relative(path: str, folder: str) -> str:
    """Return `path` relative to a folder with which it shares more than the root; any other as it is."""
    if not os.path.isabs(path):
        return path
    try:
        shared = os.path.commonpath((path, folder))
    except ValueError:  # on another drive
        return path
    is_root = shared == os.path.dirname(shared)
    return path if is_root and shared != folder else Path(os.path.relpath(path, folder)).as_posix()
