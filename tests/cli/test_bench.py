"""texsynth bench, through the command line."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from helpers.cli import names, run_cli
from helpers.nets import tiny_tensors

from texsynth.benchmark import names as bench_names
from texsynth.benchmark import run as bench_clock
from texsynth.benchmark import stages as bench_stages
from texsynth.benchmark.stages import PAPER_IFT, PAPER_UPDATES, Pair, picture
from texsynth.benchmark.tables import PAPER_SECONDS
from texsynth.models import openvino
from texsynth.models.registry import load_model
from texsynth.models.weights import write_weights
from texsynth.reference import cascade as full_width
from texsynth.transforms import ift


@pytest.fixture(autouse=True)
def torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same measurements whatever is installed."""
    monkeypatch.setattr(openvino, "missing_libraries", lambda: ["openvino"])


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run over every stage leaves in its file; its table is under the key `shown`."""
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    sizes = ("--size", 64, "--size", 32)
    dtypes = ("--dtype", "float32", "--dtype", "bfloat16")
    result = run_cli(
        "bench", *sizes, *dtypes, "--backend", "torch", "--model", model, "--repeat", 2, "-o", out
    )
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(out.read_text())
    return {**found, "shown": result.stdout}


def test_every_stage_has_a_name() -> None:
    assert set(bench_stages.STAGES) == set(bench_names.NAMES)
    assert len(bench_names.NAMES) == len(set(bench_names.NAMES))


@pytest.mark.slow
def test_the_file_is_complete(whole: dict[str, Any], model: Path) -> None:
    found = {(m["dtype"], m["stage"], m["size"]): m for m in whole["measurements"]}
    wanted = {
        (dtype, stage, size)
        for dtype in ("float32", "bfloat16")
        for stage in bench_names.DEFAULT
        for size in (32, 64)
    }
    assert set(found) == wanted
    assert len(whole["measurements"]) == len(wanted)
    for measured in found.values():
        assert measured["model"] == str(model)
        assert measured["device"] == "cpu" or torch.cuda.is_available() or torch.backends.mps.is_available()
        assert measured["reason"] == ""
        assert len(measured["seconds"]) == 2
        assert min(measured["seconds"]) > 0
        assert measured["median"] == pytest.approx(median(measured["seconds"]))
        assert measured["least"] == min(measured["seconds"])
    assert whole["interrupted"] is False


def test_hardware_and_settings_are_named(whole: dict[str, Any], model: Path) -> None:
    hardware = whole["hardware"]
    assert hardware["cpu"]
    assert hardware["cores"] >= 1
    assert hardware["threads"] == torch.get_num_threads()
    assert hardware["torch"] == torch.__version__
    assert all(device["name"] for device in hardware["devices"].values())
    assert whole["settings"]["repeat"] == 2
    assert whole["settings"]["sizes"] == [32, 64]
    assert whole["settings"]["paper_ift"]["n_upd"] == 15
    assert whole["weights"] == {str(model): load_model(str(model)).sha256}


def test_published_code_computes_in_float32(whole: dict[str, Any]) -> None:
    for measured in whole["measurements"]:
        published = measured["stage"].startswith("reference-")
        assert measured["computes_in"] == ("float32" if published else measured["dtype"])


def test_the_table_has_every_stage_and_names_the_hardware(whole: dict[str, Any]) -> None:
    for stage in bench_names.DEFAULT:
        assert whole["shown"].count(f"\n{stage} ") >= 2, stage
    for device in whole["hardware"]["devices"].values():
        assert device["name"] in whole["shown"]
    assert "Peak memory" in whole["shown"]


def test_ratios_are_those_of_the_medians(whole: dict[str, Any]) -> None:
    medians: dict[tuple[str, str, int], float] = {
        (m["dtype"], m["stage"], m["size"]): m["median"] for m in whole["measurements"]
    }

    def total(stage: str) -> float:
        return sum(medians["float32", f"{stage}-{level}", 64] for level in (1, 2, 3, 4))

    found = {(r["slow"].split(",")[0], r["fast"].split()[-1]): r["by_size"]["64"] for r in whole["ratios"]}
    expected = total("reference-wct-svd") / total("transform-wct")
    assert found["reference-wct-svd", "float32"] == pytest.approx(expected)
    assert len(found) == 6, "three references in two number types"


def test_beside_the_paper(model: Path) -> None:
    result = run_cli("bench", "--size", 256, "--stage", "paper", "--model", model, "--repeat", 1)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    paper = next(line for line in lines if "GPU not named" in line)
    assert paper.split()[-4:] == ["0.13", "0.31", "0.62", "0.92"]
    ours = [line for line in lines if line.startswith(("paper-cascade,", "paper-photo,"))]
    assert len(ours) == 2
    for line in ours:
        assert float(line.split()[-4]) > 0
        assert line.split()[-3:] == ["-", "-", "-"], "only what was measured"
    assert list(PAPER_SECONDS) == [256, 512, 768, 1024]


def test_the_papers_setting_takes_all_its_steps() -> None:
    """The rate is kept and no step is left out, or other work than the paper's would be timed."""
    pair = Pair(load_model("lite"), 64)
    notes: list[str] = []
    with torch.inference_mode():
        for level in bench_names.LEVELS:
            content, style = pair.moments(level)
            _, losses = ift.descend(content.second, style.second, PAPER_IFT, notes.append)
            assert len(losses) == PAPER_UPDATES + 1
    assert notes == []


def test_full_width_is_compared(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a narrow network in its place: the full one takes seconds."""
    narrow = partial(full_width.random_model, (4, 6, 8, 10, 12))
    monkeypatch.setattr(full_width, "random_model", narrow)
    dtypes = ("--dtype", "bfloat16", "--dtype", "float32")
    stages = ("--stage", "published", "--stage", "artistic-with-style")
    result = run_cli(
        "bench", "--size", 32, "--full-width", *dtypes, *stages, "--model", model, "--repeat", 1, "--json"
    )
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    medians = {(m["model"], m["dtype"], m["stage"]): m["median"] for m in lines if m["kind"] == "measurement"}
    name = full_width.NAME
    assert {key[1:] for key in medians if key[0] == name} == {
        ("bfloat16", "published-wct"),
        ("bfloat16", "published-ift"),
        ("bfloat16", "artistic-with-style"),
        ("float32", "artistic-with-style"),
    }
    ratios = {(r["slow"], r["fast"]): r["by_size"]["32"] for r in lines if r["kind"] == "ratio"}
    stage = "artistic-with-style"
    found = ratios[f"{name} published-wct float32", f"{stage} {model} float32"]
    slow, fast = medians[name, "bfloat16", "published-wct"], medians[str(model), "float32", stage]
    assert found == pytest.approx(slow / fast)
    ours = ratios[f"{name} {stage} bfloat16", f"{stage} {model} bfloat16"]
    assert ours == pytest.approx(medians[name, "bfloat16", stage] / medians[str(model), "bfloat16", stage])


def test_full_width_alone_is_measured_as_published_and_our_way() -> None:
    assert set(bench_names.FULL_WIDTH) == {"artistic-with-style", "published-wct", "published-ift"}


def test_stages_are_chosen_by_how_they_begin(model: Path) -> None:
    stages = ("--stage", "fit-ift", "--stage", "encode", "--stage", "decode-2")
    result = run_cli("bench", "--size", 32, *stages, "--model", model, "--repeat", 1, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["facts", *["measurement"] * 6]
    found = [line["stage"] for line in lines[1:]]
    assert found == ["encode", "fit-ift-1", "fit-ift-2", "fit-ift-3", "fit-ift-4", "decode-2"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--stage", "fit-iff"], 2, "did you mean 'fit-ift'?"),
        (["--stage", ""], 2, "unknown stage ''"),
        (["--size", "31"], 2, "greater than or equal to 32"),
        (["--repeat", "0"], 2, "'--repeat'"),
        (["--model", "light"], 2, "did you mean 'lite'?"),
        (["--model", "missing.safetensors"], 6, "missing.safetensors does not exist"),
        (["--device", "tpu"], 2, "unknown device 'tpu'"),
        (["--dtype", "int8"], 2, "unknown dtype 'int8'"),
        (["-o", "there.json"], 5, "there.json exists already; use --force"),
        (["-o", "."], 5, "is a folder"),
    ],
)
def test_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("kept")
    result = run_cli("bench", "--size", 32, "--repeat", 1, "--stage", "encode", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""
    assert (tmp_path / "there.json").read_text() == "kept"
    assert names(tmp_path) == ["there.json"]


def test_force_replaces(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "bench.json"
    out.write_text("old")
    result = run_cli("bench", "--size", 32, "--stage", "encode", "--model", model, "-o", out, "--force")
    assert result.exit_code == 0, result.output
    assert len(json.loads(out.read_text())["measurements"][0]["seconds"]) == 5


def test_what_a_model_lacks_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "partial.safetensors"
    lacking = ("photo.", "decoder3.")
    write_weights(path, {k: v for k, v in tiny_tensors().items() if not k.startswith(lacking)}, {})
    stages = ("--stage", "photo", "--stage", "photo-with-style", "--stage", "decode")
    result = run_cli("bench", "--size", 32, *stages, "--model", path, "--repeat", 1)
    assert result.exit_code == 0, result.output
    assert "not measured: decode-3 at 32: model" in result.stdout
    assert "photo-decode" not in result.stdout
    assert "photo at 32, photo-with-style at 32: model" in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.startswith("decode-4"))
    assert float(row.split()[-1]) > 0


def test_a_stage_that_does_not_fit_is_noted(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(pair: Pair) -> bench_stages.Work:
        def work() -> object:
            return torch.empty(1 << 60)

        return work

    monkeypatch.setitem(bench_stages.STAGES, "encode", greedy)
    stages = ("--stage", "encode", "--stage", "edge-aware")
    result = run_cli("bench", "--size", 32, *stages, "--model", model, "--repeat", 1, "--json")
    first, second = (json.loads(line) for line in result.stdout.splitlines()[1:])
    assert first["reason"] == "out of memory"
    assert first["seconds"] == []
    assert first["median"] is None
    assert second["seconds"][0] > 0


def test_what_cannot_fit_is_not_tried(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.benchmark.run.free_bytes", lambda device: 1 << 20)
    result = run_cli("bench", "--size", 32, "--stage", "encode", "--model", model)
    assert result.exit_code == 0
    assert "not measured: encode at 32: pipelines of 32 x 32 pixels need about" in result.stdout


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(pair: Pair) -> bench_stages.Work:
        raise KeyboardInterrupt

    monkeypatch.setitem(bench_stages.STAGES, "edge-aware", interrupted)
    out = tmp_path / "bench.json"
    stages = ("--stage", "encode", "--stage", "edge-aware", "--stage", "artistic")
    result = run_cli("bench", "--size", 32, *stages, "--model", model, "--repeat", 1, "-o", out)
    assert result.exit_code == 130
    found = json.loads(out.read_text())
    assert found["interrupted"] is True
    assert [m["stage"] for m in found["measurements"]] == ["encode"]


def test_peak_memory_is_that_of_the_call() -> None:
    """Also of what it does not return, and not what was freed before it."""
    size = 40 << 20

    def work() -> object:
        return int(torch.ones(size, dtype=torch.uint8)[-1])

    found = bench_clock.peak_of(work, torch.device("cpu"))
    again = bench_clock.peak_of(lambda: None, torch.device("cpu"))
    if found is None or again is None:
        pytest.skip("this system does not let a process reset its high-water mark")
    # The system counts pages for each processor on its own and adds them up now and then.
    assert 0.75 * size < found.bytes < 2 * size
    assert again.bytes < size / 4
    assert found.start_bytes > 0


def test_no_memory_where_the_system_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench_clock, "CLEAR", tmp_path / "missing" / "clear_refs")
    assert bench_clock.peak_of(lambda: None, torch.device("cpu")) is None


@pytest.mark.parametrize(("load", "said"), [(900.0, True), (0.0, False)])
def test_a_busy_machine_is_pointed_out(
    model: Path, monkeypatch: pytest.MonkeyPatch, load: float, said: bool
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    result = run_cli("bench", "--size", 32, "--stage", "encode", "--model", model, "--repeat", 1)
    assert ("so times may be too long" in result.stderr) == said


def test_pictures_are_seeded_and_have_structure() -> None:
    image = picture(96, 1)
    assert torch.equal(image, picture(96, 1))
    assert not torch.allclose(image, picture(96, 2))
    assert image.shape == (1, 3, 96, 96)
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert float(image.std()) > 0.1
    neighbours = float((image[..., 1:] - image[..., :-1]).abs().mean())
    assert neighbours < float(image.std()) / 3, "smooth, unlike white noise"
