"""Expectations of golden cases on disk, and their comparison with what came out."""

from __future__ import annotations

import math
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from .inputs import Pixels
from .running import Outcome

EXPECTED = Path(__file__).parent / "expected"
OLD_FOLDER = Path(__file__).parent / "old_records"
MACHINE = EXPECTED / "machine.yaml"

TOLERANCE = 2 / 255
"""Largest mean absolute difference of pixels, of the full range, between machines and for lossy files."""

BFLOAT16_TOLERANCE = 12 / 255
"""The same for results of bfloat16 between machines: 3.1 / 255 with and without Intel's matrix tiles,
8.1 / 255 between those tiles and the units of an AMD EPYC."""

FIGURES = 0.02
"""Largest difference of measured figures in JSON, like similarities, between machines."""

LOSSY_SUFFIXES = (".jpg", ".webp")


def this_machine() -> dict[str, Any]:
    """Describe what decides about the last bits of a result."""
    return {
        "torch": torch.__version__.partition("+")[0],
        "capability": torch.backends.cpu.get_cpu_capability(),
        "matrix_tiles": bool(torch.cpu._is_amx_tile_supported()),
        "architecture": platform.machine(),
        "threads": 1,
    }


def is_same_machine(note: Path = MACHINE) -> bool:
    """Return True when results must equal those made where `note` was written bit for bit."""
    return bool(yaml.safe_load(note.read_text()) == this_machine())


def save(name: str, outcome: Outcome) -> None:
    """Write what came out of the case `name` as its expectation, in place of the one before."""
    folder = EXPECTED / name
    for old in folder.rglob("*.png"):
        old.unlink()
    facts = outcome.facts | {"pictures": {n: properties(p) for n, p in outcome.pictures.items()}}
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=110)
    (folder / "facts.yaml").write_text(text, encoding="utf-8")
    for picture, pixels in outcome.pictures.items():
        path = stored(name, picture)
        path.parent.mkdir(parents=True, exist_ok=True)
        flat = pixels
        if pixels.dtype == np.uint16 and pixels.ndim == 3:  # Pillow has 16 bits for grey alone
            flat = np.concatenate(list(np.moveaxis(pixels, -1, 0)))
        Image.fromarray(np.ascontiguousarray(flat)).save(path, optimize=True)


def stored(name: str, picture: str) -> Path:
    """Return where the pixels of a picture of the case `name` are."""
    return EXPECTED / name / f"{picture}.png"


def properties(pixels: Pixels) -> dict[str, Any]:
    """Return shape and type of `pixels` for the facts."""
    return {"shape": list(pixels.shape), "dtype": str(pixels.dtype)}


def load(name: str) -> Outcome:
    """Read the expectation of the case `name`."""
    facts = yaml.safe_load((EXPECTED / name / "facts.yaml").read_text(encoding="utf-8"))
    pictures = {}
    for picture, about in facts.pop("pictures").items():
        with Image.open(stored(name, picture)) as opened:
            pixels = np.asarray(opened)
        if about["dtype"] == "uint16" and len(about["shape"]) == 3:
            pixels = np.stack(np.split(pixels, about["shape"][2]), -1)
        pictures[picture] = pixels.astype(about["dtype"])
    return Outcome(facts, pictures)


def differences(expected: Outcome, actual: Outcome, *, exact: bool, discrete: bool) -> list[str]:
    """Name everything in which two outcomes of a case differ.

    exact: pixels and figures must be the same; else they may differ as between machines, and those of
    discrete methods altogether.
    """
    problems = tree_differences(expected.facts, actual.facts, "", exact=exact)
    for name in sorted(expected.pictures.keys() & actual.pictures.keys()):
        before, now = expected.pictures[name], actual.pictures[name]
        rough = expected.facts["records"].get(name, {}).get("run", {}).get("dtype") == "bfloat16"
        limit = BFLOAT16_TOLERANCE if rough else TOLERANCE
        problems += pixel_differences(name, before, now, exact=exact, discrete=discrete, tolerance=limit)
    return problems


def tree_differences(expected: Any, actual: Any, where: str, *, exact: bool) -> list[str]:  # noqa: ANN401
    """Name the places in which two trees of dictionaries, lists and values differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        problems = []
        for key in [*expected, *(k for k in actual if k not in expected)]:
            if key not in actual:
                problems.append(f"{where}/{key}: missing; expected {expected[key]!r}")
            elif key not in expected:
                problems.append(f"{where}/{key}: new; {actual[key]!r}")
            elif not (key == "dtype" and where.endswith("/run") and not exact):  # chosen by the machine
                problems += tree_differences(expected[key], actual[key], f"{where}/{key}", exact=exact)
        return problems
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [p for k, (a, b) in pairs for p in tree_differences(a, b, f"{where}/{k}", exact=exact)]
    if isinstance(expected, float) and isinstance(actual, float) and not exact:
        same = math.isclose(expected, actual, abs_tol=FIGURES)
    else:
        same = expected == actual and type(expected) is type(actual)
    return [] if same else [f"{where}: expected {expected!r}\n    but it is {actual!r}"]


def pixel_differences(
    name: str, before: Pixels, now: Pixels, *, exact: bool, discrete: bool, tolerance: float = TOLERANCE
) -> list[str]:
    """Say how the pixels of one picture differ."""
    if before.shape != now.shape or before.dtype != now.dtype:
        return [f"{name}: {now.shape} {now.dtype}, expected {before.shape} {before.dtype}"]
    if np.array_equal(before, now) or (discrete and not exact):
        return []
    gaps = np.abs(before.astype(float) - now) / np.iinfo(before.dtype).max
    mean = float(gaps.mean())
    limit = tolerance
    if exact:
        limit = TOLERANCE if name.endswith(LOSSY_SUFFIXES) else 0.0
    if mean <= limit:
        return []
    share = float((gaps > 0).mean())
    return [
        f"{name}: pixels differ by {mean * 255:.3f}/255 on average (limit {limit * 255:.0f}/255), "
        f"{gaps.max() * 255:.1f}/255 at most, in {share:.1%} of the values"
    ]
