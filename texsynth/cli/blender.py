"""texsynth blender."""

import os
from pathlib import Path

import texsynth
from texsynth.cli import options
from texsynth.errors import UsageError
from texsynth.images.files import store
from texsynth.jobs.checks import check_outputs
from texsynth.jobs.files import make_folder
from texsynth.paths import is_folder

SUFFIX = ".zip"

NAME = f"texsynth-blender-{texsynth.__version__}{SUFFIX}"


def blender(
    *,
    output: str | None = options.file_option(
        None,
        "-o",
        "--output",
        metavar="FILE.zip|FOLDER",
        help=f"The add-on: a name that ends with .zip, or a folder for {NAME}. Default: that here.",
    ),
    force: options.Force = False,
    screen: options.BriefOptions,
) -> None:
    """Write the add-on for Blender, which makes textures and materials in its Image Editor.

    In Blender: Preferences, Get Extensions, the arrow at the upper right, Install from Disk.
    """
    path = _destination(output)
    check_outputs([], force=force, also=[path])
    from texsynth.integrations.blender import addon_zip

    make_folder(path.parent)
    store(addon_zip(), path, force=force)
    screen.screen().written(str(path), output=str(path))


def _destination(output: str | None) -> Path:
    """Return the file to write. Raises UsageError."""
    if output is None:
        return Path(NAME)
    if not output:
        raise UsageError("the name of the output is empty; give a file or a folder")
    path = Path(output)
    if is_folder(path) or output.endswith(("/", os.sep)):
        return path / NAME
    if path.suffix.lower() != SUFFIX:
        raise UsageError(
            f"the add-on {output!r} needs a name that ends with {SUFFIX}, or a folder, like out/"
        )
    return path
