"""texsynth tile from end to end, with a random model so that no weights are needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cli import names, run_cli
from helpers.texture_files import check_refused, ok, record, save, texture
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from texsynth.images import read
from texsynth.pipelines import complete


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture whose borders do not meet, and the current one."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "wall.png", uneven())
    return tmp_path


def uneven(top: int = 255) -> NDArray[np.uint16]:
    """Darker at the left, brighter at the right, (48, 64, 3)."""
    ramp = np.linspace(0, 0.25, 64)[None, :, None] * top
    return (texture(48, 64, top=top) + ramp).astype(np.uint16)


def step(pixels: NDArray[np.generic]) -> float:
    """Mean difference across the left and right border over the largest inside."""
    values = pixels.astype(float)
    across = np.abs(values[:, 0] - values[:, -1]).mean()
    return float(across / np.abs(np.diff(values, axis=1)).mean((0, 2)).max())


def test_a_tile_has_the_same_size_and_meets_itself(place: Path, quick: list[object]) -> None:
    assert ok("tile", "wall.png", *quick).stdout == "wall.tile.png\n"
    out = read(place / "wall.tile.png").rgb
    assert out.shape == (48, 64, 3)
    assert step(uneven()) > 1.2
    assert step(out) < 1.1
    assert record(place / "wall.tile.png").command == "tile"


def test_what_was_made_seamless_is_known_by_its_record(
    place: Path, quick: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However strange its borders look; and other pixels, or other records, tell nothing."""
    monkeypatch.setattr(complete, "is_seamless", lambda image: False)

    def is_known(*command: str) -> bool:
        return "seamless already and was left as it is" in " ".join(ok(*command, *quick).stderr.split())

    save(place / "even.png", texture(96, 80))
    for suffix in ("png", "tif"):
        assert not is_known("tile", "even.png", "-o", f"once.{suffix}")
        assert is_known("tile", f"once.{suffix}", "-o", f"twice.{suffix}")
        assert np.array_equal(read(place / f"once.{suffix}").rgb, read(place / f"twice.{suffix}").rgb)
    ok("expand", "even.png", "--tileable", "--size", "90x90", "-o", "larger.png", *quick)
    assert is_known("tile", "larger.png")
    assert not is_known("tile", "larger.png", "--size", "80x90", "-o", "other.png")
    with Image.open(place / "once.png") as image:
        image.load()
        texts = PngImagePlugin.PngInfo()
        for key in ("texsynth", "texsynth-pixels"):
            texts.add_text(key, image.info[key])
        image.crop((0, 0, 80, 92)).save(place / "cut.png", pnginfo=texts)
    assert not is_known("tile", "cut.png")
    ok("expand", "even.png", "--size", "90x90", "-o", "open.png", *quick)
    assert not is_known("tile", "open.png")


def test_a_seamless_picture_is_left_as_it_is_and_that_is_said(place: Path, quick: list[object]) -> None:
    ok("tile", "wall.png", "-o", "once.png", *quick)
    blurred = np.random.default_rng(0).random((64, 64, 3))
    waves = np.fft.rfft2(blurred, axes=(0, 1))
    waves[9:-8] = 0
    waves[:, 9:] = 0
    smooth = np.fft.irfft2(waves, s=(64, 64), axes=(0, 1))
    smooth = (40 + 180 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint16)
    save(place / "closed.png", smooth)
    save(place / "bump.png", smooth[..., 0])
    result = ok("tile", "closed.png", "--with", "bump.png", *quick)
    assert "seamless already and was left as it is" in " ".join(result.stderr.split())
    assert np.array_equal(read(place / "closed.tile.png").rgb, smooth)
    assert np.array_equal(read(place / "bump.tile.png").rgb[..., 0], smooth[..., 0])
    save(place / "open.png", smooth[:48])
    assert "seamless" not in ok("tile", "open.png", *quick).stderr


def test_a_tile_of_another_size(place: Path, quick: list[object]) -> None:
    ok("tile", "wall.png", "--size", "80x48", *quick)
    out = read(place / "wall.tile.png").rgb
    assert out.shape == (48, 80, 3)
    assert np.array_equal(out[10:-10, 20:-20], uneven()[10:-10, 12:-12])
    assert step(out) < 1.1
    ok("replay", "wall.tile.png")
    assert (place / "wall.tile.replay.png").read_bytes() == (place / "wall.tile.png").read_bytes()


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_presets_make_tiles(place: Path, model: Path, preset: str) -> None:
    ok("tile", "wall.png", "-p", preset, "--model", model, "--set", "patch.layouts=1")
    assert record(place / "wall.tile.png").expand.method == "patch"


def test_siblings_become_seamless_with_their_picture(place: Path, quick: list[object]) -> None:
    save(place / "deep.png", uneven(65535)[..., 1], deep=True)
    result = ok("tile", "wall.png", "--with", "deep.png", "-o", "out/", *quick)
    assert result.stdout.split() == ["out/wall.tile.png", "out/deep.tile.png"]
    deep, wall = read(place / "out/deep.tile.png"), read(place / "out/wall.tile.png")
    assert (deep.bit_depth, deep.grey) == (16, True)
    assert set(deep.rgb[..., 0].flat) <= set(uneven(65535)[..., 1].flat)
    assert np.abs(deep.rgb[..., 0] / 257 - wall.rgb[..., 1]).mean() < 4


def test_replay_of_a_tile_gives_the_same_bytes(place: Path, quick: list[object]) -> None:
    save(place / "bump.png", uneven()[..., 1])
    ok("tile", "wall.png", "--with", "bump.png", "--seed", 3, *quick)
    assert ok("replay", "wall.tile.png").stdout.split() == ["wall.tile.replay.png", "bump.tile.replay.png"]
    for name in ("wall", "bump"):
        assert (place / f"{name}.tile.replay.png").read_bytes() == (place / f"{name}.tile.png").read_bytes()


def test_a_folder_with_a_preview(place: Path, quick: list[object]) -> None:
    (place / "in").mkdir()
    save(place / "in/a.png", uneven())
    save(place / "in/b.png", uneven()[:, ::-1])
    (place / "in/c.jpg").write_text("I am text")
    result = run_cli("tile", "in", "-o", "out/", "--preview", "sheet.png", *quick)
    assert result.exit_code == 3
    assert names(place / "out") == ["a.tile.png", "b.tile.png"]
    assert read(place / "sheet.png").rgb.shape == (3 * 12 + 2 * 48, 3 * 12 + 2 * 64, 3)


def test_pipes(place: Path, quick: list[object]) -> None:
    assert ok("tile", "-", *quick, data=(place / "wall.png").read_bytes()).stdout == "stdin.tile.png\n"


BAD: list[tuple[list[str], int, str]] = [
    (["small.png"], 4, "small.png has 40 x 15 pixels"),
    (["gone.png"], 4, "gone.png does not exist"),
    (["cut.png"], 4, "cut.png is damaged or incomplete"),
    (["part.png"], 4, "part.png has transparent parts, but a tile must be opaque"),
    (["two.png", "--with", "map.png"], 4, "map.png has 9 x 9 pixels, but two.png has 40 x 32"),
    (["two.png", "--mask", "black.png"], 4, "black.png leaves nothing"),
    (["two.png", "--method", "transposer"], 2, "method transposer cannot be used with `texsynth tile`"),
    (["two.png", "--method", "optimise"], 2, "unknown method 'optimise'; did you mean 'optimize'?"),
    (["two.png", "-p", "bold"], 2, "preset 'bold' has no settings for expand"),
    (["two.png", "--size", "9x99"], 2, "two.png: the output would have 9 x 99 pixels"),
    (["two.png", "-o", "taken.png"], 5, "taken.png exists already"),
    (["two.png", "-o", "two.png", "-f"], 2, "also an input"),
    (["two.png", "small.png", "-o", "x.png"], 2, "2 exemplars cannot share the output"),
    (["two.png", "--model", "text.safetensors"], 6, "text.safetensors is damaged"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input(place: Path, model: Path, arguments: list[str], code: int, message: str) -> None:
    chosen = [] if "--model" in arguments else ["--model", str(model)]
    check_refused(place, "tile", [*arguments, *chosen], code, message)
