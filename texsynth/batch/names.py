"""Names of outputs from a template like `{folder}/{content}.{style}.png`, kept inside one folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from texsynth.errors import UsageError
from texsynth.explain import nearest
from texsynth.images import output_format

FIELDS = ("content", "style", "preset", "index", "folder")
"""What a template may name; `folder` alone may stand for several folders, or for none."""

UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")
"""Separators and control characters."""


def check_template(template: str) -> None:
    """UsageError for a template with an unknown field or a stray brace."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"the name {template!r} is no template ({error}); write {{content}}.png") from None
    for _, field, spec, conversion in parts:
        if field is not None and field not in FIELDS:
            raise UsageError(f"unknown field {field!r} in the name {template!r}{nearest(field, FIELDS)}")
        if spec or conversion:
            raise UsageError(
                f"the field {field!r} in the name {template!r} takes no format; write {{{field}}}"
            )


def filled(template: str, values: Mapping[str, str]) -> str:
    """The name that a checked `template` gives. Separators and control characters in `values` become `_`."""
    safe = {field: UNSAFE.sub("_", value) for field, value in values.items()}
    folders = values["folder"].split("/")
    safe["folder"] = "/".join(UNSAFE.sub("_", folder) for folder in folders if folder != ".")
    name = template.format_map(safe)
    # Without folders, `{folder}/` shall leave nothing behind.
    return name if template.startswith("/") else re.sub("/+", "/", name).lstrip("/")


def inside(root: Path, name: str) -> Path:
    """The file `name` in the folder `root`. UsageError when it is not inside, or cannot be written."""
    parts = name.split("/")
    leaves = Path(name).is_absolute() or ".." in parts
    if leaves or not name or UNSAFE.search(name.replace("/", "")):
        raise UsageError(f"the output {name!r} is no file inside {root}; use a relative name without '..'")
    path = root / name
    folder = os.path.realpath(path.parent)
    if os.path.commonpath([folder, os.path.realpath(root)]) != os.path.realpath(root):
        raise UsageError(f"the output {path} is not inside {root}, for one of its folders is a link")
    output_format(path)
    return path
