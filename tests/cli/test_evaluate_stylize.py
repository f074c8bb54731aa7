"""Comparing methods of stylization: what is compared and measured, what is left, and what fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import make_picture, run_cli, run_program
from helpers.nets import tiny_tensors
from torch import Tensor

from texsynth.config.settings import RunSettings, StylizeSettings
from texsynth.errors import UsageError
from texsynth.evaluation.baseline import LESS_IS_BETTER, compared
from texsynth.evaluation.baseline import Baseline as Earlier
from texsynth.evaluation.methods import BASELINES as NAMED
from texsynth.evaluation.methods import default_names, stylize_methods
from texsynth.evaluation.results import Evaluation, Row, Subject
from texsynth.evaluation.stylize import BASELINES, MEASURES
from texsynth.evaluation.subjects import Pair, choose_pairs, crossed
from texsynth.images import Picture, read, write
from texsynth.jobs.inputs import Input
from texsynth.models.weights import write_weights
from texsynth.training.data import is_held_out

HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"
"""A file name that would do something if it were not escaped."""

PAIRS = ("--pairs", "pairs.csv")

Baseline = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two contents and two styles."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("street.png", "lake.png", "swirl.png", "ink.png")):
        make_picture(tmp_path / name, seed=seed, height=40 + seed, width=52)
    return tmp_path


def evaluation(model: object, *more: object, out: str = "out") -> tuple[object, ...]:
    """Arguments for one content and one style, without methods."""
    return (
        "evaluate", "stylize", "--content", "street.png", "--style", "swirl.png", "-o", out,
        "--model", model, "--features", model, "--dtype", "float32", "--device", "cpu", *more,
    )  # fmt: skip


def methods(*names: str) -> list[str]:
    return [text for name in names for text in ("--method", name)]


def results(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "table.json").read_text())
    assert isinstance(found, dict)
    return found


def measures(folder: Path, method: str) -> list[dict[str, Any]]:
    """Of all pairs."""
    return [
        result["measures"]
        for pair in results(folder)["pairs"]
        for result in pair["results"]
        if result["method"] == method
    ]


# What is compared


def test_baselines_and_all_presets_are_compared_by_default() -> None:
    assert default_names("stylize") == [
        "content", "colour", "preset:artistic", "preset:best", "preset:bold", "preset:classic-wct",
        "preset:colour-only",
        "preset:gentle", "preset:ift-paper", "preset:pattern", "preset:photo", "preset:photo-soft",
    ]  # fmt: skip
    assert set(NAMED["stylize"]) == set(BASELINES)


def test_methods_by_name() -> None:
    names = ["ift", "photo:ot", "optimize", "preset:bold", "content", "ift"]
    compared = stylize_methods(names, ["style_scale=2.0"], ["lite"])
    assert [m.name for m in compared] == names[:-1], "each once"
    settings = [m.settings for m in compared if isinstance(m.settings, StylizeSettings)]
    modes = [(s.mode, s.transform.name) for s in settings]
    assert modes == [("artistic", "ift"), ("photo", "ot"), ("artistic", "optimize"), ("artistic", "ot")]
    assert all(s.style_scale == 2 for s in settings)
    assert compared[-1].settings is None
    assert all(m.description for m in compared)


def test_methods_with_several_models() -> None:
    compared = stylize_methods(
        ["content", "ift", "preset:photo@a/wide.safetensors"], (), ["lite", "b/wide.safetensors"]
    )
    assert [(m.name, m.model) for m in compared] == [
        ("content", None),
        ("ift@lite", "lite"),
        ("ift@b/wide.safetensors", "b/wide.safetensors"),
        ("preset:photo@a/wide.safetensors", "a/wide.safetensors"),
    ], "equal names in two folders stay apart"
    (only,) = stylize_methods(["ift@b/wide.safetensors"], (), ["lite"])
    assert only.name == "ift@wide"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("contnt", "did you mean 'content'"),
        ("photo:iftt", "did you mean 'photo:ift'"),
        ("photo:optimize", "mode must be artistic"),
        ("preset:artistc", "did you mean 'artistic'"),
        ("preset:balanced", "no settings for stylize"),
        ("content@lite", "uses no model"),
        ("ift@", "names no model"),
    ],
)
def test_unknown_methods_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        stylize_methods([name], (), ["lite"])


def inputs(*names: str) -> list[Input]:
    return [Input(Path(name), name) for name in names]


def test_every_content_gets_every_style_and_a_limit_is_spread_over_both() -> None:
    contents, styles = inputs("a", "b", "c"), inputs("x", "y")
    pairs = crossed(contents, styles)
    assert len(set(pairs)) == len(pairs) == 6
    few = choose_pairs(pairs, held_out=False, limit=3)
    assert {pair.content for pair in few} == set(contents)
    assert {pair.style for pair in few} == set(styles)
    ordered = choose_pairs(pairs, held_out=False, limit=None)
    assert ordered == [Pair(c, s) for c in contents for s in styles], "those of a content together"


def test_held_out_pairs_have_both_pictures_held_out() -> None:
    names = [f"{i}.png" for i in range(60)]
    kept = [name for name in names if is_held_out(Path(name))]
    assert 1 < len(kept) < 30
    found = choose_pairs(crossed(inputs(*names), inputs(*names)), held_out=True, limit=None)
    assert {(p.content.key, p.style.key) for p in found} == {(a, b) for a in kept for b in kept}


def test_pairs_from_files_and_one_to_one(place: Path, model: Path) -> None:
    (place / "list").mkdir()
    rows = [("../street.png", "../ink.png"), ("../lake.png", "../swirl.png")]
    (place / "list/pairs.csv").write_text("content,style\n" + "".join(f"{c},{s}\n" for c, s in rows))
    lines = [json.dumps({"content": c, "style": s}) for c, s in rows]
    (place / "list/pairs.jsonl").write_text("\n".join(lines))
    common = ["evaluate", "stylize", "--method", "content", "--features", model]
    zipped = ["--zip", "--content", "street.png", "--content", "lake.png", "--style", "ink.png"]
    ways: dict[str, list[str]] = {
        "csv": ["--pairs", "list/pairs.csv"],
        "jsonl": ["--pairs", "list/pairs.jsonl"],
        "zip": [*zipped, "--style", "swirl.png"],
    }
    for name, way in ways.items():
        done = run_cli(*common, *way, "-o", name)
        assert done.exit_code == 0, done.stderr
        pairs = [(p["content"]["name"], p["style"]["name"]) for p in results(place / name)["pairs"]]
        assert pairs == [("street.png", "ink.png"), ("lake.png", "swirl.png")]
    uneven = run_cli(*common, *zipped, "-o", "uneven")
    assert uneven.exit_code == 2
    assert "2 contents and 1 styles" in uneven.stderr


# What is measured


def test_a_picture_compared_with_itself(place: Path, model: Path) -> None:
    """The content as it is, with itself for a style: every distance is 0, everything is kept."""
    done = run_cli(
        "evaluate", "stylize", "--content", "street.png", "--content", "lake.png", "--style", "street.png",
        "--style", "lake.png", "--zip", "-o", "out", "--features", model, *methods("content", "colour"),
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    for method in ("content", "colour"):
        for found in measures(place / "out", method):
            assert found["gram"] == pytest.approx(0, abs=1e-9)
            assert found["wasserstein"] == pytest.approx(0, abs=1e-6)
            assert found["ssim"] == pytest.approx(1)
            assert found["edges"] == pytest.approx(1)
            assert found["identity"] == 100
    for summary in results(place / "out")["summary"]:
        assert summary["frechet"]["distance"] == pytest.approx(0, abs=1e-6)
        gram = summary["estimates"]["gram"]
        assert gram["low"] == pytest.approx(gram["mean"], abs=1e-9)


def test_means_are_those_of_pairs_and_levels(place: Path, model: Path) -> None:
    arguments = evaluation(model, "--content", "lake.png", "--style", "ink.png", *methods("ift", "content"))
    assert run_cli(*arguments).exit_code == 0
    found = results(place / "out")
    assert [p["name"] for p in found["pairs"]] == [
        f"{c}.png + {s}.png" for c in ("street", "lake") for s in ("swirl", "ink")
    ]
    summary = {s["method"]: s for s in found["summary"]}["ift"]
    own = measures(place / "out", "ift")
    for name in ("gram", "wasserstein", "ssim", "edges", "identity"):
        values = [m[name] for m in own]
        estimate = summary["estimates"][name]
        assert estimate["mean"] == pytest.approx(fmean(values))
        assert estimate["low"] <= estimate["mean"] <= estimate["high"]
        assert min(values) <= estimate["median"] <= max(values)
    for measured in own:
        assert list(measured["levels"]) == [f"relu{level}_1" for level in (1, 2, 3, 4)]
        assert measured["gram"] == pytest.approx(
            fmean(level["gram"] for level in measured["levels"].values())
        )
    # 2 x 2 cells at relu3_1 of 52 x 40 pixels and the like: 13 x 10 and 13 x 11, each twice.
    assert summary["frechet"]["results"] == 2 * (13 * 10 + 13 * 11)
    assert own[0]["identity"] == own[1]["identity"], "once for a content and a method"


def test_seeds_are_averaged(place: Path) -> None:
    for out, more in (("one", ["--seed", 5]), ("two", ["--seed", 6]), ("both", ["--seed", 5, "--seeds", 2])):
        # Random weights paint every content alike.
        assert run_cli(*evaluation("lite", *methods("ift"), *more, out=out)).exit_code == 0
    (one,), (two,), (both,) = (measures(place / name, "ift") for name in ("one", "two", "both"))
    assert one["gram"] != two["gram"], "the grain has a seed"
    for name in ("gram", "wasserstein", "ssim", "edges"):
        assert both[name] == pytest.approx((one[name] + two[name]) / 2)
    assert results(place / "both")["seeds"] == 2


def test_the_result_is_that_of_the_stylize_command(place: Path) -> None:
    """Its 8-bit file, given as a content that stays as it is, is as far from the style."""
    made = run_cli(
        "stylize", "street.png", "swirl.png", "-o", "made.png", "--dtype", "float32",
        "--device", "cpu", "--seed", 4,
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    assert run_cli(*evaluation("lite", "--seed", 4, *methods("preset:artistic"))).exit_code == 0
    again = run_cli(
        "evaluate", "stylize", "--content", "made.png", "--style", "swirl.png", "-o", "again",
        "--device", "cpu", *methods("content"),
    )  # fmt: skip
    assert again.exit_code == 0, again.stderr
    (ours,), (theirs,) = measures(place / "out", "preset:artistic"), measures(place / "again", "content")
    assert ours["levels"] == theirs["levels"]


def test_pictures_are_reduced_first(place: Path, model: Path) -> None:
    assert run_cli(*evaluation(model, "--max-side", 26, *methods("content"))).exit_code == 0
    found = results(place / "out")
    (pair,) = found["pairs"]
    assert pair["content"]["size"] == [26, 20]
    assert pair["results"][0]["size"] == [26, 20]
    assert found["max_side"] == 26


# What is left


def test_table_page_and_screen(place: Path, model: Path) -> None:
    done = run_cli(*evaluation(model, "--seed", 3, *methods("content", "photo:adain")))
    assert done.exit_code == 0, done.stderr
    head, *rows, last = done.stdout.splitlines()
    assert last == str(Path("out/index.html"))
    assert head.split() == [
        "method", "pairs", "failed", "gram", "wasserstein", "ssim", "edges", "identity", "frechet", "seconds",
    ]  # fmt: skip
    assert [row.split()[0] for row in rows] == ["content", "photo:adain"]
    assert len({len(row) for row in (head, *rows)}) == 1, "columns are aligned"
    assert sorted(p.name for p in (place / "out").iterdir()) == ["index.html", "table.csv", "table.json"]
    found = results(place / "out")
    assert found["command"] == "evaluate stylize"
    assert found["seed"] == 3
    assert found["machine"]["cpu"]
    assert found["machine"]["gpu"] is None
    assert found["versions"]["torch"] == torch.__version__
    assert found["features"]["frechet_level"] == "relu3_1"
    method = found["methods"]["photo:adain"]
    assert method["settings"]["mode"] == "photo"
    assert method["sha256"] == found["features"]["sha256"]
    assert len(method["sha256"]) == 64
    assert found["methods"]["content"]["model"] is None
    text = (place / "out/index.html").read_text()
    assert text.count("data:image/jpeg;base64,") == 2 + 2
    assert "default-src 'none'" in text
    assert "http:" not in text
    assert "https:" not in text
    assert "Sobel" in text
    assert "relu3_1" in text


def test_all_methods_by_default(place: Path, model: Path) -> None:
    done = run_cli(*evaluation(model))
    assert done.exit_code == 0, done.stderr
    found = results(place / "out")
    assert [s["method"] for s in found["summary"]] == default_names("stylize")
    assert all(s["done"] == 1 for s in found["summary"])
    assert found["methods"]["preset:gentle"]["settings"]["level_strength"] == {"4": 0.5}


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_names_that_are_no_text(place: Path, model: Path) -> None:
    content = os.fsdecode(b"stra\xdfe.png")
    (place / content).write_bytes((place / "street.png").read_bytes())
    arguments = ["evaluate", "stylize", "--content", content, "--style", "ink.png", "-o", "out"]
    done = run_program(*arguments, *methods("content"), "--features", model, cwd=place)
    assert done.returncode == 0, done.stderr.decode()
    found = results(place / "out")
    assert found["pairs"][0]["content"]["name"] == "stra\ufffde.png"
    assert "stra\ufffde.png" in (place / "out/index.html").read_text()


def test_json_lines(place: Path, model: Path) -> None:
    done = run_cli(*evaluation(model, "--json", *methods("content", "colour")))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("method") for line in lines] == ["content", "colour", None]
    assert lines[0]["estimates"]["ssim"]["mean"] == pytest.approx(1)
    assert lines[0]["estimates"]["ssim"]["low"] is None, "one pair has no interval"
    assert lines[-1] == {"page": str(Path("out/index.html"))}


def test_the_same_again_but_for_the_time(place: Path, model: Path) -> None:
    for out in ("one", "two"):
        assert run_cli(*evaluation(model, *methods("ift"), out=out)).exit_code == 0
    assert measures(place / "one", "ift") == measures(place / "two", "ift")


def test_names_are_text(place: Path, model: Path) -> None:
    (place / HOSTILE).write_bytes((place / "street.png").read_bytes())
    done = run_cli(
        "evaluate", "stylize", "--content", HOSTILE, "--style", HOSTILE, "-o", "out", "--features", model,
        *methods("content"),
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert results(place / "out")["pairs"][0]["content"]["name"] == HOSTILE
    text = (place / "out/index.html").read_text()
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;&#34;&#39;.png" in text


def test_equal_names_in_two_folders_stay_apart(place: Path, model: Path) -> None:
    for folder in ("a", "b"):
        (place / folder).mkdir()
        make_picture(place / folder / "same.png", seed=ord(folder))
    done = run_cli(
        "evaluate", "stylize", "--content", "a", "--content", "b", "--style", "ink.png", "-o", "out",
        "--features", model, *methods("content"),
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    names = [p["content"]["name"] for p in results(place / "out")["pairs"]]
    assert names == [str(Path("a/same.png")), str(Path("b/same.png"))]


def test_pictures_on_the_page_get_smaller_where_there_are_many(place: Path, model: Path) -> None:
    make_picture(place / "large.png", height=450, width=500)
    arguments = ["evaluate", "stylize", "--content", "large.png", "--features", model, *methods("content")]
    assert run_cli(*arguments, "--style", "ink.png", "-o", "few").exit_code == 0
    assert 'width="400" height="360"' in (place / "few/index.html").read_text()
    assert results(place / "few")["pairs"][0]["results"][0]["size"] == [500, 450], "measured in full"


# An earlier table


def test_an_earlier_table_is_compared_pair_by_pair(place: Path, model: Path) -> None:
    both = ("--style", "ink.png")
    assert run_cli(*evaluation(model, *both, *methods("ift", "content"), out="old")).exit_code == 0
    old = results(place / "old")
    for number, pair in enumerate(old["pairs"]):
        for result in pair["results"]:
            result["measures"]["gram"] += 0.5 + 0.25 * number
            result["measures"]["ssim"] += 0.1
    (place / "changed.json").write_text(json.dumps(old))
    more = ("--content", "lake.png", "--baseline", "changed.json", "--json")
    done = run_cli(*evaluation(model, *both, *methods("ift", "colour"), *more))
    assert done.exit_code == 0, done.stderr
    found = results(place / "out")["baseline"]
    assert (found["matched"], found["only_here"], found["only_there"]) == (2, 6, 2)
    assert "2 results are in both tables; 6 here and 2 in the earlier one" in done.stderr
    differences = {d["measure"]: d for d in found["differences"]}
    assert {d["method"] for d in found["differences"]} == {"ift"}
    gram = differences["gram"]
    assert gram["estimate"]["mean"] == pytest.approx(-0.625)
    assert gram["estimate"]["low"] == pytest.approx(-0.75)
    assert gram["estimate"]["high"] == pytest.approx(-0.5)
    assert gram["better"] == 1
    assert differences["ssim"]["estimate"]["mean"] == pytest.approx(-0.1)
    assert differences["ssim"]["better"] == 0, "more would be better"
    assert differences["edges"]["better"] == 0, "the same is not better"
    assert differences["edges"]["estimate"]["mean"] == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["measure"] for line in lines if "measure" in line] == list(LESS_IS_BETTER)
    page = (place / "out/index.html").read_text()
    assert "2 results are in both tables" in page


def test_tables_without_a_common_method_have_no_differences() -> None:
    result = {"method": "wct", "seconds": 1.0, "measures": {"gram": 2.0}}
    pair: dict[str, Any] = {"content": {"sha256": "c"}, "style": {"sha256": "s"}}
    earlier = Earlier.model_validate(
        {
            "command": "evaluate stylize",
            "versions": {"texsynth": "1"},
            "features": {"sha256": ""},
            "max_side": 512,
            "pairs": [{**pair, "results": [result]}],
        }
    )
    now = Evaluation("evaluate stylize", "pair", MEASURES, [], RunSettings(), {})
    now.rows = [Row(Subject("c + s", pair), "ift", {"gram": 1.0}, 1.0)]
    comparison = compared(now, earlier)
    assert comparison.differences == ()
    assert (comparison.matched, comparison.only_here, comparison.only_there) == (0, 1, 1)


def test_a_baseline_that_means_something_else_is_refused(place: Path, model: Path, tmp_path: Path) -> None:
    assert run_cli(*evaluation(model, *methods("content"), out="old")).exit_code == 0
    table = "old/table.json"
    sides = run_cli(*evaluation(model, *methods("content"), "--max-side", 30, "--baseline", table))
    assert sides.exit_code == 2
    assert "--max-side 512, not 30" in sides.stderr
    write_weights(tmp_path / "other.safetensors", tiny_tensors(seed=1), {})
    network = run_cli(
        *evaluation(model, *methods("content"), "--baseline", table, "--features", "other.safetensors")
    )
    assert network.exit_code == 2
    assert "measured by another network" in network.stderr
    assert not (place / "out").exists()


# What fails


def test_a_bad_picture_does_not_stop_the_others(place: Path, model: Path) -> None:
    (place / "broken.png").write_bytes(b"no picture")
    rgb = read(place / "street.png").rgb
    write(Picture(rgb, np.full(rgb.shape[:2], 128, np.uint8)), place / "veil.png")
    more = ("--content", "broken.png", "--style", "veil.png", *methods("content"))
    done = run_cli(*evaluation(model, *more))
    assert done.exit_code == 3
    assert "broken.png is not a picture" in done.stderr
    assert "veil.png has transparent parts" in done.stderr
    errors = {p["name"]: p["error"] for p in results(place / "out")["pairs"]}
    assert errors.pop("street.png + swirl.png") is None
    assert all(errors.values())
    assert len(errors) == 3
    assert "not used: broken.png is not a picture" in (place / "out/index.html").read_text()
    alone = run_cli(
        "evaluate", "stylize", "--content", "broken.png", "--style", "ink.png", "-o", "alone",
        "--features", model, *methods("content"),
    )  # fmt: skip
    assert alone.exit_code == 4


def crash(content: Tensor, style: Tensor) -> Tensor:
    """A method with a bug, whose message is markup."""
    raise KeyError("<script>alert(1)</script>")


def spoil(content: Tensor, style: Tensor) -> Tensor:
    """A method that diverges."""
    return torch.full_like(content, torch.nan)


def shrink(content: Tensor, style: Tensor) -> Tensor:
    """A method that ignores the size."""
    return content[:, :, ::2]


def exhaust(content: Tensor, style: Tensor) -> Tensor:
    """A method that takes more memory than any machine has."""
    return torch.empty(1 << 60)


@pytest.mark.parametrize(
    ("method", "message", "code"),
    [
        (crash, "KeyError", 1),
        (spoil, "nan", 1),
        (shrink, "(1, 3, 20, 52) with values", 1),
        (exhaust, "does not fit in memory; choose a smaller --max-side", 7),
    ],
)
def test_a_failing_method_is_reported_and_does_not_stop_the_others(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch, method: Baseline, message: str, code: int
) -> None:
    monkeypatch.setitem(BASELINES, "colour", method)
    done = run_cli(*evaluation(model, *methods("colour", "content")))
    assert done.exit_code == 3
    assert message in done.stderr
    failed, good = results(place / "out")["pairs"][0]["results"]
    assert message in failed["error"]
    assert failed["measures"] is None
    assert good["error"] is None
    summary = results(place / "out")["summary"][0]
    assert (summary["done"], summary["failed"], summary["frechet"]) == (0, 1, None)
    assert summary["estimates"]["gram"] is None
    text = (place / "out/index.html").read_text()
    assert text.count("failed: ") == 2, "at its place among the pictures and in the table"
    assert "<script>alert" not in text
    assert run_cli(*evaluation(model, *methods("colour"), out="other")).exit_code == code


def test_an_interrupted_run_keeps_what_is_finished(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter(range(100))

    def impatient(content: Tensor, style: Tensor) -> Tensor:
        # Twice for each pair: with the content itself first, unless that is known.
        if next(turns) == 2:
            raise KeyboardInterrupt
        return content

    monkeypatch.setitem(BASELINES, "colour", impatient)
    done = run_cli(*evaluation(model, "--style", "ink.png", *methods("content", "colour")))
    assert done.exit_code == 130
    assert "interrupted" in done.stderr
    found = results(place / "out")
    assert found["interrupted"] is True
    assert [[r["method"] for r in p["results"]] for p in found["pairs"]] == [
        ["content", "colour"],
        ["content"],
    ]
    assert [s["done"] for s in found["summary"]] == [2, 1]
    assert "interrupted" in (place / "out/index.html").read_text()


def shallow_model(path: Path, *, levels: int, without: str = "") -> Path:
    """A model with few levels, or without some of its parts."""
    tensors = {
        key: value
        for key, value in tiny_tensors().items()
        if not (without and key.startswith(without))
        and not (key.startswith("encoder.conv") and key.removeprefix("encoder.conv") >= f"{levels}_2")
    }
    write_weights(path, tensors, {})
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--style", "ink.png"], 2, "contents and styles are needed"),
        (["--content", "street.png"], 2, "contents and styles are needed"),
        (["--content", "street.png", "--style", "none.png"], 4, "none.png does not exist"),
        (["--content", "none/*.png", "--style", "ink.png"], 4, "no file matches"),
        (["--content", "-", "--style", "ink.png"], 4, "standard input cannot be compared"),
        (["--content", "street.png", "--style", "pairs.card"], 4, "is a card"),
        ([*PAIRS, "--zip"], 2, "leave out"),
        (["--pairs", "none.csv"], 4, "none.csv"),
        (["--pairs", "pairs.txt"], 2, ".csv or .jsonl"),
        (["--pairs", "with_preset.csv"], 2, "line 2: pairs have no preset"),
        (["--pairs", "wrong.csv"], 2, "did you mean 'content'"),
        (["--pairs", "empty.jsonl"], 2, "has no pairs"),
        (["--pairs", "gone.jsonl"], 4, "gone.png does not exist"),
        ([*PAIRS, "--method", "contnt"], 2, "did you mean 'content'"),
        ([*PAIRS, "--method", "preset:phto"], 2, "did you mean 'photo'"),
        ([*PAIRS, "--set", "transform.ridg=1"], 2, "did you mean 'ridge'"),
        ([*PAIRS, "--model", "lit"], 2, "did you mean 'lite'"),
        ([*PAIRS, "--features", "lit"], 2, "did you mean 'lite'"),
        ([*PAIRS, "--method", "ift@lit"], 2, "did you mean 'lite'"),
        ([*PAIRS, "--method", "ift@gone.safetensors"], 6, "gone.safetensors"),
        ([*PAIRS, "--features", "three.safetensors", *methods("content")], 2, "levels 1 to 3"),
        (
            [*PAIRS, "--features", "four.safetensors", "--frechet-level", "5", *methods("content")],
            2,
            "or a lower --frechet-level",
        ),
        ([*PAIRS, "--method", "ift@poor.safetensors"], 6, "no decoder for level 4"),
        ([*PAIRS, "--baseline", "none.json"], 4, "none.json"),
        ([*PAIRS, "--baseline", "street.png"], 4, "is not UTF-8 text"),
        ([*PAIRS, "--baseline", "other.json"], 4, "is no table of"),
        ([*PAIRS, "--baseline", "list.json"], 4, "is no table of"),
        ([*PAIRS, "--frechet-level", "6"], 2, "5"),
        ([*PAIRS, "--max-side", "0"], 2, "max-side"),
        ([*PAIRS, "-o", "street.png"], 5, "street.png is a file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_any_work(
    place: Path, arguments: list[str], code: int, message: str
) -> None:
    (place / "pairs.csv").write_text("content,style\nstreet.png,ink.png\n")
    (place / "pairs.card").write_bytes(b"card")
    (place / "with_preset.csv").write_text("content,style,preset\nstreet.png,ink.png,bold\n")
    (place / "wrong.csv").write_text("contnt,style\nstreet.png,ink.png\n")
    (place / "empty.jsonl").write_text("\n")
    (place / "gone.jsonl").write_text('{"content": "street.png", "style": "gone.png"}\n')
    (place / "other.json").write_text('{"command": "evaluate expand"}')
    (place / "list.json").write_text("[1, 2]")
    shallow_model(place / "three.safetensors", levels=3)
    shallow_model(place / "four.safetensors", levels=4)
    shallow_model(place / "poor.safetensors", levels=5, without="decoder4.")
    before = sorted(place.rglob("*"))
    done = run_cli("evaluate", "stylize", "-o", "out", *arguments)
    assert done.exit_code == code, done.stderr
    assert message in done.stderr
    assert sorted(place.rglob("*")) == before


def test_an_evaluation_is_not_replaced_by_accident(place: Path, model: Path) -> None:
    arguments = evaluation(model, *methods("content"))
    assert run_cli(*arguments).exit_code == 0
    before = (place / "out/table.json").read_bytes()
    again = run_cli(*arguments)
    assert again.exit_code == 5
    assert "use --force" in again.stderr
    assert (place / "out/table.json").read_bytes() == before
    assert run_cli(*arguments, "--force", "--seed", 9).exit_code == 0
    assert results(place / "out")["seed"] == 9


def test_usage_errors_need_no_torch(place: Path) -> None:
    code = (
        "import sys\nfrom texsynth.__main__ import main\n"
        "sys.argv = ['texsynth', 'evaluate', 'stylize', '-o', 'out', '--content', 'street.png',"
        " '--style', 'ink.png', '--method', 'preset:phto']\n"
        "try: main()\n"
        "except SystemExit as error: assert error.code == 2\n"
        "assert 'torch' not in sys.modules"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": root}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_as_a_process_of_its_own(place: Path, model: Path) -> None:
    done = run_program(*evaluation(model, *methods("photo:ot", "content")), cwd=place)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == str(Path("out/index.html"))
