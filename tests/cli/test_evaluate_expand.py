"""Comparing methods of expansion: what is measured, what is left, and what happens when something fails."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cli import make_picture, run_cli
from torch import Tensor

from texsynth.config.settings import ExpandSettings, RunSettings
from texsynth.errors import UsageError
from texsynth.evaluation.expand import BASELINES, TRUTH, Baseline, Plan, describer, evaluate, mirror, tile
from texsynth.evaluation.expand_measures import BANDS, against, measure, measure_truth, pooled_figures, refer
from texsynth.evaluation.methods import EXPAND_METHODS, default_names, expand_methods
from texsynth.evaluation.results import Evaluation, Row, Subject, json_table
from texsynth.evaluation.runner import exit_code, page
from texsynth.images import Picture, read, write
from texsynth.images.tensors import to_image
from texsynth.jobs.inputs import find_inputs
from texsynth.metrics.texture import inner_seams
from texsynth.models.registry import load_model
from texsynth.pipelines.progress import Step
from texsynth.synthesis.quilting import quilting
from texsynth.training.data import is_held_out
from texsynth.transforms.moments import Moments


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two textures of 80 x 70 pixels."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("moss.png", "sand.png")):
        make_picture(tmp_path / name, seed=seed, height=48, width=60)
    return tmp_path


class Watcher:
    """Counts pictures; presses Ctrl-C after `patience` of them."""

    def __init__(self, patience: int = 1000) -> None:
        self.names: list[str] = []
        self.finished, self.patience = 0, patience

    def picture(self, name: str) -> None:
        self.names.append(name)

    def step(self, step: Step) -> None: ...

    def advance(self) -> None:
        self.finished += 1
        if self.finished == self.patience:
            raise KeyboardInterrupt


def compare(*files: Path, methods: tuple[str, ...] = ("tile", "mirror"), watcher: Watcher) -> Evaluation:
    size = ExpandSettings()
    run = RunSettings(device="cpu", threads=1, seed=3)
    inputs = find_inputs([*map(str, files)], recursive=False)
    plan = Plan(inputs, expand_methods(methods, (), size), size, run, 24)
    return evaluate(plan, watcher, lambda what, error: None)


def results(folder: Path) -> dict[str, Any]:
    table = json.loads((folder / "table.json").read_text())
    assert isinstance(table, dict)
    return table


# What is compared


def test_baselines() -> None:
    exemplar = torch.rand(1, 3, 5, 4)
    rng = torch.Generator()
    assert torch.equal(tile(exemplar, (10, 8), rng), exemplar.repeat(1, 1, 2, 2))
    expected = np.pad(exemplar.numpy(), ((0, 0), (0, 0), (0, 4), (0, 6)), mode="reflect")
    assert np.array_equal(mirror(exemplar, (9, 10), rng).numpy(), expected)
    quilted = quilting(torch.rand(1, 3, 32, 40), (60, 70), rng.manual_seed(0))
    assert quilted.shape == (1, 3, 60, 70)


def test_every_method_and_preset_is_compared_by_default() -> None:
    names = default_names("expand")
    assert names[:4] == ["tile", "mirror", "quilting", "seamless"]
    assert set(EXPAND_METHODS) < set(names)
    assert {"preset:fast", "preset:balanced"} < set(names)
    assert "preset:photo" not in names, "it says nothing about expanding"


def test_methods_share_size_and_given_settings() -> None:
    size = ExpandSettings(scale=3.0, tileable=True)
    methods = expand_methods(["patch", "preset:fast", "tile", "patch"], ["patch.block=0.3"], size)
    assert [m.name for m in methods] == ["patch", "preset:fast", "tile"], "each once"
    for method in methods[:2]:
        assert isinstance(method.settings, ExpandSettings)
        assert method.settings.scale == 3
        assert method.settings.tileable
        assert method.settings.patch.block == 0.3
    assert methods[2].settings is None
    assert all(m.description for m in methods)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("quiltin", "'quilting'"), ("patch+optimise", "'patch\\+optimize'"), ("preset:fats", "'fast'")],
)
def test_unknown_methods_name_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"unknown .*{hint}"):
        expand_methods([name], (), ExpandSettings())


# What is measured


def test_the_truth_is_the_middle_and_the_exemplar_the_middle_of_that(place: Path) -> None:
    evaluation = compare(place / "moss.png", watcher=Watcher())
    image = to_image(read(place / "moss.png"))
    exemplar, truth = image[:, :, 12:36, 18:42], image[:, :, :, 6:54]
    (subject,) = evaluation.subjects
    assert torch.equal(to_image(read(subject.originals[0].data)), exemplar)
    assert [row.method for row in evaluation.rows] == [TRUTH, "tile", "mirror"]
    rows = {row.method: row for row in evaluation.rows}
    picture = rows[TRUTH].picture
    assert picture
    assert torch.equal(to_image(read(picture.data)), truth)
    reference = refer(exemplar, truth, describer(load_model("lite")))
    assert rows[TRUTH].measures == measure_truth(reference, truth)
    assert rows["tile"].measures == measure(tile(exemplar, (48, 48), torch.Generator()), reference)


def test_without_room_there_is_no_truth(place: Path) -> None:
    make_picture(place / "small.png", height=40, width=47)
    row = compare(place / "small.png", watcher=Watcher()).rows[0]
    assert row.method == "tile"
    assert [row.measures[name] for name in ("excess", "ssim", "imposed")] == [None] * 3
    distance = row.measures["wasserstein"]
    assert distance is not None
    assert distance < 0.5, "measured to the exemplar instead"


def test_what_is_measured_is_what_is_shown(place: Path) -> None:
    """A 16-bit exemplar is compared in 8 bits, like its picture."""
    make_picture(place / "deep.png", depth=16, height=48, width=48)
    row = compare(place / "deep.png", methods=("tile",), watcher=Watcher()).rows[-1]
    assert row.picture
    shown = to_image(read(row.picture.data))
    deep = to_image(read(place / "deep.png"))
    reference = refer(deep[:, :, 12:36, 12:36], deep, describer(load_model("lite")))
    assert row.measures == measure(shown, reference)


def test_the_second_piece_of_a_texture_is_the_yardstick() -> None:
    """Exact copies of the exemplar are too coherent, fine noise is too little, and another piece is right."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 60, 60, generator=rng)
    surface = torch.nn.functional.interpolate(coarse, scale_factor=3, mode="bilinear")
    truth, other = surface[:, :, :90, :90], surface[:, :, 90:, 90:]
    exemplar = truth[:, :, 22:67, 22:67]
    reference = refer(exemplar, truth)
    real = measure_truth(reference, truth)
    assert (real["coherence_gap"], real["excess"], real["frechet"]) == (0, 0, None)
    gaps = {
        name: measure(picture, reference)["coherence_gap"] or 0.0
        for name, picture in (
            ("copies", tile(exemplar, (90, 90), rng)),
            ("piece", other),
            ("noise", torch.rand(1, 3, 90, 90, generator=rng).round()),
        )
    }
    assert gaps["copies"] > 1
    assert gaps["piece"] < 0.1
    assert gaps["noise"] > 0.5
    assert refer(exemplar, truth[:, :, 10:80, 10:80]).coherence is None, "too little is around"


def test_the_frechet_distance_is_of_features_over_their_variance() -> None:
    """A network that returns the pixels: a shift of one channel by its deviation is a third."""

    def pixels(image: Tensor) -> Moments:
        return Moments.of(image)

    truth = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    reference = refer(truth[:, :, 16:48, 16:48], truth, pixels)
    shifted = truth + truth[:, :1].std() * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    assert measure(shifted, reference)["frechet"] == pytest.approx(1 / 3, rel=0.03)
    assert measure_truth(reference, truth)["frechet"] == pytest.approx(0, abs=1e-6)
    order = torch.randperm(64 * 64, generator=torch.Generator().manual_seed(1))
    shuffled = truth.flatten(2)[:, :, order].view_as(truth)
    assert measure(shuffled, reference)["frechet"] == pytest.approx(0, abs=1e-6), "places do not count"


def test_seams_inside_are_of_tiles_alone(place: Path) -> None:
    """`seamless` is what `texsynth tile` makes, again and again; the truth has the exemplar's own."""
    rows = compare(place / "moss.png", methods=("seamless", "tile"), watcher=Watcher()).rows
    assert [row.method for row in rows] == [TRUTH, "seamless", "tile"]
    truth, seamless, plain = (row.measures["seam_inside"] for row in rows)
    assert plain is None
    assert truth is not None
    assert seamless is not None
    picture = rows[1].picture
    assert picture
    shown = to_image(read(picture.data))
    assert torch.equal(shown[:, :, 24:, 24:], shown[:, :, :24, :24])
    lines = inner_seams(shown[:, :, :24, :24], [max(2, round(band * 24)) for band in BANDS])
    assert seamless == pytest.approx(max(lines), rel=0.02), "of 8 bits, but for rounding"


def test_a_lattice_counts_when_the_truth_has_it() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 16, 20, generator=rng).repeat(1, 1, 10, 8)
    for truth in (None, image):
        assert refer(image[:, :, :80, :80], truth).lattice
    assert refer(image[:, :, :80, :80], torch.rand(1, 3, 160, 160, generator=rng)).lattice is None


def test_a_lattice_is_shown_and_listed(place: Path) -> None:
    cell = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    write(Picture(np.tile(cell, (8, 7, 1))), place / "weave.png")
    run_cli("evaluate", "expand", "weave.png", "moss.png", "-o", "out", "--method", "tile")
    regular, irregular = results(place / "out")["exemplars"]
    assert np.abs(regular["lattice"]["vectors"]).max() == pytest.approx(20, abs=0.5)
    assert irregular["lattice"] is None
    text = (place / "out/index.html").read_text()
    assert re.search(r"<br>lattice \(-?[\d.]+, -?[\d.]+\) and \(.*\) px, confidence [01]\.\d\d<", text)
    assert text.count("<br>no lattice<") == 1


# Figures of all results together


def scored(**values: float) -> list[Row]:
    """Rows of three exemplars a, b, c with the given values, a tenth apart."""
    return [
        Row(Subject(name), "x", {key: value * (1 + d) for key, value in values.items()}, 1.0 + d)
        for name, d in (("a", -0.1), ("b", 0.0), ("c", 0.1))
    ]


def test_ratios_are_of_medians_on_what_quilting_could_do_too() -> None:
    quilted = scored(wasserstein=0.2)
    assert pooled_figures(scored(wasserstein=0.1), quilted)["wasserstein_ratio"] == pytest.approx(0.5)
    ours = scored(wasserstein=0.1)
    assert pooled_figures(ours, quilted[:1])["wasserstein_ratio"] == pytest.approx(0.5)
    assert pooled_figures(ours[:1], quilted[1:])["wasserstein_ratio"] is None
    assert pooled_figures(scored(wasserstein=1), [])["wasserstein_ratio"] is None
    assert pooled_figures(scored(wasserstein=1), scored(wasserstein=0))["wasserstein_ratio"] is None
    assert set(pooled_figures([], quilted).values()) == {None}


def test_the_share_of_sharp_results() -> None:
    for sharpness, share in ((1.0, 1), (0.9, 2 / 3), (0.5, 0)):
        assert pooled_figures(scored(sharpness=sharpness), [])["sharp_share"] == pytest.approx(share)


def test_lattices_count_on_regular_textures_only_and_imposed_ones_on_the_others() -> None:
    kept = pooled_figures(scored(lattice=0.01, excess=0.2), [])
    assert kept["lattices_kept"] == 1
    assert kept["unimposed"] is None
    assert kept["excess_irregular"] is None
    assert pooled_figures(scored(lattice=0.019), [])["lattices_kept"] == pytest.approx(2 / 3)
    blurred = pooled_figures(scored(lattice=0.01, lattice_height=0.5), [])
    assert blurred["lattices_kept"] == 0, "peaks at the right places, but hardly any"
    irregular = pooled_figures(scored(imposed=0.2, excess=0.3, cuts=2), [])
    assert irregular["cuts_irregular"] == pytest.approx(2)
    assert kept["cuts_irregular"] is None
    assert irregular["unimposed"] == pytest.approx(2 / 3)
    assert irregular["excess_irregular"] == pytest.approx(0.3)
    assert irregular["lattices_kept"] is None


def test_differences_to_quilting_are_of_the_same_exemplars() -> None:
    ours, quilted = scored(frechet=0.2, cuts=1), scored(frechet=0.1)
    by_name = {d.measure: d for d in against(ours, quilted[1:], 0)}
    assert set(by_name) == {"frechet", "seconds"}, "quilting's cuts are unknown"
    frechet = by_name["frechet"]
    assert (frechet.method, frechet.estimate.count, frechet.better) == ("x", 2, 0)
    assert frechet.estimate.mean == pytest.approx((0.1 + 0.11) / 2)
    assert by_name["seconds"].estimate.mean == 0
    assert against(ours, [], 0) == []
    assert against([], quilted, 0) == []


def test_no_figure_is_judged(place: Path) -> None:
    done = run_cli(
        "evaluate", "expand", "moss.png", "--crop", 24, "-o", "out", "--method", "tile", "--tileable"
    )
    assert done.exit_code == 0
    assert "*" not in done.stdout
    text = (place / "out/index.html").read_text()
    assert not any(mark in text for mark in ("✓", "✗", "at least 0.9", "at most 0.85"))


# The command


@pytest.mark.slow
def test_table_and_page(place: Path, model: Path) -> None:
    done = run_cli(
        "evaluate", "expand", "moss.png", "sand.png", "--crop", 24, "-o", "out", "--model", model,
        "--method", "tile", "--method", "quilting", "--method", "patch", "--seed", 5,
        "--set", "patch.refine=1",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    head, *rows, last = done.stdout.splitlines()
    assert last == str(Path("out/index.html"))
    assert [row.split()[0] for row in (head, *rows)] == ["method", "truth", "tile", "quilting", "patch"]
    assert len({len(row) for row in (head, *rows)}) == 1, "columns are aligned"
    assert sorted(p.name for p in (place / "out").iterdir()) == ["index.html", "table.csv", "table.json"]
    found = results(place / "out")
    assert [e["name"] for e in found["exemplars"]] == ["moss.png", "sand.png"]
    for exemplar in found["exemplars"]:
        assert [r["method"] for r in exemplar["results"]] == ["truth", "tile", "quilting", "patch"]
        assert all(r["error"] is None and r["size"] == [48, 48] for r in exemplar["results"])
        assert exemplar["results"][1]["measures"]["repetition"] == 0, "there is no room to repeat"
        assert all(r["seconds"] > 0 for r in exemplar["results"][1:])
    assert found["seed"] == 5
    assert found["methods"]["patch"]["settings"]["patch"]["refine"] == 1
    assert found["versions"]["torch"] == torch.__version__
    assert [s["method"] for s in found["summary"]] == ["truth", "tile", "quilting", "patch"]
    text = (place / "out/index.html").read_text()
    assert text.index("<img") < text.index("<table"), "pictures come first"
    assert text.count("Mean differences to quilting on the same exemplars") == 1
    assert text.count("data:image/png;base64,") == 2 * (1 + 4)
    assert "http:" not in text
    assert "https:" not in text


def test_the_same_again_but_for_the_time(place: Path) -> None:
    def timeless(evaluation: Evaluation) -> Evaluation:
        evaluation.rows = [replace(row, seconds=None) for row in evaluation.rows]
        return evaluation

    runs = (compare(place / "moss.png", methods=("quilting",), watcher=Watcher()) for _ in range(2))
    first, second = map(timeless, runs)
    assert json_table(first) == json_table(second)
    assert first.rows[1].picture == second.rows[1].picture


def test_the_table_as_csv(place: Path) -> None:
    (place / "broken.png").write_bytes(b"no picture")
    arguments = ["evaluate", "expand", "moss.png", "broken.png", "--crop", 24, "-o", "out"]
    assert run_cli(*arguments, "--method", "tile").exit_code == 3
    with (place / "out/table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["exemplar"], row["method"]) for row in rows] == [
        ("moss.png", "truth"), ("moss.png", "tile"), ("broken.png", ""),
    ]  # fmt: skip
    (exemplar, _) = results(place / "out")["exemplars"]
    for row, result in zip(rows, exemplar["results"], strict=False):
        assert float(row["coherence"]) == result["measures"]["coherence"]
        assert row["lattice"] == "", "it does not apply"
    assert float(rows[1]["seconds"]) > 0
    assert "is not a picture" in rows[2]["error"]


def test_json_lines(place: Path) -> None:
    done = run_cli("evaluate", "expand", "moss.png", "--crop", 24, "-o", "out", "--method", "tile", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("method") for line in lines] == ["truth", "tile", None]
    assert lines[1]["medians"]["seam_vertical"] > 0
    assert lines[1]["figures"]["sharp_share"] in (0, 1)
    assert lines[-1] == {"page": str(Path("out/index.html"))}


def test_without_crop_whole_pictures_are_used(place: Path) -> None:
    done = run_cli("evaluate", "expand", "moss.png", "-o", "out", "--method", "mirror", "--size", "70x50")
    assert done.exit_code == 0, done.stderr
    (exemplar,) = results(place / "out")["exemplars"]
    assert exemplar["size"] == [60, 48]
    assert [(r["method"], r["size"]) for r in exemplar["results"]] == [("mirror", [70, 50])]


# What fails


def test_a_bad_picture_does_not_stop_the_others(place: Path) -> None:
    (place / "broken.png").write_bytes(b"no picture")
    make_picture(place / "tiny.png", height=15, width=60)
    rgb = read(place / "moss.png").rgb
    half = np.full(rgb.shape[:2], 128, np.uint8)
    write(Picture(rgb, half), place / "veil.png")
    done = run_cli("evaluate", "expand", ".", "-o", "out", "--method", "tile")
    assert done.exit_code == 3
    for complaint in (
        "broken.png is not a picture",
        "tiny.png has 60 x 15 pixels, but an exemplar needs at least 16",
        "veil.png has transparent parts",
    ):
        assert complaint in done.stderr
    found = {e["name"]: e for e in results(place / "out")["exemplars"]}
    assert set(found) == {"broken.png", "moss.png", "sand.png", "tiny.png", "veil.png"}
    assert [bool(e["error"]) for _, e in sorted(found.items())] == [True, False, False, True, True]
    assert "no picture" not in (place / "out/index.html").read_text().replace("is not a picture", "")
    assert "broken.png is not a picture" in (place / "out/index.html").read_text()


def crash(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """A method with a bug, whose message is markup."""
    raise KeyError("<script>alert(1)</script>")


def spoil(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """A method that diverges."""
    return torch.full((1, 3, *size), torch.nan)


def shrink(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """A method that ignores the size."""
    return exemplar


def exhaust(exemplar: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """A method that takes more memory than any machine has."""
    return torch.empty(1 << 60)


@pytest.mark.parametrize(
    ("method", "message", "code"),
    [
        (crash, "KeyError", 1),
        (spoil, "nan", 1),
        (shrink, "(1, 3, 48, 60) with values", 1),
        (exhaust, "does not fit in memory; choose a smaller --crop", 7),
    ],
)
def test_a_failing_method_is_reported_and_does_not_stop_the_others(
    place: Path, monkeypatch: pytest.MonkeyPatch, method: Baseline, message: str, code: int
) -> None:
    monkeypatch.setitem(BASELINES, "mirror", method)
    arguments = ["evaluate", "expand", "moss.png", "--method", "mirror"]
    done = run_cli(*arguments, "-o", "out", "--method", "tile")
    assert done.exit_code == 3
    assert message in done.stderr
    (exemplar,) = results(place / "out")["exemplars"]
    failed, good = exemplar["results"]
    assert message in failed["error"]
    assert failed["measures"] is None
    assert good["error"] is None
    assert results(place / "out")["summary"][0]["failed"] == 1
    text = (place / "out/index.html").read_text()
    assert text.count("failed: ") == 2, "at its place among the pictures and in the table"
    assert "<script>alert" not in text
    assert run_cli(*arguments, "-o", "other").exit_code == code, "alone, the code is the reason's"


def test_damaged_weights_and_unreadable_pictures(place: Path) -> None:
    (place / "bad.safetensors").write_bytes(b"no weights")
    arguments = ["evaluate", "expand", "moss.png", "-o", "out", "--method", "patch"]
    damaged = run_cli(*arguments, "--model", "bad.safetensors")
    assert damaged.exit_code == 6
    assert "bad.safetensors" in damaged.stderr
    assert not (place / "out").exists()
    (place / "broken.png").write_bytes(b"no picture")
    done = run_cli("evaluate", "expand", "broken.png", "-o", "other", "--method", "tile")
    assert done.exit_code == 4
    assert results(place / "other")["summary"][0]["done"] == 0


def test_an_output_larger_than_memory_is_refused_at_once(place: Path) -> None:
    arguments = ["evaluate", "expand", "moss.png", "-o", "out", "--method", "tile"]
    done = run_cli(*arguments, "--size", "9000000x9000000", "--max-pixels", 10**15)
    assert done.exit_code == 7
    assert "choose a smaller --size or --scale" in done.stderr
    assert run_cli(*arguments, "--max-pixels", 4000, "--force").exit_code == 2


def test_an_interrupted_run_keeps_what_is_finished(place: Path) -> None:
    evaluation = compare(place / "moss.png", place / "sand.png", watcher=Watcher(patience=3))
    assert evaluation.interrupted
    assert exit_code(evaluation) == 130
    assert [(row.subject.name, row.method) for row in evaluation.rows] == [
        *(("moss.png", name) for name in (TRUTH, "tile", "mirror")),
        *(("sand.png", name) for name in (TRUTH, "tile")),
    ]
    assert json.loads(json_table(evaluation))["interrupted"] is True
    assert "interrupted" in page(evaluation)


def test_a_run_interrupted_at_once_leaves_a_page_too(place: Path) -> None:
    class Hasty(Watcher):
        def picture(self, name: str) -> None:
            raise KeyboardInterrupt

    evaluation = compare(place / "moss.png", watcher=Hasty())
    assert exit_code(evaluation) == 130
    assert "not used: interrupted" in page(evaluation)
    assert json.loads(json_table(evaluation))["exemplars"][0]["results"] == []


def test_progress_counts_every_method_on_every_exemplar(place: Path) -> None:
    (place / "broken.png").write_bytes(b"no picture")
    watcher = Watcher()
    compare(place, watcher=watcher)
    assert watcher.finished == 3 * 2
    assert "moss.png, tile" in watcher.names


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing/*.png", "-o", "out"], 4, "no file matches"),
        (["moss.png", "-o", "out", "--method", "tiles"], 2, "did you mean 'tile'"),
        (["moss.png", "-o", "moss.png"], 5, "moss.png is a file"),
        (["moss.png", "-o", "moss.png/out"], 5, "is a file"),
        (["moss.png", "-o", "out", "--size", "10x"], 2, "WxH"),
        (["moss.png", "-o", "out", "--set", "patch.blok=1"], 2, "did you mean 'block'"),
        (["moss.png", "-o", "out", "--model", "lit"], 2, "did you mean 'lite'"),
        (["moss.png", "-o", "out", "--crop", "8"], 2, "16"),
        (["moss.png"], 2, "-o"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    place: Path, arguments: list[str], code: int, message: str
) -> None:
    before = sorted(place.rglob("*"))
    done = run_cli("evaluate", "expand", *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert sorted(place.rglob("*")) == before


def test_an_evaluation_is_not_replaced_by_accident(place: Path) -> None:
    arguments = ["evaluate", "expand", "moss.png", "-o", "out", "--method", "tile"]
    assert run_cli(*arguments).exit_code == 0
    before = (place / "out/table.json").read_bytes()
    again = run_cli(*arguments)
    assert again.exit_code == 5
    assert "use --force" in again.stderr
    assert (place / "out/table.json").read_bytes() == before
    assert run_cli(*arguments, "--force", "--seed", 9).exit_code == 0
    assert results(place / "out")["seed"] == 9


def test_held_out_and_limit(place: Path) -> None:
    names = [f"texture{i}.png" for i in range(40)]
    held_out = [name for name in names if is_held_out(Path(name))]
    assert 2 <= len(held_out) < 20
    for name in names:
        (place / name).write_bytes((place / "moss.png").read_bytes())
    arguments = ["evaluate", "expand", "texture*.png", "--method", "tile", "--held-out"]
    assert run_cli(*arguments, "-o", "all").exit_code == 0
    assert sorted(e["name"] for e in results(place / "all")["exemplars"]) == sorted(held_out)
    assert run_cli(*arguments, "-o", "one", "--limit", 1).exit_code == 0
    assert len(results(place / "one")["exemplars"]) == 1
    none = run_cli("evaluate", "expand", "moss.png", "--held-out", "-o", "none")
    assert is_held_out(Path("moss.png")) or none.exit_code == 4


def test_equal_names_in_two_folders_stay_apart(place: Path) -> None:
    for folder in ("a", "b"):
        (place / folder).mkdir()
        make_picture(place / folder / "same.png", seed=ord(folder), height=30, width=30)
    assert run_cli("evaluate", "expand", "a", "b", "-o", "out", "--method", "tile").exit_code == 0
    names = [e["name"] for e in results(place / "out")["exemplars"]]
    assert names == [str(Path("a/same.png")), str(Path("b/same.png"))]
