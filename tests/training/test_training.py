"""Training: data, closed-form starts, exact resume, and the commands from end to end."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.nets import bottleneck_tensors, tiny_tensors, waves
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from texsynth.cli import app
from texsynth.models.autoencoder import Decoder, PhotoDecoder
from texsynth.models.calibration import to_unit_mean
from texsynth.models.registry import load_model
from texsynth.models.vgg import Encoder
from texsynth.training import closed_form, pack
from texsynth.training.closed_form import (
    begin_decoder,
    cut_encoder,
    patches,
    refine_units,
    select_units,
    start_decoder,
    start_photo_decoder,
)
from texsynth.training.data import centre_crops, find_pictures, is_held_out, random_crops, to_image
from texsynth.training.decoder import intensify, reconstruction
from texsynth.training.loop import LoopSettings, Session, rate_factor
from texsynth.training.pack import cycle_error, explained_variance
from texsynth.training.teacher import gather, sample_positions


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `photos` with small pictures, some of them held out."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for k in range(24):
        base = waves(280, 288, phase=0.7 * k)[0].permute(1, 2, 0).numpy()
        noisy = np.clip(base + rng.normal(0, 0.05, base.shape), 0, 1)
        Image.fromarray((255 * noisy).astype("u1")).save(folder / "photos" / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network in place of VGG-19."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "vgg.safetensors"
    save_file(Encoder((12, 12, 12, 12, 12)).state_dict(), path)
    return path


def crops(count: int, size: int = 32) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(count, 3, size // 4, size // 4, generator=rng)
    return (255 * torch.nn.functional.interpolate(noise, scale_factor=4, mode="bilinear")).byte()


def test_a_tenth_of_the_names_is_held_out_and_never_trained_on(pictures: Path) -> None:
    names = [Path(f"{k:04}.jpg") for k in range(2000)]
    assert 0.08 < sum(map(is_held_out, names)) / 2000 < 0.12
    train, held = find_pictures(pictures, held_out=False), find_pictures(pictures, held_out=True)
    assert train
    assert held
    assert not set(train) & set(held)


def test_crops_follow_the_generator_and_lie_inside() -> None:
    picture = np.arange(20 * 30 * 3, dtype="u1").reshape(20, 30, 3)
    one, two = (random_crops([picture], 5, 16, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, two)
    whole = centre_crops([picture], 20)
    assert torch.equal(whole[0].permute(1, 2, 0), torch.from_numpy(picture[:, 5:25]))


def test_intensified_pictures_keep_range_and_flat_areas() -> None:
    image = waves(16, 16)
    out = intensify(image, torch.Generator().manual_seed(0))
    assert 0 <= out.min() <= out.max() <= 1
    assert (out.std((2, 3)) >= image.std((2, 3)) * 0.99).all()
    flat = torch.full((1, 3, 8, 8), 0.4)
    torch.testing.assert_close(intensify(flat, torch.Generator().manual_seed(0)), flat)


def test_patches_are_what_a_convolution_sees() -> None:
    conv, x = torch.nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), waves(8, 10)
    where = sample_positions(1, 80, 80, torch.Generator().manual_seed(0))
    assert conv.bias is not None
    samples = patches(x, where) @ conv.weight.flatten(1).T + conv.bias
    torch.testing.assert_close(samples, gather(conv(x), where)[0])


def test_matching_pursuit_takes_the_informative_units_first() -> None:
    # Unit 2 explains both targets, unit 0 adds the rest, unit 1 repeats unit 2.
    x = torch.randn(4000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    units = torch.stack([x[:, 1], x[:, 0] * 2, x[:, 0]], 1)
    units[:, 1] += 0.1 * torch.randn(4000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    goal = torch.stack([3 * x[:, 0], x[:, 0] + 0.5 * x[:, 1]], 1)
    assert select_units(units.T @ units, units.T @ goal, 2) == [2, 0]


def test_refined_units_find_the_ones_behind_the_data() -> None:
    rng = torch.Generator().manual_seed(0)
    inputs, true = torch.randn(3000, 4, generator=rng), torch.randn(4, 2, generator=rng)
    goal = torch.relu(inputs @ true) @ torch.randn(2, 6, generator=rng)
    goal = goal - goal.mean(0)
    start = true + 0.5 * torch.randn(4, 2, generator=rng)

    def unexplained(weight: torch.Tensor, bias: torch.Tensor) -> float:
        units = torch.relu(inputs @ weight + bias)
        units = units - units.mean(0)
        rest = goal - units @ torch.linalg.lstsq(units, goal).solution
        return float(rest.square().sum() / goal.square().sum())

    assert unexplained(start, torch.zeros(2)) > 0.02
    assert unexplained(*refine_units(start, torch.zeros(2), inputs, goal)) < 1e-4


def test_a_student_as_wide_as_its_teacher_explains_it() -> None:
    torch.manual_seed(0)
    wide, data = Encoder((8, 8, 8, 8, 8)), crops(32)
    rng = torch.Generator().manual_seed(0)
    student = cut_encoder(wide, (8, 8, 8, 8, 8), data, rng, lambda _: None)
    scores = explained_variance(student, wide, data[:24], data[24:])
    assert scores[1] > 0.99
    assert explained_variance(wide, wide, data[:24], data[24:])[3] == pytest.approx(1, abs=1e-4)


def test_the_closed_form_decoder_beats_a_random_one() -> None:
    torch.manual_seed(0)
    data, encoder = crops(48), Encoder((16, 16))
    decoder = Decoder((16, 16), 1)

    def psnr() -> float:
        return reconstruction(lambda image: decoder(encoder.segment(image, 0, 1)), data[32:])

    before = psnr()
    start_decoder(decoder, encoder, data[:32], torch.Generator().manual_seed(0))
    assert psnr() > before + 10


def test_the_closed_form_photo_decoder_rebuilds_smooth_pictures() -> None:
    torch.manual_seed(0)
    data, encoder = crops(48, 64), Encoder((16, 16, 16, 16))
    decoder = PhotoDecoder((16, 16, 16, 16))

    def psnr() -> float:
        return reconstruction(lambda image: decoder(encoder(image, 4)), data[32:])

    before = psnr()
    start_photo_decoder(decoder, encoder, data[:32], torch.Generator().manual_seed(0))
    assert psnr() > before + 10


def test_a_decoder_samples_up_like_the_finer_one_it_begins_with() -> None:
    data, encoder, rng = crops(32), Encoder((16, 16)), torch.Generator().manual_seed(0)
    for upsampling in ("bilinear", "nearest"):
        finer = Decoder((16, 16), 1, "nearest" if upsampling == "nearest" else "bilinear")
        tensors = {f"decoder1.{key}": value for key, value in finer.state_dict().items()}
        begun = begin_decoder(2, encoder, tensors, data, rng)
        assert begun.upsampling == upsampling
        assert torch.equal(begun.conv(1, 1).weight, finer.conv(1, 1).weight)


def test_cycle_error_is_zero_for_a_perfect_decoder() -> None:
    encoder, data = Encoder((4, 4)), crops(8)
    originals = iter(to_image(chunk) for chunk in data.split(8))
    error, relative = cycle_error(encoder, lambda _: next(originals), 2, data)
    assert error == pytest.approx(0, abs=1e-9)
    assert relative == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("make", [tiny_tensors, bottleneck_tensors])
def test_unit_mean_changes_the_scale_but_not_the_function(make: Callable[[], dict[str, Tensor]]) -> None:
    from texsynth.models.registry import build_model

    data = crops(8)
    before, after = make(), to_unit_mean(make(), [to_image(data)])
    one, two, image = build_model("a", before), build_model("b", after), to_image(data)
    for level in (1, 2, 3, 4, 5):
        f, g = one.encoder(image, level)[-1], two.encoder(image, level)[-1]
        alive = f.mean((0, 2, 3)) > 1e-2
        torch.testing.assert_close(g.mean((0, 2, 3))[alive], torch.ones(int(alive.sum())))
        torch.testing.assert_close(one.decoder(level)(f), two.decoder(level)(g), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(
        one.photo_decoder()(one.encoder(image, 4)),
        two.photo_decoder()(two.encoder(image, 4)),
        atol=1e-4,
        rtol=1e-3,
    )


def test_the_rate_warms_up_and_falls_to_almost_nothing() -> None:
    rates = [rate_factor(step, LoopSettings(steps=100, warmup=10)) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.02


def train(*arguments: object) -> None:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exit_code == 0, result.output


def same_weights(one: Path, two: Path) -> bool:
    a, b = load_file(one), load_file(two)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rounds of the closed-form start, and few crops where a finished network is measured."""
    monkeypatch.setattr(closed_form, "refine_units", partial(refine_units, rounds=3))
    crops = pack._training_crops
    monkeypatch.setattr(pack, "_training_crops", lambda data, count, seed: crops(data, count // 16, seed))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_train_resume_and_pack_from_the_command_line(pictures: Path, teacher: Path, tmp_path: Path) -> None:
    common = ("--data", pictures, "--threads", 1, "-q", "--device", "cpu")
    shape = ("--teacher", teacher, "--widths", "4,4,6,6,6", "--crops", 32, "--batch", 2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train("encoder", whole, *common, *shape, "--steps", 4)
    stopped_early(broken, pictures, teacher)
    train("encoder", broken, *common, *shape, "--steps", 4, "--resume")
    assert same_weights(whole / "encoder.safetensors", broken / "encoder.safetensors")
    with (broken / "encoder.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]

    deep, improve = tmp_path / "deep", ("--init", whole, "--above", 4, "--level-odds", "0,0,0,0,1")
    train("encoder", deep, *common, *shape, *improve, "--steps", 2)
    assert not (deep / "start.safetensors").exists(), "weights to start from are given"
    assert not (deep / "cache.safetensors").exists(), "the run before has the same one"
    before, after = (load_file(f / "encoder.safetensors") for f in (whole, deep))
    changed = {key for key in after if key not in before or not torch.equal(after[key], before[key])}
    assert {key.split(".")[0] for key in changed} == {"encoder", "decoder5"}
    assert not any(key.startswith(("encoder.conv1", "encoder.conv4_1")) for key in changed)

    for decoder in (("--level", "5"), ("--level", "1"), ("--photo",)):
        train("decoder", whole, *common, *decoder, "--steps", 2, "--batch", 2)
    out = tmp_path / "model.safetensors"
    train("pack", whole, "--data", pictures, "--teacher", teacher, "-o", out, "--note", "command=test")
    model = load_model(str(out))
    assert sorted(model.decoders) == [1, 2, 3, 4, 5]
    assert model.photo is not None
    assert model.provenance["command"] == "test"
    assert "explained variance" in model.provenance["held_out"]


def stopped_early(folder: Path, pictures: Path, teacher: Path) -> None:
    """A run of four steps that dies after its second, with a checkpoint after each."""
    from texsynth.training import encoder as module

    settings = module.EncoderRun(
        pictures,
        teacher,
        folder,
        steps=4,
        crops=32,
        widths=(4, 4, 6, 6, 6),
        batch=2,
        save_every=1,
    )

    def die(step: int, _: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        module.train_encoder(settings, Session(torch.device("cpu"), on_step=die))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("decoder", "run", "--data", ".", "--level", "1", "--photo"), "--level"),
        (("decoder", "run", "--data", "."), "--model"),
        (("decoder", "--data", "."), "--model"),
        (("encoder", "run", "--data", "nowhere", "--teacher", "x"), "nowhere"),
        (("pack", "run", "--data", ".", "-o", "x.safetensors"), "no training pictures"),
    ],
)
def test_training_mistakes_are_one_sentence(
    arguments: tuple[str, ...], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code in {2, 4, 6}
    assert word in result.stderr
    assert "Traceback" not in result.output
