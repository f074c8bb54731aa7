"""What alpha 0 hides changes nothing that is seen, in any mode, of the content and of the style."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import make_picture, run_cli

from texsynth.images import Picture, read, write
from texsynth.jobs.memory import TilePlan


def place_of(place: Path, version: str) -> Path:
    (place / version).mkdir(exist_ok=True)
    return place / version


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions, A and B, of a content and of a style, which differ below alpha 0; masks and maps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMPDIR", raising=False)
    for name, seed in (("cat", 1), ("oil", 2)):
        rgb = read(make_picture(tmp_path / f"{name}.png", seed=seed, height=150, width=120)).rgb
        y, x = np.mgrid[:150, :120]
        alpha = np.clip((x + 2 * y - 120) * 4, 0, 255).astype(np.uint8)
        alpha[60:100, 70:110] = 0
        for version, junk in (
            ("A", np.uint8(255)),
            ("B", np.random.default_rng(3).integers(0, 99, rgb.shape)),
        ):
            mixed = np.where(alpha[..., None] > 0, rgb, junk).astype(np.uint8)
            write(Picture(mixed, alpha), place_of(tmp_path, version) / f"{name}.png")
    map_of = np.zeros((150, 120, 3), np.uint8)
    map_of[:, 50:] = 255
    write(Picture(map_of), tmp_path / "map.png")
    (tmp_path / "few.yaml").write_text("stylize: {transform: {name: optimize, iterations: 2}}")
    return tmp_path


COMMANDS = {
    "artistic": "stylize {}/cat.png {}/oil.png",
    "photo": "stylize {}/cat.png {}/oil.png --photo",
    "photo as decoded": "stylize {}/cat.png {}/oil.png --photo --set edge_aware=false",
    "own colours": "stylize {}/cat.png {}/oil.png --preserve-color",
    "reduced": "stylize {}/cat.png {}/oil.png --photo --max-side 70",
    "another scale": "stylize {}/cat.png {}/oil.png --set style_scale=0.6",
    "optimal transport": "stylize {}/cat.png {}/oil.png --transform ot",
    "descent": "stylize {}/cat.png {}/oil.png -p few.yaml --max-side 40",
    "mask": "blend {}/cat.png --style {}/oil.png --mask map.png",
    "masks": "blend {}/cat.png --style {}/oil.png --mask map.png --style {}/cat.png --mask rest --photo",
    "labels": "blend {}/cat.png --style {}/oil.png --content-labels map.png --style-labels map.png",
    "one after the other": "blend {}/cat.png --style {}/oil.png --style {}/cat.png --sequential",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_is_hidden_stays_hidden(place: Path, model: Path, command: str) -> None:
    for version in "AB":
        arguments = shlex.split(command.replace("{}", version))
        result = run_cli(*arguments, "-o", f"{version}.png", "--model", model, "--dtype", "float32")
        assert result.exit_code == 0, result.stderr
    one, other = (read(place / f"{version}.png") for version in "AB")
    assert one.alpha is not None
    assert not one.alpha.all()
    assert np.array_equal(one.alpha, other.alpha)  # type: ignore[arg-type]
    # Also what is stored where nothing is seen.
    assert np.array_equal(one.rgb, other.rgb)


@pytest.mark.parametrize("cells", [1 << 20, 1000])
@pytest.mark.parametrize("mode", ["--artistic", "--photo"])
def test_and_in_tiles_and_strips(
    place: Path, model: Path, cells: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        ("images.hidden", "CELLS", cells),
        ("jobs.contents", "LARGE_PIXELS", 1),
        ("pipelines.rasters", "STRIP_PIXELS", 3000),
    ):
        monkeypatch.setattr(f"texsynth.{module}.{name}", value)
    for version, spilled in (("A", True), ("B", True), ("B", False)):
        monkeypatch.setattr("texsynth.jobs.stylize.plan_tiles", lambda *_, k=spilled, **__: TilePlan(64, k))
        name = f"{version}{spilled}.png"
        flags = (mode, "-o", name, "--model", model, "--dtype", "float32")
        result = run_cli("stylize", f"{version}/cat.png", "A/oil.png", *flags)
        assert result.exit_code == 0, result.stderr
    first, *others = (read(path).rgb for path in sorted(place.glob("*e.png")))
    assert len(others) == 2
    assert all(np.array_equal(first, other) for other in others)


def test_a_card_measures_what_is_seen(place: Path, model: Path) -> None:
    for version in "AB":
        flags = ("-o", f"{version}.card", "--model", model, "--dtype", "float32")
        assert run_cli("card", "make", f"{version}/oil.png", *flags).exit_code == 0
        command = ("stylize", "A/cat.png", f"{version}.card", "-o", f"{version}.png", "--model", model)
        assert run_cli(*command).exit_code == 0
    one, other = (read(place / f"{version}.png").rgb for version in "AB")
    assert np.array_equal(one, other)
