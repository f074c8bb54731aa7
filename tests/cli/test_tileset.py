"""texsynth tileset from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import names, run_cli
from helpers.texture_files import ok, save, texture

import texsynth
from texsynth.config.records import Embedded, TilesetRecord
from texsynth.images import embedded_settings, read
from texsynth.strict_yaml import parse

QUICK = ["--set", "corners=1", "--set", "patch.layouts=1", "--set", "patch.iterations=[]",
         "--set", "patch.refine=0.2", "--threads", 1]  # fmt: skip


def record(path: Path) -> TilesetRecord:
    carried = Embedded.model_validate(parse(embedded_settings(path), source=str(path))).root
    assert isinstance(carried, TilesetRecord)
    return carried


def test_tiles_layout_and_index(place: Path) -> None:
    done = json.loads(ok("tileset", "wall.png", "--json", *QUICK).stdout)
    assert (done["output"], done["siblings"]) == ("wall.tileset.png", ["wall.tileset.layout.png"])
    assert (done["tile"], done["index"]) == ("16x16", "wall.tileset.json")
    assert names(place) == ["wall.png", "wall.tileset.json", "wall.tileset.layout.png", "wall.tileset.png"]
    tiles, layout = (read(place / f"wall.tileset{part}.png").rgb for part in ("", ".layout"))
    assert (tiles.shape, layout.shape) == ((64, 64, 3), (96, 128, 3))
    assert record(place / "wall.tileset.png").part == 0
    assert record(place / "wall.tileset.layout.png").part == -1
    index = json.loads((place / "wall.tileset.json").read_text())
    assert (index["image"], index["tilecount"], index["tilewidth"]) == ("wall.tileset.png", 16, 16)
    (corners,) = index["wangsets"]
    identities = {tile["tileid"]: tile["wangid"] for tile in corners["wangtiles"]}
    assert len({tuple(value) for value in identities.values()}) == 16
    top_right, bottom_right, bottom_left, top_left = 1, 3, 5, 7
    for number, own in identities.items():
        row, column = divmod(number, 4)
        right = identities[4 * row + (column + 1) % 4]
        below = identities[4 * ((row + 1) % 4) + column]
        assert (own[top_right], own[bottom_right]) == (right[top_left], right[bottom_left])
        assert (own[bottom_left], own[bottom_right]) == (below[top_left], below[top_right])
    blocks = {tiles[y : y + 16, x : x + 16].tobytes() for y in range(0, 64, 16) for x in range(0, 64, 16)}
    shown = [layout[y : y + 16, x : x + 16].tobytes() for y in range(0, 96, 16) for x in range(0, 128, 16)]
    assert set(shown) <= blocks
    assert len(set(shown)) > 10


def test_tiles_as_large_as_the_exemplar_allows(place: Path) -> None:
    """Corners then take all of the exemplar's height."""
    for seed in range(2):
        save(place / "small.png", texture(24, 32, seed=seed))
        refused = run_cli("tileset", "small.png", "--size", "400x400", "-f")
        largest = refused.stderr.partition("--size up to ")[2].partition(",")[0]
        ok("tileset", "small.png", "--size", largest, "-f", *QUICK)


def test_maps_get_the_same_tiles(place: Path) -> None:
    save(place / "bump.png", texture()[..., 1])
    flags = ["--with", "bump.png", "--size", "20x18", "-o", "new/tiles.png", *QUICK]
    files = ["new/tiles.png", "new/tiles_bump.png", "new/tiles.layout.png"]
    assert ok("tileset", "wall.png", *flags).stdout.split() == files
    tiles, bump = (read(place / name, as_data=True) for name in files[:2])
    assert (tiles.width, tiles.height, bump.grey) == (80, 72, True)
    # Steps of brightness are evened out in the colours alone.
    assert np.abs(bump.rgb[..., 0].astype(int) - tiles.rgb[..., 1]).mean() < 2
    index = json.loads((place / "new" / "tiles.json").read_text())
    assert index["properties"] == [{"name": "tiles_bump", "type": "file", "value": "tiles_bump.png"}]
    for name in files:
        again = name.replace(".png", ".replay.png")
        assert ok("replay", name).stdout.split() == [again]
        assert (place / again).read_bytes() == (place / name).read_bytes()


def test_a_material_is_cut_alike(place: Path) -> None:
    (place / "set").mkdir()
    save(place / "set" / "brick_color.png", texture())
    save(place / "set" / "brick_normal.png", np.full((32, 40, 3), (128, 128, 255)))
    result = ok("tileset", "set", *QUICK)
    assert "is one material" in result.stderr
    assert result.stdout.split()[:2] == ["brick_color.tileset.png", "brick_normal.tileset.png"]
    assert record(place / "brick_color.tileset.png").siblings[0].kind == "opengl"


def test_resume_makes_what_is_missing(place: Path) -> None:
    run = ("tileset", "wall.png", *QUICK)
    ok(*run)
    before = {name: (place / name).read_bytes() for name in names(place)}
    (place / "wall.tileset.png").unlink()
    (place / "wall.tileset.json").unlink()
    ok(*run, "--resume")
    assert {name: (place / name).read_bytes() for name in names(place)} == before
    assert "skipped" in ok(*run, "--resume", "--json").stdout
    refused = run_cli(*run)
    assert (refused.exit_code, "exists already" in refused.stderr) == (5, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["wall.png", "-o", "-"], 2, "cannot share standard output"),
        (["wall.png", "--size", "20x"], 2, "not of the form WxH"),
        (["wall.png", "--size", "8x20"], 2, "size"),
        (["wall.png", "--size", "400x400"], 4, "too large for an exemplar"),
        (["wall.png", "--with", "two.png"], 4, "two.png has 20 x 20 pixels"),
        (["wall.png", "two.png", "--with", "two.png"], 2, "belongs to one exemplar"),
        (["wall.png", "--with", "wall2.png", "-o", "a.jpg"], 2, "do not survive"),
        (["tiny.png"], 4, "at least 16"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_refused(place: Path, arguments: list[str], code: int, message: str) -> None:
    save(place / "tiny.png", texture(15, 40))
    save(place / "two.png", texture(20, 20))
    save(place / "wall2.png", texture())
    before = names(place)
    result = run_cli("tileset", *arguments, *QUICK)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert names(place) == before


def test_from_python(place: Path) -> None:
    pixels = texture().astype(np.uint8)
    changes = {"corners": 1, "patch.layouts": 1, "patch.iterations": [], "patch.refine": 0.2}
    made = texsynth.tileset(pixels, siblings=[pixels[..., 1]], changes=changes, name="wall.png", threads=1)
    assert made["layout"].shape == (96, 128, 3)
    assert made["siblings"][0].shape == (64, 64)
    assert made["index"]["tilewidth"] == 16
    ok("tileset", "wall.png", *QUICK)
    assert np.array_equal(read(place / "wall.tileset.png").rgb, made["tiles"])
