"""Training of decoders: recipes, resuming, and the commands from end to end."""

from __future__ import annotations

import csv
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.decoder_runs import FLAGS, SMALL, command, make_pictures, run_of, same_weights, train
from helpers.nets import tiny_model, tiny_tensors, waves
from helpers.waiting import until
from safetensors.torch import load_file

from texsynth.config.presets import load, resolve
from texsynth.config.training import DecoderSettings, DescriptorSettings
from texsynth.errors import UsageError
from texsynth.models.hub.cache import file_hash
from texsynth.models.registry import load_model
from texsynth.models.vgg import Encoder
from texsynth.models.weights import read_weights, write_exact, write_weights
from texsynth.training.data import find_pictures
from texsynth.training.decoder import losses, plan, steps_of


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def trained(model: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which decoders of all usual levels were trained without a name for the run."""
    place = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(place)
    try:
        said = command("decoder", "--model", model, "--data", pictures, "--steps", 2)
    finally:
        os.chdir(before)
    assert "the run is in tiny-decoders" in said
    return place / "tiny-decoders"


def test_the_recipe_of_the_paper() -> None:
    paper = resolve(DecoderSettings, load("decoder-paper"), [], {})
    assert paper.optimizer == "adam"
    assert (paper.rate, paper.kernel_rate) == (1e-4, 1e-4)
    assert (paper.resize_px, paper.crop_px, paper.batch) == (512, 256, 8)
    # 118287 pictures of MS-COCO
    assert [steps_of(paper, level, 118287) for level in (1, 2, 3, 4)] == [44358, 44358, 73930, 73930]
    assert steps_of(paper, 0, 8) == 5
    assert resolve(DecoderSettings, load("decoder"), [], {}) == DecoderSettings()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("crop=64", "did you mean 'crop_px'?"),
        ("crop_px=50", "crop_px 50 is not a multiple of 16; try 48"),
        ("resize_px=64", "resize_px 64 must not be less than crop_px 128"),
        ("epochs=[1, 2]", "must be five numbers"),
        ("epochs=[1, 1, 1, 1, 1]", "one of steps and epochs"),
        ("optimizer=sgd", "optimizer is 'sgd' but must be one of muon+adam, adam"),
        ("ema=1", "ema is 1 but must be"),
        ("workers=-1", "workers is -1 but must be"),
    ],
)
def test_wrong_settings_are_one_clear_sentence(assignment: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(DecoderSettings, load("decoder"), [assignment], {})
    assert message in str(caught.value)


def test_older_names_of_settings_stay_valid(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("extends: decoder\ndecoder:\n  vivid: 0.5\n")
    heir = tmp_path / "heir.yaml"
    heir.write_text("extends: mine.yaml\ndecoder:\n  contrast_jitter: 0.75\n")
    jitters = [resolve(DecoderSettings, load(str(path)), [], {}).contrast_jitter for path in (preset, heir)]
    assert jitters == [0.5, 0.75]
    assert resolve(DecoderSettings, load(str(heir)), ["vivid=1"], {}).contrast_jitter == 1
    assert resolve(DecoderSettings, load(str(preset)), ["contrast_jitter=0"], {}).contrast_jitter == 0
    descriptor = resolve(DescriptorSettings, None, ["alike=0.25", "turn=true"], {"rotate": False})
    assert (descriptor.same_view, descriptor.rotate) == (0.25, False)
    preset.write_text("decoder:\n  vivid: 0.5\n  contrast_jitter: 0.5\n")
    with pytest.raises(UsageError, match="'vivid' and 'contrast_jitter' are the same"):
        load(str(preset))


def test_a_torch_without_muon_is_one_clear_sentence(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    common = ("decoder", tmp_path / "run", "--model", model, "--data", pictures, "--level", 1, "--steps", 1)
    assert "needs the optimizer Muon of torch 2.9" in command(*common, code=2)
    assert not (tmp_path / "run").exists()
    command(*common, "--set", "optimizer=adam")


def test_summed_errors_are_those_of_equation_28() -> None:
    model, image = tiny_model(), waves(32, 48)
    settings = DecoderSettings(errors="sum", reconstruction=2.0)
    terms = losses(model.vgg(), model.decoders[2], 2, torch.cat([image, image.flip(3)]), settings)
    norms = []
    for x in (image, image.flip(3)):
        code = model.vgg()(x, 2)[-1]
        rebuilt = model.decoders[2](code)
        norms.append(((rebuilt - x).norm() ** 2, (model.vgg()(rebuilt, 2)[-1] - code).norm() ** 2))
    torch.testing.assert_close(terms["reconstruction"], 2 * (norms[0][0] + norms[1][0]) / 2)
    torch.testing.assert_close(terms["cycle"], (norms[0][1] + norms[1][1]) / 2)


def test_decoders_of_a_model_from_the_command_line(trained: Path, model: Path, pictures: Path) -> None:
    there = {path.name for path in trained.iterdir()}
    for level in (1, 2, 3, 4):
        suffixes = ("safetensors", "checkpoint", "csv", "svg")
        assert {f"decoder{level}.{suffix}" for suffix in suffixes} <= there
    assert not any("part" in name for name in there)
    tensors, header = read_weights(trained / "encoder.safetensors")
    encoder = load_model(str(model)).encoder.state_dict()
    assert all(torch.equal(tensors[f"encoder.{key}"], value) for key, value in encoder.items())
    assert header == {"model": "tiny", "sha256": file_hash(model)}
    said = read_weights(trained / "decoder2.safetensors")[1]
    assert (said["steps"], said["batch"], said["optimizer"]) == ("2", "2", "muon+adam")
    assert "dB" in said["psnr"]
    with (trained / "decoder3.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1"]
    assert all(float(row[name]) > 0 for row in rows for name in ("rate", "grad_norm", "samples_per_s"))
    assert [bool(row["psnr"]) for row in rows] == [False, True]


def test_a_deeper_level_begins_with_the_shallower_decoder(trained: Path, tmp_path: Path, model: Path) -> None:
    """With a rate of almost nothing it stays there."""
    pictures = make_pictures(tmp_path / "pictures")
    run = run_of(model, pictures, tmp_path / "run", 2, kernel_rate=1e-30, rate=1e-30, steps=1)
    write_exact(tmp_path / "run" / "decoder1.safetensors", load_file(trained / "decoder1.safetensors"), {})
    train(run)
    one, two = load_file(trained / "decoder1.safetensors"), load_file(run.out)
    torch.testing.assert_close(two["decoder2.inv1_1.weight"], one["decoder1.inv1_1.weight"])


def test_a_random_start_ignores_what_is_there(model: Path, pictures: Path, tmp_path: Path) -> None:
    tiny = {"kernel_rate": 1e-30, "rate": 1e-30, "steps": 1, "start": "random", "optimizer": "adam"}
    weights = []
    for name in ("one", "two"):
        run = run_of(model, pictures, tmp_path / name, 1, **tiny)
        if name == "two":
            write_exact(run.out, tiny_decoder(), {})
        train(run)
        weights.append(run.out)
    assert same_weights(*weights)
    assert not torch.equal(
        load_file(weights[1])["decoder1.inv1_1.weight"], tiny_decoder()["decoder1.inv1_1.weight"]
    )


def tiny_decoder() -> dict[str, torch.Tensor]:
    return {key: value for key, value in tiny_tensors().items() if key.startswith("decoder1.")}


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["muon+adam", "adam"])
def test_a_stopped_run_goes_on_bit_for_bit_with_any_workers(
    model: Path, pictures: Path, tmp_path: Path, optimizer: str
) -> None:
    whole, broken = (run_of(model, pictures, tmp_path / n, optimizer=optimizer) for n in ("whole", "broken"))
    train(whole)
    # Half without workers, half with two.
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=4)
    helped = run_of(model, pictures, tmp_path / "broken", optimizer=optimizer, workers=2)
    train(helped, resume=True)
    assert same_weights(whole.out, broken.out)
    one, two = (torch.load(run.checkpoint, weights_only=True) for run in (whole, broken))
    assert one["average"]["n_averaged"] == two["average"]["n_averaged"] == SMALL["steps"] + 1
    assert not torch.equal(one["average"]["module.inv1_1.weight"], one["module"]["inv1_1.weight"])
    written = load_file(whole.out)["decoder2.inv1_1.weight"]
    assert torch.equal(written, one["average"]["module.inv1_1.weight"]), "the average is what is written"


def test_a_checkpoint_of_the_version_before_is_read(model: Path, pictures: Path, tmp_path: Path) -> None:
    whole, broken = (run_of(model, pictures, tmp_path / name) for name in ("whole", "broken"))
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=4)
    state = torch.load(broken.checkpoint, weights_only=True)
    average = state.pop("average")
    updates = int(average.pop("n_averaged")) - 1
    weights = {key.removeprefix("module."): value for key, value in average.items()}
    state |= {"feed": state.pop("loader"), "average": {"module": weights, "updates": updates}}
    state["origin"]["vivid"] = state["origin"].pop("contrast_jitter")
    torch.save(state, broken.checkpoint)
    train(broken, resume=True)
    assert same_weights(whole.out, broken.out)


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(model: Path, pictures: Path, tmp_path: Path) -> None:
    whole = run_of(model, pictures, tmp_path / "whole", 1, steps=120)
    train(whole)
    folder = tmp_path / "killed"
    log = folder / "decoder1.csv"
    call = ["train", "decoder", folder, "--model", model, "--data", pictures, "--level", 1, *FLAGS]
    for _ in range(20):
        process = start(*call, "--steps", 120, "--workers", 2)
        until(lambda: log.exists() and len(log.read_text().splitlines()) > 4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if not (folder / "decoder1.safetensors").exists():
            break
        shutil.rmtree(folder)  # It was faster
    process = start(*call, "--steps", 120, "--resume")
    process.communicate()
    assert process.returncode == 0
    assert same_weights(whole.out, folder / "decoder1.safetensors")
    with log.open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == [str(k) for k in range(120)]


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_without_a_word_from_them(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    """The terminal sends it to all of them."""
    folder = tmp_path / "run"
    call = ["train", "decoder", folder, "--model", model, "--data", pictures, "--level", 1, "--steps", 10**6]
    process = start(*call, *FLAGS, "--workers", 2, "-q", start_new_session=True)
    until(lambda: (folder / "decoder1.csv").exists())
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.decode() == "texsynth: interrupted\n"
    until(lambda: not group_lives(process.pid))


def start(*arguments: object, start_new_session: bool = False) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "texsynth", *map(str, arguments), "--threads", "1", "--device", "cpu"]
    return subprocess.Popen(
        line,
        # A test run in the background of a shell ignores Ctrl-C, and so would this program, for ever.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=start_new_session,
    )


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_finished_decoders_are_skipped_on_resume(
    trained: Path, model: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    common = ("decoder", folder, "--model", model, "--data", pictures)
    command(*common, "--level", 1, "--level", 2, "--steps", 2)
    assert "add --resume" in command(*common, "--steps", 2, code=2)
    before = {name: (folder / f"{name}.safetensors").stat().st_mtime_ns for name in ("decoder1", "decoder2")}
    said = command(*common, "--steps", 2, "--resume")
    assert "decoder1 is finished already" in said
    assert "decoder2 is finished already" in said
    assert "decoder3 is finished already" not in said
    after = {name: (folder / f"{name}.safetensors").stat().st_mtime_ns for name in before}
    assert before == after
    assert same_weights(folder / "decoder4.safetensors", trained / "decoder4.safetensors")


def test_other_settings_are_not_resumed(model: Path, pictures: Path, tmp_path: Path) -> None:
    run = run_of(model, pictures, tmp_path, 1)
    with pytest.raises(KeyboardInterrupt):
        train(run, stop_at=3)
    common = ("decoder", tmp_path, "--data", pictures, "--level", 1, "--steps", 6, "--resume")
    assert "was made with kernel_rate 0.00025, not 0.01" in command(*common, "--rate", 0.01, code=2)
    assert "was made with seed 0, not 3" in command(*common, "--seed", 3, code=2)
    (extra := make_pictures(tmp_path / "more")) and (extra / "0.png").rename(extra / "zero.png")
    changed = ("decoder", tmp_path, "--data", extra, "--level", 1, "--steps", 6, "--resume")
    assert "was made with pictures 2" in command(*changed, code=2)
    command(*common, "--set", "validate_every=3")


def test_a_run_of_another_model_is_refused(trained: Path, pictures: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    write_weights(other, tiny_tensors(1), {})
    said = command("decoder", trained, "--model", other, "--data", pictures, "--level", 5, code=2)
    assert "is not the encoder of" in said
    assert not (trained / "decoder5.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--level", 5), "ends at level 2, so level 5 has no decoder"),
        (("--photo",), "ends at level 2"),
        (("--level", 1, "--set", "precision=float16"), "float16 needs a CUDA device"),
        (("--steps", 3, "--epochs", 1), "either --steps or --epochs"),
        (("--resume",), "no checkpoint"),
    ],
)
def test_mistakes_are_found_before_the_work(
    pictures: Path, tmp_path: Path, arguments: tuple[object, ...], word: str
) -> None:
    shallow = {f"encoder.{key}": value for key, value in Encoder((4, 6)).state_dict().items()}
    write_exact(tmp_path / "encoder.safetensors", shallow, {})
    result = command(
        "decoder", tmp_path, "--data", pictures, *arguments, code=4 if "--resume" in arguments else 2
    )
    assert word in result
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.safetensors"]


def test_a_shallow_encoder_gets_the_decoders_it_can_have(pictures: Path, tmp_path: Path) -> None:
    shallow = {f"encoder.{key}": value for key, value in Encoder((4, 6)).state_dict().items()}
    write_exact(tmp_path / "encoder.safetensors", shallow, {})
    settings = DecoderSettings.model_validate(SMALL)
    assert [run.level for run in plan(tmp_path, pictures, [], settings, 0)] == [1, 2]
    assert [run.level for run in plan(tmp_path, pictures, [2, 1, 2], settings, 0)] == [1, 2]


def test_flags_replace_the_length_of_a_recipe(model: Path, pictures: Path, tmp_path: Path) -> None:
    common = ("decoder", tmp_path, "--model", model, "--data", pictures, "-p", "decoder-paper")
    command(*common, "--level", 1, "--steps", 1)
    command(*common, "--level", 2, "--epochs", 0.25)
    command(*common, "--photo", "--steps", 1)
    said = {
        name: read_weights(tmp_path / f"{name}.safetensors")[1] for name in ("decoder1", "decoder2", "photo")
    }
    quarter = math.ceil(0.25 * len(find_pictures(pictures, held_out=False)) / SMALL["batch"])
    assert [header["steps"] for header in said.values()] == ["1", str(quarter), "1"]
    assert all((header["resize_px"], header["errors"]) == ("512", "sum") for header in said.values())
