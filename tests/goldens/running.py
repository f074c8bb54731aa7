"""Run a golden case through the command line and gather all that it says and writes."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyvips
import yaml
from PIL import Image

from texsynth.images.seal import KEY

from .cases import Case
from .inputs import Pixels, make_input
from .program import Program, run_fresh

KEYWORD = "texsynth"
"""Of the PNG text that holds the record."""

NAMESPACE = "urn:texsynth:record#"
"""Of the XMP that holds it in other formats."""

PICTURE_SUFFIXES = (".png", ".jpg", ".webp", ".tif")

MEASURED = ("seconds", "memory_bytes")
"""Keys of JSON results whose values differ from run to run."""


@dataclass(frozen=True)
class Outcome:
    """All that a case said and wrote."""

    facts: dict[str, Any]
    """`runs` (exit code, stdout, stderr of every command), `files`, and `records` and `formats` by file."""
    pictures: dict[str, Pixels]
    """Decoded results by file name: (H, W) or (H, W, C), 8 or 16 bits."""


def run_case(case: Case, folder: Path, program: Program = run_fresh) -> Outcome:
    """Make the inputs in the empty `folder`, run the commands there, and gather what came out."""
    for name in case.files:
        make_input(name, folder)
    inputs = set(files_below(folder))
    data = (folder / case.stdin).read_bytes() if case.stdin else b""
    runs = [run_command(command, folder, program, data) for command in case.commands]
    return gather(folder, inputs, runs)


def run_command(
    command: str, folder: Path, program: Program = run_fresh, data: bytes = b""
) -> dict[str, Any]:
    """Run `texsynth COMMAND` in `folder`; return its exit code and normalised output."""
    process = program(shlex.split(command), folder, data)
    output = process.stdout
    if output.startswith(b"\x89PNG"):
        (folder / "stdout.png").write_bytes(output)
        output = b""
    hashes = {digest(folder / name): name for name in files_below(folder)}
    return {
        "command": command,
        "exit_code": process.returncode,
        "stdout": normal_output(output.decode(), folder, hashes),
        "stderr": normal_text(process.stderr.decode(), folder).splitlines(),
    }


def gather(folder: Path, inputs: set[str], runs: list[dict[str, Any]]) -> Outcome:
    """Read every file below `folder` that is no input."""
    results = [name for name in files_below(folder) if name not in inputs]
    hashes = {digest(folder / name): name for name in files_below(folder)}
    records, formats, pictures = {}, {}, {}
    for name in results:
        if name.endswith(PICTURE_SUFFIXES):
            pictures[name] = decoded(folder / name)
            formats[name] = format_of(folder / name)
            record = record_of(folder / name)
            if record is not None:
                records[name] = normal_record(record, hashes)
    return Outcome({"runs": runs, "files": results, "records": records, "formats": formats}, pictures)


def files_below(folder: Path) -> list[str]:
    """List all files below `folder`, sorted, as relative names."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def decoded(path: Path) -> Pixels:
    """Decode a picture: 16-bit ones by libvips, since Pillow has no 16-bit colour, all others by Pillow."""
    image = pyvips.Image.new_from_file(str(path))
    if image.format == "ushort":
        return np.asarray(image.numpy(), np.uint16)
    with Image.open(path) as opened:
        return np.asarray(opened)


def format_of(path: Path) -> dict[str, Any]:
    """Return what reads a file, whatever its name is, and whether there is a colour profile in it."""
    image = pyvips.Image.new_from_file(str(path))
    return {"loader": image.get("vips-loader"), "profile": image.get_typeof("icc-profile-data") != 0}


def record_of(path: Path) -> Any:  # noqa: ANN401 (a YAML tree)
    """Return the parsed record in a PNG's text, in XMP, or in the sidecar; None for pictures without one."""
    sidecar = path.with_name(path.name + ".yaml")
    if sidecar.exists():
        return yaml.safe_load(sidecar.read_text())
    with Image.open(path) as opened:
        text, packet = opened.info.get(KEYWORD), opened.info.get("xmp")
    if packet:
        text = ElementTree.fromstring(packet).findtext(f".//{{{NAMESPACE}}}settings")
    return None if text is None else yaml.safe_load(text)


def normal_record(record: dict[str, Any], hashes: dict[str, str]) -> Any:  # noqa: ANN401 (a YAML tree)
    """Leave out versions and the hash of the pixels, and replace the hashes of files by their names.

    Encoders may write other bytes, and pixels are compared with tolerance.
    """
    return named_hashes({k: v for k, v in record.items() if k not in ("versions", KEY)}, hashes)


def named_hashes(tree: Any, hashes: dict[str, str]) -> Any:  # noqa: ANN401 (a tree of YAML or JSON)
    """Replace in `tree` every hash of a file by `sha256 of NAME`."""
    if isinstance(tree, dict):
        return {key: named_hashes(value, hashes) for key, value in tree.items()}
    if isinstance(tree, list):
        return [named_hashes(value, hashes) for value in tree]
    return f"sha256 of {hashes[tree]}" if isinstance(tree, str) and tree in hashes else tree


def normal_output(text: str, folder: Path, hashes: dict[str, str]) -> list[Any]:
    """Return the lines of standard output: objects as trees without measured values, others as text."""
    lines: list[Any] = []
    for line in normal_text(text, folder).splitlines():
        if line.startswith("{"):
            tree = json.loads(line)
            tree |= {key: "measured" for key in MEASURED if key in tree}
            if "texsynth" in tree:
                tree["texsynth"] = "version"
            lines.append(named_hashes(tree, hashes))
        else:
            lines.append(re.sub(r"\b[0-9a-f]{8}…", "HASH…", line))
    return lines


def normal_text(text: str, folder: Path) -> str:
    """Replace the folder, times, speeds, sizes of memory and versions."""
    text = text.replace(str(folder.resolve()), "FOLDER").replace(str(folder), "FOLDER")
    text = re.sub(r"\d+(\.\d+)? s\b", "TIME s", text)
    text = re.sub(r"\d+(\.\d+)? pictures per second", "SPEED pictures per second", text)
    text = re.sub(r"\d+(\.\d+)? [KMG]iB", "MEMORY", text)
    return re.sub(r"texsynth \d+(\.\w+)+", "texsynth VERSION", text)
