"""texsynth describe: what it says of textures whose properties are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import run_cli
from helpers.library_files import save, texture

from texsynth.images import Picture, write
from texsynth.images.tensors import to_image
from texsynth.pipelines.describe import describe, load_describer


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with stripes and grain."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:120, :150]
    net = 0.5 + 0.25 * np.sin(2 * np.pi * x / 15) + 0.25 * np.sin(2 * np.pi * y / 20)
    save((255 * net)[..., None].repeat(3, 2).astype(np.uint8), tmp_path / "net.png")
    for kind in ("stripes", "grain"):
        save(texture(kind), tmp_path / f"{kind}.png")
    return tmp_path


def described(*arguments: object, data: bytes | None = None) -> list[dict[str, Any]]:
    result = run_cli("describe", *arguments, "--json", "--threads", 1, data=data)
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_net(place: Path) -> None:
    (found,) = described("net.png")
    assert set(found) == {
        "path", "width", "height", "regularity", "kind", "lattice", "periods", "repeats", "orientations",
        "contrast", "lightness", "palette", "descriptor",
    }  # fmt: skip
    assert (found["path"], found["width"], found["height"]) == ("net.png", 150, 120)
    assert (found["kind"], found["regularity"] > 0.9) == ("regular", True)
    vectors = sorted([abs(dx), abs(dy)] for dx, dy in found["lattice"])
    assert np.allclose(vectors, [[0, 20], [15, 0]], atol=0.5)
    assert np.allclose(found["periods"], [15, 20], atol=0.5)
    assert found["repeats"] == pytest.approx({"across": 15, "down": 20, "shift": 0}, abs=0.5)
    assert found["lightness"] == pytest.approx(0.5, abs=0.02)
    assert found["contrast"] == pytest.approx(0.25, abs=0.02)
    assert sum(part["share"] for part in found["palette"]) == pytest.approx(1, abs=1e-3)
    assert all(part["colour"][0] == "#" and len(part["colour"]) == 7 for part in found["palette"])


def test_the_descriptor_is_that_of_the_picture(place: Path) -> None:
    (found,) = described("grain.png")
    wanted = describe(to_image(Picture(texture("grain"))), load_describer())[0]
    assert np.allclose(found["descriptor"], wanted.numpy(), atol=1e-4)


def test_stripes_and_grain(place: Path) -> None:
    stripes, grain = described("stripes.png", "grain.png")
    assert abs(stripes["orientations"][0]["degrees"] - 90) < 5
    assert stripes["orientations"][0]["weight"] > 2
    assert (grain["kind"], grain["lattice"], grain["periods"]) == ("stochastic", None, [])


def test_text(place: Path) -> None:
    result = run_cli("describe", "net.png", "grain.png", "--threads", 1)
    head, *rest = result.stdout.splitlines()
    assert head == "net.png: 150 x 120"
    assert rest[0] == "  regularity: 1.00 of 1 (regular)"
    assert rest[1] == "  repeats: every 15 px across and every 20 px down"
    assert "  descriptor: " in result.stdout
    assert "grain.png: 64 x 64\n" in result.stdout


def test_standard_input(place: Path) -> None:
    (found,) = described("-", data=(place / "net.png").read_bytes())
    (wanted,) = described("net.png")
    assert found == {**wanted, "path": "-"}


def test_transparent_parts_do_not_count(place: Path) -> None:
    rgb = texture("grain").copy()
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:, 48:] = 0
    rgb[:, 48:] = [255, 0, 0]
    write(Picture(rgb, alpha), place / "part.png")
    (found,) = described("part.png")
    assert "#ff0000" not in [part["colour"] for part in found["palette"]]


def test_bad_pictures(place: Path) -> None:
    (place / "text.png").write_text("I am text")
    result = run_cli("describe", "text.png", "grain.png", "--json", "--threads", 1)
    assert result.exit_code == 3
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["path"], first["exit_code"]) == ("text.png", 4)
    assert second["path"] == "grain.png"
    assert len(result.stderr.splitlines()) == 1
    for arguments, code in (
        (["text.png", "gone.png"], 4),
        (["*.tif"], 4),
        ([], 2),
        (["grain.png", "--max-pixels", 9], 4),
    ):
        result = run_cli("describe", *arguments)
        assert (result.exit_code, result.stdout) == (code, "") or (code == 2 and not arguments)
