"""Requests of scripts that send their pictures along, as forms with files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from starlette.datastructures import UploadFile
from starlette.requests import Request

from texsynth.config.validation import nearest, validate
from texsynth.errors import UsageError
from texsynth.serve.asking import MOST_SIBLINGS, MOST_STYLES, Asked, MalformedError, read_object
from texsynth.serve.pictures import no_room
from texsynth.serve.state import State

ROLES = ("picture", "style", "mask", "hole", "sibling")
"""Names of the files of a form."""

MOST_FILES = 3 + 2 * MOST_STYLES + MOST_SIBLINGS

REST = 1 << 20  # Most bytes of a field that is no file


async def asked_by_form(state: State, command: str, request: Request) -> Asked:
    """Take the pictures of a form, and return what is asked for. Raises MalformedError, TexsynthError."""
    rest: dict[str, Any] = {}
    files: dict[str, list[str]] = {}
    try:
        async with request.form(max_files=MOST_FILES, max_fields=8, max_part_size=REST) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if name not in ROLES:
                        raise UsageError(f"unknown file {name!r}{nearest(name, ROLES)}")
                    kept = await run_sync(_take, state, value, limiter=state.turns)
                    files.setdefault(name, []).append(kept)
                elif name == "request":
                    rest = read_object(value)
                else:
                    raise UsageError(f"unknown field {name!r}; settings go as JSON into the field 'request'")
    except UnicodeError:
        raise MalformedError("the form is in a charset that cannot be read; send UTF-8") from None
    return validate(Asked, {"command": command, **rest, **_placed(command, rest, files)}, "")


def _take(state: State, file: UploadFile) -> str:
    with tempfile.NamedTemporaryFile(dir=state.folder / "uploads", delete=False) as copy:
        path = Path(copy.name)
        try:
            try:
                shutil.copyfileobj(file.file, copy)
                copy.close()
            except OSError as error:
                raise no_room(error) from error
            return state.pictures.add(path, file.filename or "picture").id
        finally:
            path.unlink(missing_ok=True)


def _placed(command: str, rest: dict[str, Any], files: dict[str, list[str]]) -> dict[str, Any]:
    """Return the pictures as a request has them. Raises UsageError."""
    data: dict[str, Any] = {}
    for name, key in (("picture", "picture"), ("hole", "hole")):
        if len(given := files.get(name, [])) > 1:
            raise UsageError(f"{len(given)} files are called {name!r}; give one")
        if given:
            data[key] = given[0]
    masks = files.get("mask", [])
    if siblings := files.get("sibling"):
        data["siblings"] = siblings
    if styles := files.get("style"):
        told = rest.get("styles") or [{} for _ in styles]
        if (
            not isinstance(told, list)
            or len(told) != len(styles)
            or not all(isinstance(t, dict) for t in told)
        ):
            raise UsageError(
                f"{len(styles)} styles are sent; 'styles' must be a list of as many objects, or missing"
            )
        if len(masks) > len(styles):
            raise UsageError(
                f"{len(masks)} masks are sent for {len(styles)} styles; the last one may be missing"
            )
        data["styles"] = [
            {**more, "picture": style, **({"mask": mask} if mask else {})}
            for more, style, mask in zip(told, styles, [*masks, *[None] * len(styles)], strict=False)
        ]
    elif masks:
        if len(masks) > 1 or command not in ("expand", "tile"):
            raise UsageError(f"{len(masks)} masks are sent, which {command} does not take")
        data["mask"] = masks[0]
    return data
