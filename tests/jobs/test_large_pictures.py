"""Pictures too large for memory: from strips through scratch files to strips, with the same pixels."""

from __future__ import annotations

import resource
import signal
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import names, run_cli
from helpers.nets import waves

from texsynth.errors import OutputError
from texsynth.images import embedded_settings, read, write
from texsynth.images.tensors import to_picture
from texsynth.jobs.memory import TilePlan
from texsynth.jobs.scratch import FileRaster
from texsynth.ops.resample import resize
from texsynth.pipelines.rasters import TensorRaster, map_strips, memory_canvas, read_all, read_resized, strips

FLAGS = ("--dtype", "float32", "--threads", "1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a content, opaque and not, 8 and 16 bits deep, and where 1 pixel is large."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TMPDIR", raising=False)
    for module, name, value in (
        ("contents", "LARGE_PIXELS", 1),
        ("memory", "BASE_BYTES", 0),
        ("memory", "SPILLED_BYTES", 0),
    ):
        monkeypatch.setattr(f"texsynth.jobs.{module}.{name}", value)
    monkeypatch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 10000)
    cat, oil = waves(400, 300), waves(90, 80, 2.0)
    alpha = np.linspace(0, 255, 400 * 300).reshape(400, 300).astype(np.uint8)
    write(to_picture(cat, None, 8), Path("cat.png"))
    write(to_picture(cat, alpha, 16), Path("clear.tif"))
    write(to_picture(oil, None, 8), Path("oil.png"))
    write(to_picture((cat > 0.5).float(), None, 8), Path("mask.png"))
    return tmp_path


def make_room(monkeypatch: pytest.MonkeyPatch, *, spilled: bool) -> None:
    """Work in the same tiles, in memory or in files."""
    monkeypatch.setattr("texsynth.jobs.stylize.plan_tiles", lambda *_, **__: TilePlan(128, spilled=spilled))


COMMANDS = {
    "artistic": ("stylize", "cat.png", "oil.png"),
    "photo": ("stylize", "cat.png", "oil.png", "--photo"),
    "own colours": ("stylize", "cat.png", "oil.png", "--preserve-color"),
    "clear": ("stylize", "clear.tif", "oil.png"),
    "a frame": ("stylize", "cat.png", "oil.png", "--sequence"),
    "clear photo": ("stylize", "clear.tif", "oil.png", "--photo"),
    "regions": ("stylize", "clear.tif", "mask.png", "--photo", "--regions", "auto"),
    "masks": ("blend", "cat.png", "--style", "oil.png", "--mask", "mask.png"),
    "one after the other": ("blend", "cat.png", "--style", "oil.png", "--style", "mask.png", "--sequential"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix"),
    # All formats with and without opacity; what else commands do has nothing to do with them.
    [*((name, ".png") for name in COMMANDS), *product(("artistic", "clear"), (".tif", ".jpg"))],
)
def test_files_give_what_memory_gives(
    place: Path, model: Path, name: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (False, True):
        make_room(monkeypatch, spilled=kind)
        result = run_cli(*COMMANDS[name], "-o", f"{kind}{suffix}", *FLAGS, "--model", model)
        assert result.exit_code == 0, result.stderr
    one, other = read(Path(f"False{suffix}")), read(Path(f"True{suffix}"))
    assert np.array_equal(one.rgb, other.rgb)
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None and other.alpha is not None:
        assert np.array_equal(one.alpha, other.alpha)
    assert embedded_settings(Path(f"False{suffix}")) == embedded_settings(Path(f"True{suffix}"))
    if suffix != ".jpg":
        assert Path(f"False{suffix}").read_bytes() == Path(f"True{suffix}").read_bytes()
    assert not [file for file in names(place) if "tmp" in file]


@pytest.mark.slow
def test_a_replay_from_files_has_the_same_bytes(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del place
    for spilled, other in ((True, False), (False, True)):
        name = f"{spilled}.png"
        make_room(monkeypatch, spilled=spilled)
        assert run_cli("stylize", "cat.png", "oil.png", "-o", name, *FLAGS, "--model", model).exit_code == 0
        make_room(monkeypatch, spilled=other)
        assert run_cli("replay", name, "-o", "again.png", "-f").exit_code == 0
        assert Path("again.png").read_bytes() == Path(name).read_bytes()


def test_a_limit_that_is_too_small_for_memory_takes_files(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any of it replaced but the sizes."""
    made: list[FileRaster] = []
    before = FileRaster.__init__

    def counted(self: FileRaster, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        before(self, *arguments, **options)
        made.append(self)

    monkeypatch.setattr(FileRaster, "__init__", counted)
    flags = ("--model", model, *FLAGS, "--memory-limit", "8MiB")
    result = run_cli("stylize", "cat.png", "oil.png", "--photo", "-o", "small.png", *flags)
    assert result.exit_code == 0, result.stderr
    assert len(made) == 2, "content and result"
    result = run_cli("stylize", "cat.png", "oil.png", "-o", "-", *flags, data=None)
    assert result.exit_code == 7, "standard output needs all of it"
    assert names(place) == sorted(["cat.png", "clear.tif", "mask.png", "oil.png", "small.png"])


def test_scratch_files_that_cannot_be_kept(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_room(monkeypatch, spilled=True)
    monkeypatch.setenv("TMPDIR", str(place / "cat.png"))
    result = run_cli("stylize", "cat.png", "oil.png", "-o", "out.png", *FLAGS, "--model", model)
    assert result.exit_code == 5, result.stderr
    assert "scratch files cannot be kept in" in result.stderr
    assert "TMPDIR" in result.stderr
    assert not Path("out.png").exists()


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    raster = FileRaster((40, 50), tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(OutputError, match=r"cannot be kept in .*: file too large; name another folder"):
            raster.write(slice(None), slice(None), torch.rand(1, 3, 40, 50))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_rectangles_of_a_file(tmp_path: Path, dtype: str) -> None:
    top = {"float32": 1, "uint8": 255, "uint16": 65535}[dtype]
    expected = np.random.default_rng(0).integers(0, top + 1, (3, 37, 29)).astype(dtype)
    raster = FileRaster((37, 29), tmp_path, dtype=dtype)
    for rows, columns in (((0, 37), (0, 10)), ((0, 20), (10, 29)), ((20, 37), (10, 29))):
        part = slice(*rows), slice(*columns)
        raster.write_raw(*part, expected[:, part[0], part[1]])
    values = torch.from_numpy(expected.astype(np.float32))[None] / top
    assert torch.equal(raster.read(slice(None), slice(None)), values)
    assert torch.equal(raster.read(slice(3, 30), slice(5, 17)), values[:, :, 3:30, 5:17])
    assert not list(tmp_path.iterdir()), "the file has no name"


def test_what_is_done_by_strips_is_done_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 200)
    image = waves(90, 70)
    assert [part.stop - part.start for part in strips((7, 70))] == [2, 2, 2, 1]
    assert [part.stop - part.start for part in strips((2, 900))] == [1, 1]
    raster = TensorRaster(image)
    added = map_strips(memory_canvas, lambda a, b: a + 2 * b, raster, TensorRaster(image**2))
    assert torch.equal(read_all(added), image + 2 * image**2)
    torch.testing.assert_close(read_resized(raster, 20, 31), resize(image, 20, 31), atol=1e-6, rtol=0)
