"""Tables of colours: the file that `stylize --lut` writes says what the picture has become."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.cli import make_picture, run_cli
from helpers.nets import waves
from torch import Tensor

import texsynth
from texsynth.errors import OutputError, UsageError
from texsynth.images import read
from texsynth.images.tensors import to_image
from texsynth.ops.color_table import ColorPairs, apply_table, fit_table, to_cube

PHOTO = ("--photo", "--dtype", "float32")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two contents and a style."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("cat", "dog", "dusk")):
        make_picture(tmp_path / f"{name}.png", seed=seed, height=64, width=80)
    return tmp_path


def parsed(path: Path) -> Tensor:
    """Read a .cube file as Adobe's specification 1.0 has it: keywords, then rows with red fastest."""
    lines = [line for line in path.read_text("ascii").splitlines() if line and not line.startswith("#")]
    head = dict(line.split(" ", 1) for line in lines if line[0].isalpha())
    rows = [line for line in lines if not line[0].isalpha()]
    assert re.fullmatch(r'"[^"]*"', head.pop("TITLE"))
    size = int(head.pop("LUT_3D_SIZE"))
    assert head == {"DOMAIN_MIN": "0.0 0.0 0.0", "DOMAIN_MAX": "1.0 1.0 1.0"}
    assert lines.index(rows[0]) == 4
    table = torch.tensor([[float(value) for value in row.split()] for row in rows])
    assert table.shape == (size**3, 3)
    return table.view(size, size, size, 3)


def looked_up(table: Tensor, image: Tensor) -> Tensor:
    """Interpolate as editors do, by torch's own sampler: its x is the last axis, red."""
    volume = table.permute(3, 0, 1, 2)[None]
    places = (image * 2 - 1).permute(0, 2, 3, 1)[:, None]
    return F.grid_sample(volume, places, align_corners=True)[:, :, 0]


def identity(size: int) -> Tensor:
    axis = torch.linspace(0, 1, size)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([red, green, blue], -1)


def test_the_table_gives_what_the_picture_has_become(place: Path) -> None:
    result = run_cli("stylize", "cat.png", "dusk.png", *PHOTO, "--lut", "look.cube", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["lut"] == "look.cube"
    content, picture = (to_image(read(place / name)) for name in ("cat.png", "cat.dusk.png"))
    table = parsed(place / "look.cube")
    assert table.shape[0] == 33
    error = (looked_up(table, content) - picture).square().mean()
    assert float(error) < 0.2 * float((content - picture).square().mean())
    # The picture is what it is without a table.
    assert run_cli("stylize", "cat.png", "dusk.png", *PHOTO, "-o", "plain.png").exit_code == 0
    assert np.array_equal(read(place / "plain.png").rgb, read(place / "cat.dusk.png").rgb)


def test_a_picture_as_its_own_style_gives_the_table_that_changes_nothing(place: Path) -> None:
    assert run_cli("stylize", "cat.png", "cat.png", *PHOTO, "--lut", "look.cube").exit_code == 0
    table = parsed(place / "look.cube")
    assert float((table - identity(33)).abs().max()) < 1 / 255


def test_each_content_has_a_table_of_its_own(place: Path) -> None:
    arguments = ("stylize", "cat.png", "dog.png", "dusk.png", *PHOTO, "-o", "out/")
    assert run_cli(*arguments, "--lut", "looks").exit_code == 0
    assert sorted(path.name for path in (place / "looks").iterdir()) == ["cat.dusk.cube", "dog.dusk.cube"]
    refused = run_cli(*arguments, "--lut", "look.cube", "-f")
    assert refused.exit_code == 2
    assert "2 results cannot share the table look.cube; use --lut FOLDER" in refused.stderr


def test_a_table_that_is_there_stays_unless_it_may_be_replaced(place: Path) -> None:
    (place / "look.cube").write_text("mine")
    arguments = ("stylize", "cat.png", "dusk.png", *PHOTO, "--lut", "look.cube")
    refused = run_cli(*arguments)
    assert refused.exit_code == 5
    assert "look.cube exists already; use --force to replace it" in refused.stderr
    assert (place / "look.cube").read_text() == "mine"
    assert not (place / "cat.dusk.png").exists()
    assert run_cli(*arguments, "--force").exit_code == 0
    assert parsed(place / "look.cube").shape[0] == 33
    assert not list(place.glob(".texsynth*"))


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--lut", "look.cube"], "artistic mode paints; add --photo"),
        (["--photo", "--lut", "look.png"], "--lut is 'look.png' but must end with .cube, or be a folder"),
        (["--photo", "--lut", "look.cube", "--resume"], "--resume skips some"),
        (
            ["--photo", "--lut", "look.cube", "--regions", "auto"],
            "regions have a map each; leave one of them out",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(place: Path, flags: list[str], reason: str) -> None:
    result = run_cli("stylize", "cat.png", "dusk.png", *flags)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not list(place.glob("look*"))


def test_python_writes_the_table_too(place: Path) -> None:
    cat, dusk = (to_image(read(place / f"{name}.png"))[0] for name in ("cat", "dusk"))
    out = texsynth.stylize(cat, dusk, photo=True, lut=place / "look.cube")
    assert out.shape == cat.shape
    assert parsed(place / "look.cube").shape[0] == 33
    with pytest.raises(OutputError, match="exists already"):
        texsynth.stylize(cat, dusk, photo=True, lut=place / "look.cube")
    with pytest.raises(UsageError, match="add --photo"):
        texsynth.stylize(cat, dusk, lut=place / "other.cube")


def test_an_affine_change_is_found_everywhere_and_others_where_there_are_colours() -> None:
    content = 0.2 + 0.4 * waves(60, 80)
    mixed = 0.1 + 0.7 * content.flip(1)
    pairs = ColorPairs.empty()
    pairs.add(content, mixed)
    table = fit_table(pairs)
    torch.testing.assert_close(apply_table(table, content), mixed, atol=2e-3, rtol=0)
    everywhere = (0.1 + 0.7 * identity(33).flip(-1)).double()
    torch.testing.assert_close(table, everywhere, atol=0.08, rtol=0)
    curved = content**2
    pairs = ColorPairs.empty()
    pairs.add(content[:, :, :30], curved[:, :, :30])
    pairs.add(content[:, :, 30:], curved[:, :, 30:])
    torch.testing.assert_close(apply_table(fit_table(pairs), content), curved, atol=0.02, rtol=0)


def test_colours_that_do_not_count_change_nothing_and_none_give_the_identity() -> None:
    content, weight = waves(40, 40), torch.ones(1, 1, 40, 40)
    weight[..., 20:] = 0
    pairs = ColorPairs.empty()
    pairs.add(content, torch.where(weight > 0, content, 1 - content), weight)
    torch.testing.assert_close(fit_table(pairs), identity(33).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(fit_table(ColorPairs.empty()), identity(33).double(), atol=1e-6, rtol=0)


def test_a_look_up_is_that_of_torch_and_a_title_is_one_ascii_line(tmp_path: Path) -> None:
    table = torch.rand(5, 5, 5, 3, generator=torch.Generator().manual_seed(0))
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(apply_table(table, image), looked_up(table, image))
    (tmp_path / "a.cube").write_text(to_cube(table, 'an "ä"\nlook'))
    torch.testing.assert_close(parsed(tmp_path / "a.cube"), table, atol=1e-6, rtol=0)
