"""The command line from end to end, with a random model so that no weights are needed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cli import cut_files, make_picture, names, run_cli, run_program
from typer.main import get_command

import texsynth
from texsynth.cli import app
from texsynth.cli.doctor import PACKAGES
from texsynth.config.records import StylizeRecord
from texsynth.images import Picture, embedded_settings, read, write
from texsynth.jobs.files import write_result
from texsynth.strict_yaml import parse


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a content and a style, and the current one."""
    monkeypatch.chdir(tmp_path)
    make_picture(tmp_path / "cat.png", seed=1)
    make_picture(tmp_path / "wave.png", seed=2, height=30, width=28)
    return tmp_path


def commands_below(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 (typer's groups)
    """Every command by the words that are typed for it, groups among them."""
    context = None
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield f"{prefix}{name}", command
        if hasattr(command, "list_commands"):
            yield from commands_below(command, f"{prefix}{name} ")


ALL_COMMANDS = dict(commands_below(get_command(app)))


@pytest.mark.parametrize("command", ["", *ALL_COMMANDS])
def test_every_command_has_help(command: str) -> None:
    result = run_cli(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert len(result.stdout.split("\n")[3].strip()) > 20, "a sentence about what it does"


def test_every_option_has_help() -> None:
    for name, command in ALL_COMMANDS.items():
        for parameter in command.params:
            assert getattr(parameter, "help", ""), f"{name} {parameter.name}"


LIGHT = [
    "blend --help", "blend a.png --style b.png:x@9", "card show", "--help", "--version", "stylize --help",
    "presets list", "presets show photo", "stylize a.png",
    "stylize a b --strength 7", "stylize a b --bogus", "stylize a b --model x", "replay --help",
    "doctor --help", "doctor --device cpu", "doctor --gradients --dtype int8", "nosuch",
    "stylize a.png b.png", "expand --help", "tile --help", "expand a.png --size 3",
    "expand a.png --method magic", "expand a.png", "tile a.png -p fast", "replay a.png",
    "batch --help", "batch a.yaml", "batch a.yaml --shard 3/2", "bench --help", "bench --stage fitt",
    "bench --size 3", "bench --model x", "match --help", "match a.png", "match a.png gone", "match a.png .",
    "describe --help", "describe a.png", "stylize a.png --suggest gone", "stylize a b --suggestions 3",
    "presets list", "presets show bold", "presets explain grain", "presets schema", "presets new x",
    "presets validate",
]  # fmt: skip


def test_light_commands_do_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from texsynth.cli import app\n"
        "for line in sys.argv[1:]:\n"
        "    try: app(line.split())\n"
        "    except SystemExit: pass\n"
        "    assert 'torch' not in sys.modules, line\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment["TEXSYNTH_PRESETS"] = str(tmp_path)
    command = [sys.executable, "-c", code, *LIGHT]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    assert run_cli("--version").stdout.startswith("texsynth ")


def test_one_picture(place: Path, model: Path) -> None:
    result = run_cli("stylize", "cat.png", "wave.png", "-o", "out.png", "--model", model)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "out.png\n"
    assert result.stderr == ""
    assert names(place) == ["cat.png", "out.png", "wave.png"]
    assert read(place / "out.png").rgb.shape == (33, 41, 3)


def test_default_name_and_photo_mode(place: Path, model: Path) -> None:
    result = run_cli("stylize", "cat.png", "wave.png", "--photo", "--model", model, "--transform", "ot")
    assert (result.exit_code, result.stdout) == (0, "cat.wave.png\n"), result.stderr


@pytest.mark.parametrize("transform", ["ift", "wct", "ot", "adain"])
def test_strength_zero_is_independent_of_the_style(place: Path, model: Path, transform: str) -> None:
    make_picture(place / "other.png", seed=9)
    for style in ("wave", "other"):
        flags = ["--strength", 0, "--transform", transform, "--model", model, "-o", f"{style}.out.png"]
        assert run_cli("stylize", "cat.png", f"{style}.png", *flags).exit_code == 0
    assert np.array_equal(read(place / "wave.out.png").rgb, read(place / "other.out.png").rgb)


def test_settings_are_embedded(place: Path, model: Path) -> None:
    flags = ["--set", "transform.ridge=0.01", "--level-strength", "4=0.5", "--seed", "7", "--preset", "bold"]
    assert run_cli("stylize", "cat.png", "wave.png", "-o", "o.jpg", "--model", model, *flags).exit_code == 0
    assert not (place / "o.jpg.yaml").exists()
    record = StylizeRecord.model_validate(parse(embedded_settings(place / "o.jpg"), source="o.jpg"))
    assert record.stylize.transform.model_dump()["ridge"] == 0.01
    assert record.stylize.level_strength == {4: 0.5}
    assert record.stylize.style_scale == 1.5
    assert (record.run.seed, record.run.device, record.run.dtype) == (7, "cpu", record.run.dtype)
    assert record.content.path == "cat.png"
    assert len(record.model_sha256) == 64


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_replay_gives_the_same_bytes(place: Path, model: Path, suffix: str) -> None:
    flags = ["--preset", "pattern", "--seed", 3, "--max-side", 20]
    run_cli("stylize", "cat.png", "wave.png", "-o", f"o.{suffix}", "--model", model, *flags)
    result = run_cli("replay", f"o.{suffix}")
    assert (result.exit_code, result.stdout) == (0, f"o.replay.{suffix}\n"), result.stderr
    assert (place / f"o.replay.{suffix}").read_bytes() == (place / f"o.{suffix}").read_bytes()


def test_replay_says_where_strokes_were_scaled_otherwise(place: Path, model: Path) -> None:
    for scale, mode in ((2, "--artistic"), (1, "--artistic"), (2, "--photo")):
        flags = ("-o", "o.png", "--style-scale", scale, mode, "--model", model, "-f")
        assert run_cli("stylize", "cat.png", "wave.png", *flags).exit_code == 0
        text = embedded_settings(place / "o.png") or ""
        old = text.replace(f"texsynth: {texsynth.__version__}", "texsynth: 0.1.0")
        assert old != text
        write(read(place / "o.png"), place / "old.png", settings=old, force=True)
        result = run_cli("replay", "old.png", "-f")
        assert result.exit_code == 0, result.stderr
        assert ("expect strokes of another size" in result.stderr) == ((scale, mode) == (2, "--artistic"))


def test_replay_refuses_changed_pictures(place: Path, model: Path) -> None:
    run_cli("stylize", "cat.png", "wave.png", "-o", "o.png", "--model", model)
    (place / "cat.png").rename(place / "moved.png")
    assert run_cli("replay", "o.png").exit_code == 4
    assert run_cli("replay", "o.png", "--content", "moved.png").exit_code == 0
    make_picture(place / "cat.png", seed=5)
    result = run_cli("replay", "o.png", "-f")
    assert result.exit_code == 4
    assert "cat.png has changed since o.png was made" in result.stderr
    assert "carries no texsynth settings" in run_cli("replay", "cat.png").stderr
    write(Picture(np.zeros((4, 4, 3), np.uint8)), place / "odd.png", settings="command: dance")
    assert run_cli("replay", "odd.png").exit_code == 2


def test_16_bits_and_alpha_pass_through(place: Path, model: Path) -> None:
    deep = read(make_picture(place / "deep.png", depth=16))
    alpha = np.zeros(deep.rgb.shape[:2], np.uint16)
    alpha[:, 10:] = 40000
    write(Picture(deep.rgb, alpha), place / "deep.png", force=True)
    assert run_cli("stylize", "deep.png", "wave.png", "-o", "o.tif", "--model", model).exit_code == 0
    out = read(place / "o.tif")
    assert out.bit_depth == 16
    assert np.array_equal(out.alpha, alpha)  # type: ignore[arg-type]
    assert run_cli("stylize", "cat.png", "wave.png", "--bit-depth", 16, "--model", model).exit_code == 0
    assert read(place / "cat.wave.png").bit_depth == 16
    result = run_cli("stylize", "deep.png", "wave.png", "-o", "o.jpg", "--model", model)
    assert "laid over white" in result.stderr
    assert result.exit_code == 0


def test_pipes(place: Path, model: Path) -> None:
    picture = (place / "cat.png").read_bytes()
    done = run_program("stylize", "-", "wave.png", "-o", "-", "--model", model, cwd=place, data=picture)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert read(done.stdout).rgb.shape == (33, 41, 3)
    assert names(place) == ["cat.png", "wave.png"]
    result = run_cli("stylize", "cat.png", "-", "--model", model, data=picture)
    assert result.stdout == "cat.stdin.png\n"
    for arguments in (["-", "-"], ["-", "wave.png", "-o", "-", "--json"]):
        assert run_cli("stylize", *arguments, data=picture).exit_code == 2
    assert run_cli("stylize", "-", "wave.png", data=b"").exit_code == 4


def test_folder_goes_on_past_a_bad_file(place: Path, model: Path) -> None:
    folder = place / "in"
    for name in ("in/a.png", "in/sub/b.png", "in/sub/c.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        make_picture(place / name, seed=len(name))
    (folder / "sub" / "bad.jpg").write_text("I am text")
    result = run_cli("stylize", "in", "wave.png", "-r", "-o", "out", "--json", "--model", model)
    assert result.exit_code == 3
    assert names(place / "out") == ["a.wave.png", "sub/b.wave.png", "sub/c.wave.png"]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sum("output" in line for line in lines) == 3
    assert [line["exit_code"] for line in lines if "error" in line] == [4]
    assert "bad.jpg is not a picture" in result.stderr
    assert "\nSummary: 3 done, 1 failed\n" in result.stderr
    alone = run_cli("stylize", "in/a.png", "wave.png", "--model", model)
    assert alone.exit_code == 0
    assert np.array_equal(read(place / "a.wave.png").rgb, read(place / "out/a.wave.png").rgb)


def test_quiet_and_dry_run(place: Path, model: Path) -> None:
    result = run_cli("stylize", "cat.png", "wave.png", "-n", "--model", model)
    assert (result.exit_code, result.stdout, names(place)) == (0, "cat.wave.png\n", ["cat.png", "wave.png"])
    result = run_cli("stylize", "cat.png", "gone.png", "wave.png", "-q", "-o", "x/", "--model", model)
    assert result.exit_code == 3
    assert result.stderr == "texsynth: gone.png does not exist\n"


BAD = [
    (["cat.png"], 2, "a content and a style are needed"),
    (["cat.png", "wave.png", "--strength", "7"], 2, "strength is 7.0 but must be a number from 0 to 1"),
    (["cat.png", "wave.png", "--set", "strenght=1"], 2, "did you mean 'strength'?"),
    (["cat.png", "wave.png", "--transform", "magic"], 2, "transform 'magic' is unknown"),
    (["cat.png", "wave.png", "--level-strength", "4"], 2, "not of the form LEVEL=X"),
    (["cat.png", "wave.png", "-p", "artistc"], 2, "did you mean 'artistic'?"),
    (["cat.png", "wave.png", "-p", "none.yaml"], 2, "none.yaml does not exist"),
    (["cat.png", "wave.png", "--device", "tpu"], 2, "unknown device 'tpu'"),
    (["cat.png", "wave.png", "--device", "cuda:99"], 2, "--device cuda:99"),
    (["cat.png", "wave.png", "--dtype", "int8"], 2, "dtype is 'int8' but must be one of auto"),
    (["cat.png", "wave.png", "--threads", "0"], 2, "threads is 0 but must be a whole number from 1 to 1024"),
    (
        ["cat.png", "wave.png", "--quality", "101"],
        2,
        "quality is 101 but must be a whole number from 1 to 100",
    ),
    (["cat.png", "wave.png", "--seed", "-1"], 2, "seed is -1"),
    (["cat.png", "wave.png", "--model", "lit"], 2, "did you mean 'lite'?"),
    (["cat.png", "wave.png", "--model", "none.safetensors"], 6, "none.safetensors does not exist"),
    (["cat.png", "wave.png", "--model", "text.safetensors"], 6, "text.safetensors is damaged"),
    (["cat.png", "wave.png", "-o", "out.gif"], 2, "cannot write .gif"),
    (["cat.png", "wave.png", "-o", "out.jpg", "--bit-depth", "16"], 2, "needs .png or .tif"),
    (["cat.png", "wave.png", "--bit-depth", "12"], 2, "bit_depth is 12 but must be one of 8, 16"),
    (["cat.png", "wave.png", "--format", "bmp"], 2, "--format is 'bmp'"),
    (["cat.png", "wave.png", "-o", "cat.png", "-f"], 2, "also an input"),
    (["cat.png", "wave.png", "-o", "taken.png"], 5, "taken.png exists already; use --force"),
    (["cat.png", "wave.png", "-o", "taken.png/x.png"], 5, "is a file"),
    (["cat.png", "wave.png", "cat.png", "-o", "x.png"], 2, "cannot share the output"),
    (["gone.png", "wave.png"], 4, "gone.png does not exist"),
    (["cat.png", "gone.png"], 4, "gone.png does not exist"),
    (["*.bmp", "wave.png"], 4, "no file matches '*.bmp'"),
    (["empty", "wave.png"], 4, "no pictures in the folder empty"),
    (["cat.png", "empty"], 4, "no pictures in the folder empty"),
    (["cat.png", "."], 2, "give one picture"),
    (["text.jpg", "wave.png"], 4, "text.jpg is not a picture"),
    (["empty.png", "wave.png"], 4, "empty.png is empty"),
    (["cut.png", "wave.png"], 4, "cut.png is damaged or incomplete"),
    (["cut.tif", "wave.png"], 4, "cut.tif is damaged or incomplete"),
    (["cat.png", "cut.png"], 4, "cut.png is damaged or incomplete"),
    (["clear.png", "wave.png"], 4, "fully transparent"),
    (["cat.png", "wave.png", "--max-pixels", "100"], 4, "more than --max-pixels 100"),
    (["cat.png", "wave.png", "--bogus"], 2, "no such option: --bogus"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input(place: Path, model: Path, arguments: list[str], code: int, message: str) -> None:
    cut_files(place)
    make_picture(place / "deep.tif", depth=16)
    (place / "empty").mkdir()
    (place / "empty.png").touch()
    for name in ("text.jpg", "text.safetensors", "taken.png"):
        (place / name).write_text("I am text\n" * 9)
    write(Picture(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)), place / "clear.png")
    before = names(place)
    chosen = [] if "--model" in arguments else ["--model", model]
    result = run_cli("stylize", *arguments, *chosen)
    assert message in result.stderr
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert len([line for line in result.stderr.splitlines() if not line.startswith("try ")]) == 1
    assert names(place) == before, "nothing is left behind"
    assert (place / "taken.png").read_text().startswith("I am text")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_write_that_fails_leaves_nothing(place: Path, model: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 65535, (64, 64, 4), np.uint16)
    write(Picture(noise[..., :3], noise[..., 3]), place / "cat.png", force=True)
    before = names(place)
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); import runpy; "
    code += "runpy.run_module('texsynth', run_name='__main__')"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-c",
        code,
        "stylize",
        "cat.png",
        "wave.png",
        "-o",
        "o.png",
        "--model",
        str(model),
    ]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (5, "texsynth: o.png cannot be written: file too large\n")
    assert names(place) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_file_names_need_not_be_text(place: Path, model: Path) -> None:
    (place / "cat.png").rename(place / os.fsdecode(b"caf\xe9.png"))
    done = run_program("stylize", "caf*.png", "wave.png", "--model", model, cwd=place)
    assert (done.returncode, done.stdout) == (0, b"caf\xe9.wave.png\n"), done.stderr


def test_completion_needs_no_torch(place: Path) -> None:
    code = "import sys; sys.argv = ['texsynth']\ntry:\n from texsynth.__main__ import main; main()\n"
    code += "finally: assert 'torch' not in sys.modules"
    words = {"COMP_WORDS": "texsynth stylize --preset pho", "COMP_CWORD": "3"}
    root = {"PYTHONPATH": str(Path(__file__).parents[2]), "_TEXSYNTH_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={**os.environ, **words, **root}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["photo", "photo-soft"]


def test_odd_sizes(place: Path, model: Path) -> None:
    for height, width in ((1, 1), (1, 40), (2, 3), (17, 16)):
        name = f"s{height}x{width}.png"
        make_picture(place / name, height=height, width=width)
        for mode in ("--photo", "--artistic"):
            result = run_cli("stylize", name, "wave.png", "-o", "o.png", "-f", mode, "--model", model)
            assert result.exit_code == 0, result.stderr
            assert read(place / "o.png").rgb.shape == (height, width, 3)


def test_flat_pictures_stay_finite(place: Path, model: Path) -> None:
    for value in (0, 255):
        write(Picture(np.full((20, 20, 3), value, np.uint8)), place / f"{value}.png")
    for transform in ("ift", "wct", "ot", "adain"):
        flags = ["--transform", transform, "--model", model, "-f", "-o", "o.png"]
        for content, style in (("0", "255"), ("cat", "0"), ("255", "wave")):
            assert run_cli("stylize", f"{content}.png", f"{style}.png", *flags).exit_code == 0


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(5):
        make_picture(place / f"p{index}.png", seed=index)
    real, calls = write_result, []

    def interrupted(*arguments: Any) -> Any:  # noqa: ANN401 (as it is)
        calls.append(arguments)
        if len(calls) == 2:  # once: a second signal ends the program at once
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr("texsynth.jobs.runner.write_result", interrupted)
    result = run_cli("stylize", "p*.png", "wave.png", "-o", "out/", "--model", model)
    finished = result.stdout.split()
    assert result.exit_code == 130
    assert result.stderr == f"texsynth: interrupted; {len(finished)} of 5 pictures are finished\n"
    assert 2 <= len(finished) < 5
    assert finished == [f"out/{name}" for name in names(place / "out")], "nothing else is left"
    for name in finished:
        read(place / name)


def test_an_unexpected_error_is_short_unless_verbose(
    place: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("texsynth.jobs.stylize.stylize_raster", broken)
    flags = ["stylize", "cat.png", "wave.png", "--model", model]
    short, long = run_cli(*flags), run_cli(*flags, "-v")
    assert (short.exit_code, long.exit_code) == (1, 1)
    assert "Traceback" not in short.stderr
    assert "bug in texsynth: KeyError" in short.stderr
    assert "Traceback" in long.stderr


def test_ctrl_c_before_the_first_picture(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("texsynth.models.registry.load_model", interrupted)
    result = run_cli("stylize", "cat.png", "wave.png", "--model", model)
    assert (result.exit_code, result.stderr) == (130, "texsynth: interrupted\n")


def test_memory_exit_code(place: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*args: object, **options: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr("texsynth.jobs.stylize.stylize_raster", greedy)
    result = run_cli("stylize", "cat.png", "wave.png", "--model", model)
    assert result.exit_code == 7
    assert result.stderr == "texsynth: cat.png does not fit in memory; reduce it with --max-side\n"


def test_presets_commands(tmp_path: Path) -> None:
    listed = run_cli("presets", "list")
    assert len(listed.stdout.splitlines()) >= 6
    shown = run_cli("presets", "show", "bold").stdout
    (tmp_path / "mine.yaml").write_text(shown)
    good = run_cli("presets", "validate", tmp_path / "mine.yaml", "photo")
    assert (good.exit_code, good.stdout.count(": ok")) == (0, 2)
    (tmp_path / "bad.yaml").write_text("stylize: {strenght: 1}")
    bad = run_cli("presets", "validate", tmp_path / "bad.yaml", "photo")
    assert (bad.exit_code, bad.stdout) == (2, "photo: ok\n")
    first, last = bad.stderr.splitlines()
    assert first.endswith("bad.yaml, line 1): unknown setting 'strenght'; did you mean 'strength'?")
    assert last == "texsynth: 2 presets checked, 1 wrong"


def test_doctor_lists_all_that_is_needed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(PACKAGES) == {re.split(r"\W", name)[0] for name in project["dependencies"]}


def test_doctor_with_damaged_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texsynth.models.hub.cache.verified", lambda *_: [("lite.safetensors", False)])
    result = run_cli("doctor", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 6
    assert any(row["check"] == "weights" and row["status"] == "bad" for row in rows)


def test_device_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from texsynth.device import pick_device, pick_dtype

    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    cpu = torch.device("cpu")
    assert pick_dtype("auto", cpu) == torch.float32
    assert pick_dtype("float16", cpu) == torch.float16
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert pick_dtype("auto", cpu) == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    for capability, dtype in (((7, 5), torch.float32), ((9, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_, c=capability: c)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        assert pick_dtype("auto", torch.device("cuda")) == dtype


@pytest.mark.parametrize(
    ("typed", "name"),
    [("models show li", "lite"), ("expand -p bala", "balanced"), ("bench --stage fit-wct", "fit-wct-1")],
)
def test_names_are_completed(typed: str, name: str) -> None:
    code = "import sys; sys.argv = ['texsynth']\nfrom texsynth.__main__ import main; main()"
    words = f"texsynth {typed}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "_TEXSYNTH_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert name in done.stdout.decode().split(), done.stderr
