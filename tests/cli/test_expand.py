"""texsynth expand from end to end, with a random model so that no weights are needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.cli import names, run_cli, run_program
from helpers.texture_files import (
    ok,
    record,
    redness,
    save,
    square,
    texture,
)
from PIL import Image

from texsynth.config.settings import ExpandSettings
from texsynth.images import read
from texsynth.strict_yaml import parse


def test_one_exemplar(place: Path, quick: list[object]) -> None:
    result = ok("expand", "wall.png", *quick)
    assert (result.stdout, result.stderr) == ("wall.expand.png\n", "")
    assert names(place) == ["wall.expand.png", "wall.png"]
    assert read(place / "wall.expand.png").rgb.shape == (64, 80, 3)
    found = record(place / "wall.expand.png")
    assert (found.command, found.key, found.index, found.part) == ("expand", "wall.png", 1, 0)
    assert found.exemplars[0].path == "wall.png"
    assert found.expand.method == "patch"
    assert found.run.threads == 1


@pytest.mark.parametrize(
    ("flags", "shape"),
    [
        (["--size", "50x36"], (36, 50)),
        (["--size", "36X50"], (50, 36)),
        (["--size", "36"], (36, 36)),
        (["--scale", "1.5"], (48, 60)),
        (["-p", "small.yaml"], (20, 24)),
        (["-p", "small.yaml", "--scale", "1"], (32, 40)),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_size_of_the_output(
    place: Path, quick: list[object], flags: list[str], shape: tuple[int, int]
) -> None:
    (place / "small.yaml").write_text("expand: {size: [24, 20]}")
    ok("expand", "wall.png", "-o", "out.png", *flags, *quick)
    assert read(place / "out.png").rgb.shape[:2] == shape


def test_the_smallest_exemplar(place: Path, quick: list[object]) -> None:
    save(place / "tiny.png", texture(16, 16))
    ok("expand", "tiny.png", "--size", "40x33", *quick)
    assert read(place / "tiny.expand.png").rgb.shape == (33, 40, 3)


def test_the_defaults_are_those_of_balanced(place: Path, model: Path) -> None:
    shown = parse(run_cli("presets", "show", "balanced").stdout, source="balanced")
    assert isinstance(shown, dict)
    assert ExpandSettings.model_validate(shown["expand"]) == ExpandSettings()
    flags = ["--set", "optimize.iterations=1", "--size", "24x24", "--model", model]
    ok("expand", "wall.png", "-o", "a.png", *flags)
    ok("expand", "wall.png", "-o", "b.png", "-p", "balanced", *flags)
    assert (place / "a.png").read_bytes() == (place / "b.png").read_bytes()


@pytest.mark.slow
def test_variations_do_not_depend_on_their_number(place: Path, quick: list[object]) -> None:
    assert ok("expand", "wall.png", *quick, "--seed", 5).stdout == "wall.expand.png\n"
    two = ok("expand", "wall.png", "--count", 2, "-o", "two/", *quick, "--seed", 5)
    three = ok("expand", "wall.png", "--count", 3, "-o", "three.png", *quick, "--seed", 5)
    assert two.stdout.split() == ["two/wall.expand.1.png", "two/wall.expand.2.png"]
    assert three.stdout.split() == ["three.1.png", "three.2.png", "three.3.png"]
    first, second, third = (read(place / f"three.{k}.png").rgb.tobytes() for k in (1, 2, 3))
    assert read(place / "two/wall.expand.1.png").rgb.tobytes() == first
    assert read(place / "two/wall.expand.2.png").rgb.tobytes() == second
    assert (place / "wall.expand.png").read_bytes() == (place / "three.1.png").read_bytes()
    assert len({first, second, third}) == 3, "variations differ"


def test_siblings_get_the_layout_of_the_exemplar(place: Path, quick: list[object]) -> None:
    pixels = texture(top=65535)
    save(place / "wall.png", pixels, deep=True)
    save(place / "height.png", pixels[..., 1], deep=True)
    save(place / "normal.tif", pixels[..., ::-1] // 257)
    save(place / "packed.png", pixels // 257, alpha=pixels[..., 2] // 257)
    flags = ["--with", "height.png", "--with", "normal.tif", "--with", "packed.png"]
    result = ok("expand", "wall.png", *flags, "-o", "new/big.png", *quick)
    files = [f"new/{name}" for name in ("big.png", "big_height.png", "big_normal.png", "big_packed.png")]
    assert result.stdout.split() == files
    big, height, normal, packed = (read(place / name) for name in files)
    assert [p.bit_depth for p in (big, height, normal, packed)] == [16, 16, 8, 8]
    assert [p.grey for p in (big, height, normal, packed)] == [False, True, False, False]

    assert np.array_equal(height.rgb[..., 0] // 257, packed.rgb[..., 1])
    assert np.array_equal(normal.rgb[..., ::-1], packed.rgb)
    assert packed.alpha is not None
    assert np.array_equal(packed.alpha, packed.rgb[..., 2])
    # Colours may be mixed at seams; maps are copied.
    colours = {tuple(c) for c in (pixels // 257).reshape(-1, 3).tolist()}
    assert {tuple(c) for c in packed.rgb.reshape(-1, 3).tolist()} <= colours
    assert np.abs(packed.rgb.astype(int) - big.rgb // 257).mean() < 4


def test_siblings_are_data_and_no_colours(place: Path, quick: list[object]) -> None:
    """A profile neither changes the values of a map nor is written into it."""
    from PIL import ImageCms

    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = lab.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    pixels = texture().astype(np.uint8)
    Image.fromarray(pixels).save(place / "map.png", icc_profile=swapped)
    assert not np.array_equal(read(place / "map.png").rgb, pixels), "as a colour it would be converted"
    ok("expand", "wall.png", "--with", "map.png", *quick)
    difference = read(place / "map.expand.png").rgb.astype(int) - read(place / "wall.expand.png").rgb
    assert np.abs(difference).mean() < 4
    assert set(read(place / "map.expand.png").rgb[..., 1].flat) <= set(pixels[..., 1].flat)
    with Image.open(place / "map.expand.png") as image:
        assert "icc_profile" not in image.info
    with Image.open(place / "wall.expand.png") as image:
        assert "icc_profile" in image.info


def test_16_bits_and_grey_stay(place: Path, quick: list[object]) -> None:
    save(place / "deep.png", texture(top=65535), deep=True)
    save(place / "grey.png", texture()[..., 1])
    ok("expand", "deep.png", "grey.png", *quick)
    deep, grey = read(place / "deep.expand.png"), read(place / "grey.expand.png")
    assert (deep.bit_depth, deep.grey) == (16, False)
    assert (deep.rgb % 257).any(), "more than 8 bits of precision"
    assert (grey.bit_depth, grey.grey) == (8, True)
    ok("expand", "deep.png", "-o", "o.jpg", *quick)
    ok("expand", "wall.png", "-o", "o.tif", "--bit-depth", 16, *quick)
    assert (read(place / "o.jpg").bit_depth, read(place / "o.tif").bit_depth) == (8, 16)


def test_transparent_pixels_are_not_sampled(place: Path, quick: list[object]) -> None:
    pixels, alpha = texture(32, 48), np.full((32, 48), 255)
    pixels[:, 30:], alpha[:, 30:] = (255, 0, 0), 0
    save(place / "cut.png", pixels, alpha=alpha)
    ok("expand", "cut.png", *quick)
    out = read(place / "cut.expand.png")
    assert out.alpha is None
    assert redness(pixels.astype(np.uint8)) > 0.3
    assert redness(out.rgb) == 0


def test_mask_says_where_to_sample(place: Path, quick: list[object]) -> None:
    pixels = texture(32, 48)
    pixels[:, 30:] = (255, 0, 0)
    save(place / "part.png", pixels)
    save(place / "mask.png", square(32, 48, 0, 0, 30))
    ok("expand", "part.png", "--mask", "mask.png", *quick)
    assert redness(read(place / "part.expand.png").rgb) == 0


def test_guide_lays_out_the_output(place: Path, quick: list[object]) -> None:
    pixels = texture(48, 48)
    pixels[:, 24:] = np.minimum(pixels[:, 24:] + 110, 255)
    save(place / "two.png", pixels)
    sides = np.zeros((20, 20), np.uint8)
    sides[:, 10:] = 255
    save(place / "guide.png", sides)
    meaning = np.zeros((48, 48), np.uint8)
    meaning[:, :24] = 255
    save(place / "of.png", meaning)
    flags = ["--guide", "guide.png", "--set", "patch.guide=20", "--size", "64x64", *quick]
    for extra, sign in (([], 1), (["--guide-of", "of.png"], -1)):
        ok("expand", "two.png", "-o", "out.png", "-f", *flags, *extra)
        out = read(place / "out.png").rgb.astype(float)
        assert sign * (out[:, 40:].mean() - out[:, :24].mean()) > 30


def test_hole_is_filled_in_place(place: Path, quick: list[object]) -> None:
    pixels, hole = texture(48, 40), square(48, 40, 20, 10, 12)
    pixels[hole > 0] = (255, 0, 0)
    save(place / "torn.png", pixels)
    save(place / "hole.png", hole)
    save(place / "height.png", pixels[..., 0])
    ok("expand", "torn.png", "--hole", "hole.png", "--with", "height.png", *quick)
    out, height = read(place / "torn.expand.png").rgb, read(place / "height.expand.png").rgb
    assert np.array_equal(out[hole == 0], pixels[hole == 0])
    assert redness(out) == 0
    assert np.abs(height[..., 0].astype(int) - out[..., 0]).mean() < 1
    assert set(height[..., 0].flat) <= set(pixels[hole == 0][:, 0])


def test_a_fill_is_the_same_whatever_stood_in_the_hole(place: Path, quick: list[object]) -> None:
    hole = square(48, 40, 20, 10, 12)
    save(place / "hole.png", hole)
    fills = []
    for name, mark in (("dark", 0), ("bright", 255), ("noise", texture(48, 40, seed=9))):
        pixels = np.where(hole[..., None] > 0, mark, texture(48, 40))
        save(place / f"{name}.png", pixels)
        ok("expand", f"{name}.png", "--hole", "hole.png", "--preview", f"{name}.sheet.png", *quick)
        fills.append(read(place / f"{name}.expand.png").rgb)
    assert all(np.array_equal(fills[0], other) for other in fills[1:])
    ok("expand", "dark.png", "--hole", "hole.png", "-p", "fast", "-o", "quick.png", *quick[:2])


def test_a_filled_picture_stays_transparent_around_the_hole(place: Path, quick: list[object]) -> None:
    hole, alpha = square(48, 40, 20, 10, 12), np.full((48, 40), 255)
    alpha[40:], alpha[hole > 0] = 90, 0
    save(place / "torn.png", texture(48, 40), alpha=alpha)
    save(place / "hole.png", hole)
    ok("expand", "torn.png", "--hole", "hole.png", *quick)
    found = read(place / "torn.expand.png").alpha
    assert found is not None
    assert np.array_equal(found, np.where(hole > 0, 255, alpha))


@pytest.mark.slow
def test_exemplars_are_mixed_by_weight(place: Path, quick: list[object]) -> None:
    red = texture(seed=1)[..., ::-1].copy()
    red[..., 0] = np.minimum(red[..., 0] + 130, 255)
    save(place / "red.png", red)
    shares = {}
    for weights in ("1,0", "1,1", "0,1"):
        ok("expand", "wall.png", "red.png", "--weights", weights, "-o", "out.png", "-f", *quick)
        shares[weights] = redness(read(place / "out.png").rgb)
    assert shares["1,0"] < 0.02 < 0.98 < shares["0,1"]
    assert 0.1 < shares["1,1"] < 0.9
    assert record(place / "out.png").weights == (0, 1)
    assert ok("expand", "wall.png", "red.png", "--mix", *quick).stdout == "wall.mix.expand.png\n"
    assert record(place / "wall.mix.expand.png").key == "wall.png+red.png"


def test_tileable_reaches_the_pipeline(place: Path, quick: list[object]) -> None:
    ok("expand", "wall.png", "--tileable", *quick)
    assert record(place / "wall.expand.png").expand.tileable


@pytest.mark.slow
def test_preview_shows_exemplar_and_results(place: Path, quick: list[object]) -> None:
    save(place / "moss.png", texture(300, 400, seed=3))
    result = ok("expand", "wall.png", "--count", 7, "--preview", "sheet.png", "--size", "24x24", *quick)
    assert result.stdout.splitlines()[-1] == "sheet.png"
    sheet = read(place / "sheet.png")
    assert sheet.rgb.shape == (12 + 32 + 12 + 24 + 12, 12 + 40 + 12 + 5 * 36, 3)
    assert np.array_equal(sheet.rgb[12:44, 12:52], texture().astype(np.uint8))
    flags = ["--preview", "sheet.png", "--scale", 1, *quick]
    refused = run_cli("expand", "wall.png", "moss.png", *flags)
    assert (refused.exit_code, "sheet.png exists already" in refused.stderr) == (5, True)
    ok("expand", "wall.png", "moss.png", "-o", "new/", *flags, "-f")
    assert read(place / "sheet.png").width == 3 * 12 + 2 * 320, "reduced to small pictures"


@pytest.mark.slow
def test_pipes(place: Path, quick: list[object]) -> None:
    data = (place / "wall.png").read_bytes()
    done = run_program("expand", "-", "-o", "-", *quick, cwd=place, data=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert read(done.stdout).rgb.shape == (64, 80, 3)
    assert names(place) == ["wall.png"]
    assert ok("expand", "-", *quick, data=data).stdout == "stdin.expand.png\n"
    assert ok("expand", "wall.png", "--with", "-", "-f", *quick, data=data).stdout.split() == [
        "wall.expand.png", "stdin.expand.png",
    ]  # fmt: skip


def test_folder_goes_on_past_bad_files(place: Path, quick: list[object]) -> None:
    for name in ("in/a.png", "in/sub/b.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        save(place / name, texture(seed=len(name)))
    save(place / "in/small.png", texture(15, 40))
    (place / "in/bad.jpg").write_text("I am text")
    result = run_cli("expand", "in", "-r", "-o", "out", "--json", *quick)
    assert result.exit_code == 3
    assert names(place / "out") == ["a.expand.png", "sub/b.expand.png"]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(line["exemplar"] for line in lines if "output" in line) == ["in/a.png", "in/sub/b.png"]
    assert [line["exit_code"] for line in lines if "error" in line] == [4, 4]
    assert "Summary: 2 done, 2 failed\n" in result.stderr
    ok("expand", "in/a.png", *quick)
    assert np.array_equal(read(place / "a.expand.png").rgb, read(place / "out/a.expand.png").rgb)


def test_json_and_dry_run(place: Path, quick: list[object]) -> None:
    save(place / "bump.png", texture()[..., 0])
    dry = ok("expand", "wall.png", "--with", "bump.png", "--count", 2, "-n", *quick)
    assert dry.stdout.split() == [f"{n}.expand.{k}.png" for k in (1, 2) for n in ("wall", "bump")]
    assert names(place) == ["bump.png", "wall.png"]
    found = json.loads(ok("expand", "wall.png", "--with", "bump.png", "--json", *quick).stdout)
    assert found.pop("seconds") > 0
    assert found == {
        "output": "wall.expand.png", "siblings": ["bump.expand.png"], "exemplar": "wall.png",
        "width": 80, "height": 64, "method": "patch",
    }  # fmt: skip


def test_progress_names_the_stage_where_there_is_a_terminal(
    place: Path, quick: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    result = ok("expand", "wall.png", *quick)
    assert "wall.expand.png: " in result.stderr
    assert "%" in result.stderr
    monkeypatch.delenv("FORCE_COLOR")
    assert ok("expand", "wall.png", "-f", *quick).stderr == ""


@pytest.mark.parametrize("maps", [[], ["--with", "flat16.png"], ["--hole", "hole.png"], ["--tileable"]])
def test_a_constant_exemplar_gives_more_of_the_same_colour(
    place: Path, quick: list[object], maps: list[str]
) -> None:
    save(place / "flat.png", np.full((24, 20, 3), (90, 140, 30)))
    save(place / "flat16.png", np.full((24, 20), 30000), deep=True)
    save(place / "hole.png", square(24, 20, 17, 5, 6))
    for method in ("patch", "patch+optimize"):
        ok("expand", "flat.png", *maps, *quick, "--method", method, "-f")
        assert (read(place / "flat.expand.png").rgb == (90, 140, 30)).all()
    if "flat16.png" in maps:
        assert (read(place / "flat16.expand.png").rgb == 30000).all()
