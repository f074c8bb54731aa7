"""The add-on for Blender, in `addon`, and the file by which it is installed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from texsynth.paths import listing

FOLDER = "texsynth_addon"
"""The folder in the file, and a module in Blender before 4.2, where `texsynth` may be installed, too."""

SUFFIXES = (".py", ".toml")

EPOCH = (1980, 1, 1, 0, 0, 0)  # The first date that a zip can hold


def addon_zip() -> bytes:
    """Return the add-on as a zip that Blender installs; always the same bytes."""
    files, data = listing(Path(__file__).parent / "addon").files, io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            if file.name.endswith(SUFFIXES):
                entry = zipfile.ZipInfo(f"{FOLDER}/{file.name}", EPOCH)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return data.getvalue()
