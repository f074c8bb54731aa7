"""Style cards: what is written is what was measured, and what is no card is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import cut_files, make_picture, names, run_cli
from helpers.nets import WIDTHS
from safetensors.torch import load, save

import texsynth
from texsynth.config.settings import StylizeSettings
from texsynth.errors import InputError
from texsynth.images import Picture, read, write
from texsynth.images.tensors import to_image, to_weight
from texsynth.jobs.cards import FORMAT, Card, check_model, read_card
from texsynth.models.hub.cache import file_hash
from texsynth.models.registry import load_model
from texsynth.pipelines.stylize import fit_style
from texsynth.transforms.moments import Moments


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two styles of different sizes."""
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "wave.png", seed=1)
    make_picture(tmp_path / "oil.png", seed=2, height=30, width=28)
    return tmp_path


def made(*arguments: object, model: Path) -> Card:
    result = run_cli("card", "make", *arguments, "--model", model, "--dtype", "float32", "-f")
    assert (result.exit_code, result.stderr) == (0, "")
    return read_card(Path(result.stdout.strip()).read_bytes(), "the card")


def equal(a: Moments, b: Moments) -> bool:
    return a.n == b.n and torch.equal(a.sum, b.sum) and torch.equal(a.outer, b.outer)


def test_moments_are_those_of_the_picture_bit_for_bit(place: Path, model: Path) -> None:
    rgb = read(place / "wave.png").rgb
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:9] = 40
    write(Picture(rgb, alpha), place / "glass.png")
    for name in ("wave", "glass"):
        card, picture = made(f"{name}.png", model=model), read(place / f"{name}.png")
        settings = StylizeSettings(levels=(5, 4, 3, 2, 1))
        fitted = fit_style(to_image(picture), load_model(str(model)), settings, weight=to_weight(picture))
        assert list(card.moments) == [1, 2, 3, 4, 5]
        assert all(equal(card.moments[level], fitted.moments[level]) for level in card.moments)


def test_moments_of_several_pictures_add_up(place: Path, model: Path) -> None:
    one, other = made("wave.png", model=model), made("oil.png", model=model)
    both = made("wave.png", "oil.png", "-o", "both.card", model=model)
    for level, moments in both.moments.items():
        assert equal(moments, one.moments[level] + other.moments[level])
    assert both.sources == one.sources + other.sources
    assert np.array_equal(both.thumbnail, one.thumbnail)


def test_folders_and_patterns(place: Path, model: Path) -> None:
    (place / "in" / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        make_picture(place / "in" / name, seed=len(name))
    assert [s.path for s in made("in", model=model).sources] == ["in/a.png"]
    assert len(made("in", "-r", "-o", "new/in.card", model=model).sources) == 2
    assert len(made("*.png", "wave.png", "-o", "all.card", model=model).sources) == 2


def test_a_flat_picture_has_the_moments_of_one_colour(place: Path, model: Path) -> None:
    """f everywhere: the sum is n f and the outer product n f f^T; n counts cells."""
    write(Picture(np.full((40, 48, 3), 90, np.uint8)), place / "flat.png")
    for level, moments in made("flat.png", model=model).moments.items():
        assert moments.n == -(-40 // 2 ** (level - 1)) * -(-48 // 2 ** (level - 1))
        torch.testing.assert_close(moments.outer, torch.outer(moments.sum, moments.sum) / moments.n)


def test_a_card_says_where_it_comes_from(place: Path, model: Path) -> None:
    make_picture(place / "strip.png", height=9, width=46)
    wide = np.repeat(read(place / "strip.png").rgb, 8, 1)
    write(Picture(wide), place / "strip.png", force=True)
    card = made("strip.png", model=model)
    assert card.version == texsynth.__version__
    assert (card.model, card.model_sha256) == (str(model), file_hash(model))
    assert [(s.path, s.sha256) for s in card.sources] == [("strip.png", file_hash(place / "strip.png"))]
    assert (card.thumbnail.shape, card.thumbnail.dtype.name) == ((3, 128, 3), "uint8")
    small = made("oil.png", model=model)
    assert np.array_equal(small.thumbnail, read(place / "oil.png").rgb)


def test_show(place: Path, model: Path) -> None:
    card = made("wave.png", "oil.png", "-o", "both.card", model=model)
    found = json.loads(run_cli("card", "show", "both.card", "--json").stdout)
    assert found["levels"] == [
        {"level": level, "channels": width, "pixels": card.moments[level].n}
        for level, width in enumerate(WIDTHS, 1)
    ]
    assert found["sources"] == [source.model_dump() for source in card.sources]
    assert found["thumbnail"] == {"width": 41, "height": 33}
    assert found["card"] == "both.card"
    assert (found["model"], found["model_sha256"]) == (card.model, card.model_sha256)
    text = run_cli("card", "show", "both.card").stdout
    assert "style: oil.png" in text
    assert f"level 5: {WIDTHS[4]} channels, {found['levels'][4]['pixels']:g} pixels" in text


def test_equal_cards_are_equal_files(place: Path, model: Path) -> None:
    made("wave.png", model=model)
    first = (place / "wave.card").read_bytes()
    for _ in range(3):
        made("wave.png", model=model)
        assert (place / "wave.card").read_bytes() == first


def test_make_says_what_it_did(place: Path, model: Path) -> None:
    data = (place / "oil.png").read_bytes()
    result = run_cli("card", "make", "-", "--json", "--model", model, data=data)
    assert json.loads(result.stdout) == {"output": "stdin.card", "styles": ["-"]}
    assert read_card((place / "stdin.card").read_bytes(), "it").sources[0].sha256 == file_hash(
        place / "oil.png"
    )


BAD = [
    (["wave.png", "-o", "wave.png"], 2, "needs a name that ends with .card"),
    (["wave.png", "-o", "-"], 2, "needs a name that ends with .card"),
    (["wave.png", "oil.png"], 2, "a card of 2 styles needs a name"),
    (["wave.png", "--model", "lit"], 2, "did you mean 'lite'?"),
    (["wave.png", "--model", "none.safetensors"], 6, "none.safetensors does not exist"),
    (["wave.png", "-o", "taken.card"], 5, "taken.card exists already; use --force"),
    (["wave.png", "-o", "taken.card/x.card"], 5, "is a file"),
    (["wave.png", "-o", "folder.card", "-f"], 5, "folder.card is a folder"),
    (["picture.card", "-f"], 2, "also an input"),
    (["gone.png"], 4, "gone.png does not exist"),
    (["gone.png", "wave.png", "-o", "x.card"], 4, "gone.png does not exist"),
    (["folder.card"], 4, "no pictures in the folder folder.card"),
    (["cut.png"], 4, "cut.png is damaged or incomplete"),
    (["clear.png"], 4, "fully transparent"),
    (["taken.card", "-o", "x.card"], 4, "taken.card is not a picture"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input(place: Path, model: Path, arguments: list[str], code: int, message: str) -> None:
    whole = (place / "wave.png").read_bytes()
    cut_files(place)
    (place / "picture.card").write_bytes(whole)
    (place / "taken.card").write_text("I am text\n" * 9)
    (place / "folder.card").mkdir()
    write(Picture(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)), place / "clear.png")
    before = names(place)
    result = run_cli("card", "make", *arguments, *([] if "--model" in arguments else ["--model", model]))
    refused(result.stderr, message)
    assert (result.exit_code, result.stdout) == (code, "")
    assert names(place) == before, "nothing is left behind"
    assert (place / "picture.card").read_bytes() == whole


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user whom modes bind")
def test_a_folder_that_is_not_writable(place: Path, model: Path) -> None:
    (place / "locked").mkdir(mode=0o500)
    result = run_cli("card", "make", "wave.png", "-o", "locked/x.card", "--model", model)
    assert (result.exit_code, result.stdout) == (5, "")
    refused(result.stderr, "the folder locked is not writable")


def refused(errors: str, message: str) -> None:
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert "Traceback" not in errors
    assert "bug" not in errors


Change = Callable[[dict[str, torch.Tensor], dict[str, str]], object]

DAMAGE: dict[str, tuple[Change, str]] = {
    "foreign": (lambda _, header: header.clear(), "is no style card"),
    "future": (lambda _, header: header.update(format="texsynth-card-2"), "another version of texsynth"),
    "model": (lambda _, header: header.pop("model"), "(model is missing)"),
    "resized": (lambda _, header: header.update(style_scale="1.5"), "of pictures resized by 1.5"),
    "sources": (lambda _, header: header.update(sources="[{}]"), "list of sources is unreadable"),
    "no sources": (lambda _, header: header.update(sources="[]"), "list of sources is unreadable"),
    "nested": (lambda _, header: header.update(sources="[" * 10**6), "list of sources is unreadable"),
    "level": (lambda tensors, _: tensors.pop("level3.n"), "(level3.n is missing)"),
    "middle": (lambda tensors, _: [tensors.pop(f"level2.{p}") for p in ("n", "sum", "outer")], "is missing"),
    "thumbnail": (lambda tensors, _: tensors.pop("thumbnail"), "(thumbnail is missing)"),
    "large": (
        lambda tensors, _: tensors.update(thumbnail=torch.zeros(129, 9, 3, dtype=torch.uint8)),
        "thumbnail is no small picture",
    ),
    "shape": (lambda tensors, _: tensors.update({"level2.sum": torch.ones(7).double()}), "do not agree"),
    "scalar": (
        lambda tensors, _: tensors.update({"level2.sum": torch.tensor(1.0).double()}), "do not agree"
    ),
    "type": (lambda tensors, _: tensors.update({"level2.n": torch.ones(1)}), "is not in float64"),
    "nan": (lambda tensors, _: tensors["level4.outer"][3].fill_(torch.nan), "not finite"),
    "infinite": (lambda tensors, _: tensors["level1.sum"][0].fill_(torch.inf), "not finite"),
    "empty": (lambda tensors, _: tensors["level1.n"].zero_(), "count no pixels"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_no_card_is_refused(place: Path, model: Path, kind: str) -> None:
    made("oil.png", model=model)
    path = place / "oil.card"
    data, (change, message) = path.read_bytes(), DAMAGE[kind]
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert header["format"] == FORMAT
    tensors = load(data)
    change(tensors, header)
    path.write_bytes(save(tensors, header))
    result = run_cli("card", "show", "oil.card")
    assert (result.exit_code, result.stdout) == (4, "")
    refused(result.stderr, message)
    assert "oil.card" in result.stderr


def test_cut_and_missing_cards_are_refused(place: Path, model: Path) -> None:
    made("oil.png", model=model)
    data = (place / "oil.card").read_bytes()
    for size in (0, 5, 8, 300, len(data) // 2, len(data) - 1):
        (place / "oil.card").write_bytes(data[:size])
        result = run_cli("card", "show", "oil.card")
        assert (result.exit_code, result.stdout) == (4, "")
        refused(result.stderr, "oil.card is no style card or is damaged")
    refused(run_cli("card", "show", "wave.png").stderr, "wave.png is no style card")
    refused(run_cli("card", "show", "gone.card").stderr, "gone.card does not exist")


def test_another_model_is_refused(place: Path, model: Path) -> None:
    card = made("oil.png", model=model)
    network = load_model(str(model))
    check_model(card, network, "oil.card")
    with pytest.raises(InputError, match=r"oil\.card was made with other weights \(.*, 00000000…\) than"):
        check_model(replace(card, model_sha256="0" * 64), network, "oil.card")


def test_light_commands_do_not_import_torch(place: Path) -> None:
    code = (
        "import sys; from texsynth.cli import app\n"
        "for line in sys.argv[1:]:\n"
        "    try: app(line.split())\n"
        "    except SystemExit: pass\n"
        "    assert 'torch' not in sys.modules, line\n"
    )
    lines = ["card --help", "card make --help", "card show --help", "card make a.png -o a.png",
             "card make gone.png", "card make wave.png oil.png", "card show"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, *lines], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
