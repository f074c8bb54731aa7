"""How `expand` chooses its method, and that the choice is found once, shown, recorded and replayed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import run_cli
from helpers.texture_files import ok, record, save, square
from numpy.typing import NDArray
from torch import Tensor

from texsynth.analysis.coarseness import coarseness
from texsynth.analysis.lattice import Lattice, most_likely_lattice
from texsynth.config.settings import ExpandSettings, Method
from texsynth.pipelines.method import plan_expand
from texsynth.synthesis.exemplar import Exemplar

FLAGS = (
    "--set", "patch.iterations=[1]", "--set", "patch.refine=0.1", "--set", "patch.layouts=1", "--threads", 1,
)  # fmt: skip


def net(height: int, width: int, rows: float, columns: float) -> NDArray[np.float64]:
    """Knots every `rows` and `columns` pixels, (H, W) in [0, 1]."""
    y, x = np.mgrid[:height, :width]
    knots = (1 + np.cos(2 * math.pi * y / rows)) * (1 + np.cos(2 * math.pi * x / columns)) / 4
    out: NDArray[np.float64] = 0.1 + 0.8 * knots**2
    return out


def grains(height: int, width: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).random((height, width))


def exemplar(values: NDArray[np.float64], mask: Tensor | None = None) -> Exemplar:
    return Exemplar(torch.from_numpy(values).float().expand(1, 3, -1, -1), mask=mask)


REGULAR, ROUGH = net(72, 80, 12, 16), grains(72, 80)


def chosen(*exemplars: Exemplar, guided: bool = False, **changes: object) -> Method:
    settings = ExpandSettings.model_validate(changes)
    return plan_expand(exemplars, settings, guided=guided).settings.method


def test_small_regular_textures_are_laid_out_by_the_transposer_and_others_by_patches() -> None:
    assert chosen(exemplar(REGULAR)) == "transposer+patch"
    assert chosen(exemplar(ROUGH)) == "patch"
    assert chosen(exemplar(np.full((40, 40), 0.3))) == "patch"
    mixed = exemplar(0.4 * REGULAR + 0.6 * ROUGH)
    found = most_likely_lattice(mixed.image)
    assert found is not None
    assert found.confidence < 0.7
    assert chosen(mixed) == "patch"


def test_fine_grain_is_made_of_copies() -> None:
    """What is left in means over 1/32 of the side decides, whatever the size and the contrast."""
    fine, coarse = grains(256, 200), grains(32, 25).repeat(8, 0).repeat(8, 1)
    assert chosen(exemplar(fine)) == "patch", "which keep copies apart"
    assert chosen(exemplar(fine), variety=0.0) == "transposer"
    assert chosen(exemplar(0.5 + 0.01 * fine), variety=0.0) == "transposer"
    assert chosen(exemplar(coarse), variety=0.0) == "patch"
    assert chosen(exemplar(fine), tileable=True) == chosen(exemplar(fine), guided=True) == "patch"
    assert (
        chosen(exemplar(fine), exemplar(fine))
        == chosen(exemplar(fine, torch.ones(1, 1, 256, 200)))
        == "patch"
    )
    maps = Exemplar(exemplar(fine).image, siblings=(exemplar(fine).image[:, :1],))
    assert chosen(maps) == "patch", "whose values are copied as they are"
    assert coarseness(torch.full((1, 3, 40, 40), 0.3)) == 1
    assert coarseness(exemplar(fine).image) == pytest.approx(1 / 6, rel=0.1), "means of 36 numbers"


def test_an_exemplar_must_show_one_and_a_half_periods() -> None:
    longer = exemplar(net(72, 80, 12, 46))
    assert chosen(longer) == "transposer+patch"
    too_long = exemplar(net(60, 80, 12, 46))
    found = most_likely_lattice(too_long.image)
    assert found is not None
    assert found.confidence > 0.7
    assert chosen(too_long) == "patch"


def test_large_exemplars_need_no_layout() -> None:
    assert chosen(exemplar(net(190, 200, 20, 30))) == "transposer+patch"
    assert chosen(exemplar(net(192, 200, 20, 30))) == "patch"


def test_patches_where_the_transposer_cannot_work() -> None:
    hole = torch.ones(1, 1, 72, 80)
    hole[:, :, :9, :9] = 0
    assert chosen(exemplar(REGULAR), exemplar(REGULAR)) == "patch"
    assert chosen(exemplar(REGULAR, hole)) == "patch"
    assert chosen(exemplar(REGULAR), guided=True) == "patch"
    assert chosen(exemplar(REGULAR), tileable=True) == "patch"


@pytest.mark.parametrize("method", ["patch", "patch+optimize", "optimize", "transposer"])
def test_a_method_that_is_given_stays(method: Method) -> None:
    assert chosen(exemplar(REGULAR), method=method) == method


def test_the_lattice_is_used_only_where_it_is_wanted() -> None:
    assert plan_expand([exemplar(REGULAR)], ExpandSettings()).lattice is not None
    off = ExpandSettings.model_validate({"patch": {"lattice": "off"}})
    assert plan_expand([exemplar(REGULAR)], off).lattice is None
    assert plan_expand([exemplar(ROUGH)], ExpandSettings()).lattice is None
    assert plan_expand([exemplar(REGULAR)], ExpandSettings(), guided=True).lattice is None


@pytest.fixture
def pictures(place: Path) -> Path:
    save(place / "net.png", REGULAR * 255)
    save(place / "sand.png", ROUGH * 255)
    return place


def test_the_choice_is_shown_recorded_and_replayed(pictures: Path, model: Path) -> None:
    done = ok("expand", "net.png", "sand.png", "--json", "-v", "--model", model, *FLAGS)
    wanted = {"net": "transposer+patch", "sand": "patch"}
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(entry["exemplar"]).stem: entry["method"] for entry in shown} == wanted
    for name, method in wanted.items():
        assert f", method {method}\n" in done.stderr
        found = record(pictures / f"{name}.expand.png")
        assert found.expand.method == method
        assert found.transposer_sha256 is None, "copies need no network"
        ok("expand", f"{name}.png", "-o", "given.png", "-f", "--method", method, "--model", model, *FLAGS)
        result = (pictures / f"{name}.expand.png").read_bytes()
        assert (pictures / "given.png").read_bytes() == result, "as if the method had been given"
        ok("replay", f"{name}.expand.png")
        assert (pictures / f"{name}.expand.replay.png").read_bytes() == result
    again = run_cli("expand", "net.png", "sand.png", "--resume", "-v", "--model", model, *FLAGS)
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr.count("skipped, it is there already") == 2


def test_what_keeps_a_part_of_a_picture_is_done_by_patches(pictures: Path, model: Path) -> None:
    save(pictures / "hole.png", square(72, 80, 30, 30, 9))
    ok("expand", "net.png", "--hole", "hole.png", "-o", "filled.png", "--model", model, *FLAGS)
    ok("tile", "net.png", "-o", "tile.png", "--model", model, *FLAGS[:-2])
    for name in ("filled.png", "tile.png"):
        found = record(pictures / name)
        assert (found.expand.method, found.transposer_sha256) == ("patch", None)


def test_the_lattice_is_looked_for_once_for_all_variations(
    pictures: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(image: Tensor, mask: Tensor | None = None) -> Lattice | None:
        calls.append(image.shape)
        return most_likely_lattice(image, mask)

    monkeypatch.setattr("texsynth.pipelines.method.most_likely_lattice", counted)
    monkeypatch.setattr("texsynth.analysis.lattice.most_likely_lattice", counted)
    ok("expand", "sand.png", "--count", 3, "--model", model, *FLAGS)
    assert len(calls) == 1
