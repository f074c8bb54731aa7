"""Every key of the settings at the ends of what is legal: a right picture or one sentence comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from helpers.cli import run_cli
from helpers.extreme_values import extreme_values, variants
from helpers.texture_files import save, texture

from texsynth.config.map_settings import MapsSettings, TilesetSettings
from texsynth.config.settings import ExpandSettings, RunSettings, StylizeSettings
from texsynth.images import read

PICTURES = {"square": (16, 16), "wide": (16, 64), "tall": (65, 17), "odd": (37, 31)}
"""Rows and columns."""

MOST: dict[str, float] = {
    "scale": 1.5, "candidates": 2, "corners": 2, "patch.layouts": 2, "patch.refine": 3,
    "patch.iterations": 2, "optimize.iterations": 2, "optimize.noise_iterations": 2,
    "transform.iterations": 2, "finish.steps": 2, "transform.n_upd": 100, "transform.n_iter": 10,
    "threads": 2,
}  # fmt: skip
"""Largest values of what only takes longer when it is larger."""

SKIPPED = {
    "compiled": "takes minutes and needs a compiler",
    "lenient": "is for damaged files",
    "tile": "has no option",
    "backend": "needs OpenVINO for the other one",
}

REFUSED = {"scale", "size", "levels", "transform.name", "max_pixels", "frame", "bit_depth", "finish.content"}
"""Keys whose extremes may have no picture; all others have one."""

PATCH = (
    "--method", "patch", "--set", "patch.layouts=1", "--set", "patch.refine=0.3",
    "--set", "patch.iterations=[1]",
)  # fmt: skip
"""Options of a short run."""

ONLY_PAINTED = (
    "style_scale",
    "grain",
    "preserve_detail",
    "preserve_light",
    "transform.iterations",
    "transform.content",
)


def arguments_of(kind: type, key: str) -> list[list[str]]:
    """Return the calls in which a key counts, of which one is taken for each of its values."""
    small = [] if key in ("size", "scale") else ["--size", "24x17"]
    if kind is MapsSettings:
        return [["maps"]]
    if kind is TilesetSettings:
        return [["tileset", "--set", "size=[16, 17]", *PATCH[2:], "--set", "patch.iterations=[]"]]
    if kind is RunSettings:
        return [["stylize", "PICTURE", "other.png"]]
    if kind is StylizeSettings:
        paint, mix = (
            ["stylize", "PICTURE", "other.png"],
            ["blend", "--style", "other.png", "--style", "odd.png"],
        )
        if key.startswith("finish"):
            return [[*paint, "--set", "finish.steps=2"]]
        return [paint, mix] if key in ONLY_PAINTED else [paint, [*paint, "--photo"], mix]
    if key.startswith("noise"):
        return [
            ["expand", *small, "--method", "noise"],
            ["expand", *small, "--method", "noise", "--tileable"],
        ]
    if key.startswith("optimize.noise"):
        return [["expand", *small, "--method", "optimize", "--set", "optimize.noise_iterations=1"]]
    if key.startswith("optimize"):
        return [["expand", *small, *PATCH, "--method", "patch+optimize", "--set", "optimize.iterations=1"]]
    if key in ("variation", "transposer"):
        return [["expand", *small, "--method", "transposer"]]
    if key == "patch.guide":
        return [["expand", *small, *PATCH, "--guide", "other.png"]]
    plain = [
        "expand",
        *small,
        *PATCH,
        "--set",
        "optimize.iterations=1",
        "--set",
        "optimize.noise_iterations=1",
    ]
    if not key.startswith("patch") and key not in ("orientations", "variety", "even_light"):
        return [plain]
    return [plain, [*plain, "--tileable"], ["tile", *PATCH]]


def of_run(key: str, value: Any) -> list[str]:  # noqa: ANN401 (any setting)
    """Return the option for a setting of the run."""
    flag = f"--{key.replace('_', '-')}"
    return [] if value in (None, False) else [flag] if value is True else [flag, str(value)]


def capped(key: str, value: Any) -> Any:  # noqa: ANN401 (any setting)
    """Return a value that is no larger than tests have time for."""
    most = MOST.get(key)
    if most is None or value is None:
        return value
    if isinstance(value, dict):
        return {level: min(each, most) for level, each in value.items()}
    return [min(each, most) for each in value] if isinstance(value, list) else min(value, most)


def written(key: str, value: Any) -> list[str]:  # noqa: ANN401 (any setting)
    """Return the --set that gives a key a value."""
    pairs = value.items() if isinstance(value, dict) else ()
    text = "{" + ", ".join(f"{level}: {each}" for level, each in pairs) + "}"
    return ["--set", f"{key}={text if isinstance(value, dict) else json.dumps(value)}"]


def cases(kind: type) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each key with the ends of the command lines that give it its values."""
    names = variants(kind, "transform") if kind is StylizeSettings else {}
    for key, pairs in groupby(extreme_values(kind), lambda pair: pair[0]):
        # A tile set makes 16 tiles; expansions are tried with all keys of pieces.
        if kind is TilesetSettings and key.startswith("patch."):
            continue
        owners = [name for name, keys in names.items() if key.removeprefix("transform.") in keys]
        ends: list[list[str]] = []
        for _, value in pairs:
            end = (of_run if kind is RunSettings else written)(key, capped(key, value))
            own = owners if key.startswith("transform.") else [""]
            more = ["--set", "transform.iterations=2"] if own == ["optimize"] else []
            ends += [[*more, *(["--set", f"transform.name={n}"] if n else []), *end] for n in own]
        yield key, [end for place, end in enumerate(ends) if end not in ends[:place]]


KINDS = (MapsSettings, StylizeSettings, ExpandSettings, TilesetSettings, RunSettings)

CASES = {f"{kind.__name__} {key}": (kind, key, ends) for kind in KINDS for key, ends in cases(kind)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small pictures."""
    place = tmp_path_factory.mktemp("extreme")
    for seed, (name, size) in enumerate(PICTURES.items()):
        save(place / f"{name}.png", texture(*size, seed=seed))
    save(place / "other.png", texture(24, 18, seed=9))
    return place


@pytest.mark.parametrize("case", CASES)
def test_an_extreme_setting(case: str, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    kind, key, ends = CASES[case]
    if key in SKIPPED:
        pytest.skip(SKIPPED[key])
    calls = arguments_of(kind, key)
    for number, end in enumerate(ends):
        # Another shape and another call with every value, and another pairing of both with every key.
        name = list(PICTURES)[(number + len(case)) % len(PICTURES)]
        command, *call = calls[(number + len(key)) % len(calls)]
        call = [part for part in call if part != "PICTURE"]
        network = [] if kind in (MapsSettings, TilesetSettings) else ["--model", model]
        before = ["other.png"] if command == "stylize" else []
        call = [part for part in call if part not in before]
        arguments = [command, f"{name}.png", *before, *call, *network, "--json", "-f", *end]
        result = run_cli(*arguments)
        line = " ".join(map(str, arguments))
        allowed = (0, 2, 4) if key in REFUSED else (0,)
        assert result.exit_code in allowed, f"{line}: {result.stderr}"
        assert "bug" not in result.stderr
        if result.exit_code:
            assert len(result.stderr.splitlines()) == 1, line
            continue
        for row in map(json.loads, result.stdout.splitlines()):
            if "output" in row:
                assert read(Path(row["output"])).rgb.any(), line


@pytest.mark.parametrize(
    ("size", "arguments"),
    [
        ((40, 36), ("--size", "24x40")),  # every piece is turned
        ((17, 68), ("--size", "24x40", "--method", "transposer+patch")),  # middles of cells lie outside
        ((40, 36), ("--size", "24x40", "--set", "patch.block=0.0500001")),  # blocks of a pixel are laid again
    ],
)
def test_a_lattice_and_tiny_blocks_on_tiny_pictures(
    size: tuple[int, int], arguments: tuple[str, ...], tmp_path: Path, model: Path
) -> None:
    wall = save(tmp_path / "wall.png", texture(*size, seed=3 if size[1] == 36 else 4))
    short = (*PATCH[2:], "-o", tmp_path / "more.png")
    result = run_cli("expand", wall, "--model", model, "--method", "patch", *short, *arguments)
    assert result.exit_code == 0, result.stderr
    assert read(tmp_path / "more.png").rgb.shape == (40, 24, 3)
