"""Files of artists through the commands: names of results, light, metadata, and what folders hold besides."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers.artists_files import psd
from helpers.cli import make_model, make_picture, names, run_cli
from helpers.image_files import smooth
from PIL import Image

from texsynth.images import encode, read
from texsynth.images.exr import encode as exr_encode
from texsynth.images.light import Samples, from_light, to_light
from texsynth.jobs.memory import TilePlan

LIGHT = (smooth(40, 44, 3) / 255).astype(np.float32) ** 3 * 9
exr = pytest.mark.skipif(find_spec("OpenEXR") is None, reason="needs OpenEXR")
RUN = ["--threads", 1, "--dtype", "float32"]
QUICK = [*RUN, "--set", "patch.layouts=1", "--set", "patch.refine=0.1"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "m.safetensors")
    make_picture(tmp_path / "ink.png")
    (tmp_path / "hot.tif").write_bytes(encode(from_light(Samples(LIGHT), "TIFF"), "TIFF")[0])
    return tmp_path


def ok(*arguments: object) -> str:
    result = run_cli(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_photographs_keep_strong_light(place: Path) -> None:
    file = ok("stylize", "hot.tif", "ink.png", "--photo", "--model", "m.safetensors", *RUN)
    assert file == "hot.ink.tif"
    picture, source = read(place / file), read(place / "hot.tif")
    assert picture.is_float
    assert source.highlights is not None
    # Where the result is as bright as it can be, its light is that of the source.
    strength = to_light(picture).max(2)
    assert (strength <= source.highlights * 1.0001).all()
    assert strength.max() > 1.5
    again = ok("replay", file, "-o", "again.tif", "--threads", 1)
    assert (place / again).read_bytes() == (place / file).read_bytes()
    result = run_cli("stylize", "hot.tif", "ink.png", "--photo", "--model", "m.safetensors", *RUN, "--resume")
    assert (result.exit_code, read(place / file).is_float) == (0, True)


@pytest.mark.parametrize("name", ["hot.tif", pytest.param("hot.exr", marks=exr)])
def test_large_light_is_worked_on_in_files(place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.endswith("exr"):
        Path(name).write_bytes(encode(from_light(Samples(LIGHT), "EXR"), "EXR")[0])
    monkeypatch.setattr("texsynth.jobs.contents.LARGE_PIXELS", 1)
    monkeypatch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 500)
    files = []
    for spilled in (True, False):
        monkeypatch.setattr("texsynth.jobs.stylize.plan_tiles", lambda *_, k=spilled, **__: TilePlan(64, k))
        output = f"{spilled}{Path(name).suffix}"
        ok("stylize", name, "ink.png", "--photo", "--model", "m.safetensors", *RUN, "-o", output)
        files.append(read(place / output))
    assert to_light(files[0]).max() > 1.5
    assert np.abs(to_light(files[0]) - to_light(files[1])).max() < 1e-3


def test_painting_says_that_it_cuts_strong_light(place: Path) -> None:
    result = run_cli("stylize", "hot.tif", "ink.png", "--model", "m.safetensors", *RUN)
    assert result.exit_code == 0
    assert result.stderr.count("--photo keeps it") == 1
    assert to_light(read(place / "hot.ink.tif")).max() <= 1


def test_copies_keep_strong_light(place: Path) -> None:
    file = ok("expand", "hot.tif", "--size", "60x60", "--set", "method=patch", *QUICK)
    light = to_light(read(place / file))
    assert 3 < light.max() <= LIGHT.max() * 1.01
    refused = run_cli("expand", "ink.png", "--bit-depth", 32, "--format", "png")
    assert "--bit-depth 32 needs .tif or .exr" in refused.stderr
    file = ok("expand", "ink.png", "--size", "60x60", "--bit-depth", 32, *QUICK)
    assert file.endswith(".tif")
    assert read(place / file).is_float


def test_results_of_floats_are_floats_whatever_the_name_tells(place: Path) -> None:
    """PSD holds bytes or floats, and only its header tells."""
    (place / "hot.psd").write_bytes(psd(LIGHT))
    (place / "mild.psd").write_bytes(psd(smooth(40, 44, 3)))
    Path("broken.psd").write_bytes(psd(LIGHT)[:20])
    sizes = ("--size", "48x48", "--set", "method=patch", *RUN)
    assert ok("expand", "mild.psd", "-n") == "mild.expand.png"
    file = ok("expand", "hot.psd", *sizes)
    assert (file, to_light(read(place / file)).max() > 3) == ("hot.expand.tif", True)
    (place / "jobs.yaml").write_text("output: out\njobs: [{command: tile, exemplars: hot.psd}]\n")
    for command in ("tile hot.psd", "tileset hot.psd", "batch jobs.yaml"):
        assert ".tif" in ok(*command.split(), "-n"), command
    assert run_cli("expand", "broken.psd", "-n").exit_code == 4


def is_half(path: Path) -> bool:
    import Imath
    import OpenEXR

    half = Imath.PixelType(Imath.PixelType.HALF)
    return all(one.type == half for one in OpenEXR.InputFile(str(path)).header()["channels"].values())


@exr
def test_half_floats_give_half_floats_unless_32_bits_are_asked(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "hot.exr").write_bytes(exr_encode(LIGHT, half=True))
    sizes = ("--size", "48x48", "--set", "method=patch", *RUN)
    assert is_half(place / ok("expand", "hot.exr", *sizes))
    assert not is_half(place / ok("expand", "hot.exr", *sizes, "--bit-depth", 32, "-o", "asked.exr"))
    monkeypatch.setattr("texsynth.jobs.contents.LARGE_PIXELS", 1)
    assert is_half(place / ok("stylize", "hot.exr", "ink.png", "--photo", "--model", "m.safetensors", *RUN))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_metadata_is_kept_or_stripped(place: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif.update({0x8298: "Ann", 0x112: 6})
    Image.fromarray(smooth(40, 44, 3)).save("p.jpg", exif=exif, dpi=(300, 300))
    for flags, owner in ((["-o", f"a.{suffix}"], "Ann"), (["--strip", "-o", f"b.{suffix}"], None)):
        with Image.open(place / ok("expand", "p.jpg", "--size", "60x60", *flags, *QUICK)) as image:
            image.load()
            assert image.getexif().get(0x8298) == owner
            assert image.getexif().get(0x112, 1) == 1
            assert (round(image.info.get("dpi", (0, 0))[0]) == 300) == bool(owner)
    first, second = (read(place / f"{name}.{suffix}").rgb for name in "ab")
    assert np.array_equal(first, second)


def owner(path: Path) -> str | None:
    with Image.open(path) as image:
        return image.getexif().get(0x8298)


def test_records_presets_and_replay_know_what_is_stripped(place: Path) -> None:
    exif = Image.Exif()
    exif[0x8298] = "Ann"
    Image.fromarray(smooth(40, 44, 3)).save("p.jpg", exif=exif)
    run = ("expand", "p.jpg", "--size", "60x60", *QUICK)
    stripped, kept = place / ok(*run, "--strip", "-o", "s.png"), place / ok(*run, "-o", "k.png")
    assert owner(place / ok("replay", "s.png")) is None
    assert owner(place / ok("replay", "k.png")) == "Ann"
    again = place / ok("replay", "k.png", "--strip", "--sidecar", "-o", "again.png")
    assert again.with_name("again.png.yaml").exists()
    assert owner(again) is None
    assert np.array_equal(read(again).rgb, read(kept).rgb)
    # What is asked for now is not what is there.
    refused = run_cli(*run, "-o", "k.png", "--strip", "--resume")
    assert (refused.exit_code, "made with run.strip" in refused.stderr) == (5, True)
    assert run_cli(*run, "-o", stripped.name, "--strip", "--resume").exit_code == 0
    (place / "mine.yaml").write_text("run: {strip: true}")
    assert owner(place / ok(*run, "-p", "mine.yaml", "-o", "m.png")) is None


def test_files_of_a_folder_that_are_skipped_are_counted(place: Path) -> None:
    folder = place / "in"
    folder.mkdir()
    for name in ("a.tga", "b.xcf", "c.XCF", "d.txt", "a.tga.yaml", ".hidden"):
        (folder / name).write_bytes((place / "ink.png").read_bytes())
    result = run_cli("expand", "in", "-o", "out/", "-n")
    assert result.stdout == "out/a.expand.tga\n"
    assert "skipped 3 files of formats that are not read (.xcf, .txt)" in result.stderr
    (place / "x.xcf").write_bytes(b"gimp xcf v011\0")
    result = run_cli("expand", "x.xcf")
    assert (result.exit_code, "x.xcf is a GIMP project" in result.stderr) == (4, True)
    assert names(place / "in") == sorted([".hidden", "a.tga", "a.tga.yaml", "b.xcf", "c.XCF", "d.txt"])


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp", "avif"])
def test_results_of_lossy_pictures_follow_them_but_where_pixels_count(place: Path, suffix: str) -> None:
    Image.fromarray(smooth(40, 44, 3)).save(f"p.{suffix}")
    Image.fromarray(np.pad(np.full((8, 8), 255, np.uint8), 16)[:40, :40]).resize((44, 40)).save("hole.png")
    assert ok("stylize", f"p.{suffix}", "ink.png", "--model", "m.safetensors", *RUN) == f"p.ink.{suffix}"
    assert ok("expand", f"p.{suffix}", "--size", "60x60", *QUICK) == f"p.expand.{suffix}"
    again = ok("replay", f"p.expand.{suffix}", "-o", f"again.{suffix}", "--threads", 1)
    assert (place / again).read_bytes() == (place / f"p.expand.{suffix}").read_bytes()
    seamless = ("--size", "60x60", "--tileable")
    assert ok("expand", f"p.{suffix}", *seamless, "-o", "t/", *QUICK) == "t/p.expand.png"
    assert ok("tile", f"p.{suffix}", *QUICK) == "p.tile.png"
    assert ok("expand", f"p.{suffix}", "--hole", "hole.png", "-o", "h/", *QUICK) == "h/p.expand.png"
    deep = ("--size", "60x60", "--bit-depth", 16)
    assert ok("expand", f"p.{suffix}", *deep, "-o", "d/", *QUICK) == "d/p.expand.png"
    job = f"command: expand, exemplars: p.{suffix}, set: {{patch.layouts: 1, patch.refine: 0.1}}"
    (place / "jobs.yaml").write_text(f"output: out\njobs: [{{{job}}}]\n")
    result = run_cli("batch", "jobs.yaml", *RUN)
    assert result.exit_code == 0, result.output
    assert [path.name for path in (place / "out").iterdir() if path.suffix != ".yaml"] == [
        f"p.expand.{suffix}"
    ]
