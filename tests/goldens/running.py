"""Run a golden case through the command line and gather all that it says and writes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import yaml
from PIL import Image

from .cases import Case
from .inputs import Pixels, make_input

KEYWORD = "texsynth"
"""Of the PNG text that holds the record."""

PICTURE_SUFFIXES = (".png", ".jpg", ".webp", ".tif")

MEASURED = ("seconds", "memory_bytes")
"""Keys of JSON results whose values differ from run to run."""


@dataclass(frozen=True)
class Outcome:
    """All that a case said and wrote."""

    facts: dict[str, Any]
    """`runs` (exit code, stdout, stderr of each command), `files`, and `records` by file name."""
    pictures: dict[str, Pixels]
    """Decoded results by file name: (H, W) or (H, W, C), 8 or 16 bits."""


def run_case(case: Case, folder: Path) -> Outcome:
    """Make the inputs in the empty `folder`, run the commands there, and gather what came out."""
    for name in case.files:
        make_input(name, folder)
    inputs = set(files_below(folder))
    data = (folder / case.stdin).read_bytes() if case.stdin in inputs else None
    if case.stdin and data is None:
        make_input(case.stdin, folder)
        inputs.add(case.stdin)
        data = (folder / case.stdin).read_bytes()
    runs = [run_command(command, folder, data) for command in case.commands]
    return gather(folder, inputs, runs)


def run_command(command: str, folder: Path, data: bytes | None = None) -> dict[str, Any]:
    """Run `python -m texsynth COMMAND` in `folder`; return its exit code and normalised output."""
    process = subprocess.run(
        [sys.executable, "-m", "texsynth", *shlex.split(command)],
        cwd=folder,
        env=child_environment(),
        input=data or b"",
        capture_output=True,
        check=False,
    )
    hashes = {digest(folder / name): name for name in files_below(folder)}
    return {
        "command": command,
        "exit_code": process.returncode,
        "stdout": normal_output(process.stdout.decode(), folder, hashes),
        "stderr": normal_text(process.stderr.decode(), folder).splitlines(),
    }


def child_environment() -> dict[str, str]:
    """Return an environment in which results depend on no setting of who runs it, nor on the number of cores.

    The texsynth that runs is that of PYTHONPATH, or the installed one.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TEXSYNTH_", "COV_"))}
    paths = [os.path.abspath(p) for p in kept.pop("PYTHONPATH", "").split(os.pathsep) if p]
    for name in ("FORCE_COLOR", "MKL_NUM_THREADS"):
        kept.pop(name, None)
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TEXSYNTH_CACHE": "no-cache",
        "TEXSYNTH_OFFLINE": "1",
        "NO_COLOR": "1",
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
    }


def gather(folder: Path, inputs: set[str], runs: list[dict[str, Any]]) -> Outcome:
    """Read every file below `folder` that is no input."""
    results = [name for name in files_below(folder) if name not in inputs]
    hashes = {digest(folder / name): name for name in files_below(folder)}
    records, pictures = {}, {}
    for name in results:
        if name.endswith(PICTURE_SUFFIXES):
            pictures[name] = decoded(folder / name)
            record = record_of(folder / name)
            if record is not None:
                records[name] = normal_record(record, hashes)
    return Outcome({"runs": runs, "files": results, "records": records}, pictures)


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


def record_of(path: Path) -> Any:  # noqa: ANN401 (a YAML tree)
    """Return the parsed record in the text of a PNG or in the sidecar; None for pictures without one."""
    sidecar = path.with_name(path.name + ".yaml")
    if sidecar.exists():
        return yaml.safe_load(sidecar.read_text())
    with Image.open(path) if path.suffix == ".png" else Image.new("L", (1, 1)) as opened:
        text = opened.info.get(KEYWORD)
    return None if text is None else yaml.safe_load(text)


def normal_record(record: dict[str, Any], hashes: dict[str, str]) -> Any:  # noqa: ANN401 (a YAML tree)
    """Leave out versions, and replace the hashes of files by their names: encoders may write other bytes."""
    return named_hashes({k: v for k, v in record.items() if k != "versions"}, hashes)


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
