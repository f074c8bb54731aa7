"""Published checkpoints: recognised, equal to what their own code computes, and refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.cli import make_picture, run_cli
from helpers.nets import WIDTHS, tiny_tensors, waves
from helpers.published import (
    Distilled,
    TorchvisionVGG19,
    Wavelets,
    bands_of,
    sequential_decoder,
    sequential_encoder,
    up_to,
)
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from texsynth.config.preset_places import package_data
from texsynth.config.settings import DescentSettings, OptimizeSettings, StylizeSettings
from texsynth.errors import ModelError
from texsynth.images import read_rgb8
from texsynth.models.calibration import DEAD, SAMPLES, mean_activations, sample_pictures
from texsynth.models.checkpoints.families import Converted, convert
from texsynth.models.hub.cache import file_hash
from texsynth.models.registry import Model, build_model
from texsynth.models.vgg import Encoder
from texsynth.models.wavelets import BANDS, pool, unpool
from texsynth.models.weights import part, write_weights
from texsynth.pipelines.feature_optimization import synthesize
from texsynth.pipelines.stylize import fit_style, measure_style, stylize
from texsynth.synthesis.exemplar import Exemplar
from texsynth.transforms.affine import AffineMap

TEACHER = Path(__file__).parents[3] / "shared" / "teacher"
PHOTO = StylizeSettings(mode="photo")
real = pytest.mark.skipif(not TEACHER.is_dir(), reason="needs the published files")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def saved(path: Path, state: nn.Module | dict[str, Tensor]) -> Path:
    torch.save(state.state_dict() if isinstance(state, nn.Module) else state, path)
    return path


def model_of(converted: Converted) -> Model:
    return build_model(converted.name, converted.tensors, provenance=converted.header)


def same(found: Tensor, expected: Tensor) -> None:
    assert float(expected.std()) > 1e-4
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def proportional(found: Tensor, expected: Tensor) -> None:
    """Equal up to a positive factor for each channel."""
    factor = found.sum((0, 2, 3), keepdim=True) / expected.sum((0, 2, 3), keepdim=True).clamp_min(1e-12)
    assert bool((factor >= 0).all())
    torch.testing.assert_close(found, factor * expected, atol=1e-5, rtol=1e-4)


def wct(folder: Path, levels: tuple[int, ...]) -> list[Path]:
    """PytorchWCT's files, which all hold parts of one encoder."""
    whole = sequential_encoder(5, whole=True)
    paths = [saved(folder / f"vgg_normalised_conv{n}_1.pth", up_to(whole, n)) for n in levels]
    return paths + [saved(folder / f"feature_invertor_conv{n}_1.pth", sequential_decoder(n)) for n in levels]


def normalised(folder: Path) -> Path:
    """`vgg_normalised.pth` in the published format: its weights, with a preprocessing in front."""
    tensors = load_file(TEACHER / "vgg19_normalised.safetensors")
    whole = sequential_encoder(5, whole=True).state_dict()
    first = torch.load(TEACHER / "pytorch-wct" / "vgg_normalised_conv1_1.pth", weights_only=True)
    convs = [n for n in tensors if n.endswith("weight")]
    places = [2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42]
    state = {k: v for k, v in whole.items() if int(k.split(".")[0]) > 42}
    for place, name in zip(places, sorted(convs), strict=True):
        for kind in ("weight", "bias"):
            state[f"{place}.{kind}"] = tensors[name.replace("weight", kind)].float()
    return saved(folder / "vgg_normalised.pth", {**state, **first})


@real
def test_the_real_vgg_normalised_is_known_and_stays_as_it_is(tmp_path: Path) -> None:
    path = normalised(tmp_path)
    found = convert([path])
    assert (found.format, found.name) == ("vgg_normalised", "vgg19")
    assert "CC BY" in found.header["licence"]
    assert json.loads(found.header["sources"]) == [{"file": path.name, "sha256": file_hash(path)}]
    teacher = load_file(TEACHER / "vgg19_normalised.safetensors")
    for key, value in part(found.tensors, "encoder").items():
        torch.testing.assert_close(value, teacher[key].float(), rtol=1e-4, atol=1e-4)


@real
def test_the_real_pytorchwct_rebuilds_a_photograph_and_stylizes_it(tmp_path: Path) -> None:
    found = convert(sorted((TEACHER / "pytorch-wct").glob("*.pth")))
    assert (found.format, found.header["upsampling"]) == ("pytorch-wct", "nearest")
    assert "calibrated" not in found.header
    pixels = torch.from_numpy(read_rgb8(package_data("samples") / "street.jpg")).permute(2, 0, 1)[None] / 255
    photo, model = pixels[:, :, :480, :480], model_of(found)
    for level in (1, 2, 3):
        with torch.no_grad():
            rebuilt = model.decoder(level)(model.encoder.segment(photo, 0, level)).clamp(0, 1)
        assert -10 * torch.log10(F.mse_loss(rebuilt, photo)) > 25, level
    with pytest.raises(ModelError, match=r"texsynth train decoder .*--level 4"):
        model.decoder(4)
    write_weights(tmp_path / "wct.safetensors", found.tensors, found.header)
    content, style = (make_picture(tmp_path / f"{k}.png", seed=k) for k in (1, 2))
    arguments = (content, style, "--model", tmp_path / "wct.safetensors", "--set", "levels=[3,2,1]")
    done = run_cli("stylize", *arguments, "-o", tmp_path / "out.png")
    assert done.exit_code == 0, done.stderr
    refused = run_cli("stylize", *arguments[:-1], "levels=[4]", "-o", tmp_path / "other.png")
    assert refused.exit_code == 6


@real
def test_tiles_do_not_show_with_the_real_pytorchwct() -> None:
    model = model_of(convert(sorted((TEACHER / "pytorch-wct").glob("*.pth"))))
    settings, content = StylizeSettings(levels=(3, 2, 1)), waves(130, 150)
    style = fit_style(waves(90, 80, 1.0) ** 2, model, settings)
    whole, tiled = (stylize(content, style, model, settings, tile=t) for t in (None, 64))
    assert float((tiled - whole).abs().max()) < 1e-3


def test_pytorchwct_computes_what_its_own_networks_do(tmp_path: Path) -> None:
    whole = sequential_encoder(5, whole=True)
    decoders = {n: sequential_decoder(n) for n in (1, 2, 3, 4, 5)}
    paths = [saved(tmp_path / f"e{n}.pth", up_to(whole, n)) for n in (2, 5)]
    paths += [saved(tmp_path / f"d{n}.pth", decoder) for n, decoder in decoders.items()]
    found = convert(paths)
    assert (found.format, found.name) == ("pytorch-wct", "pytorch-wct")
    model, image = model_of(found), waves(32, 48)
    with torch.no_grad():
        for n, decoder in decoders.items():
            theirs, ours = up_to(whole, n)(image), model.encoder.segment(image, 0, n)
            # Random weights are not normalised, so they have been.
            proportional(ours, theirs)
            same(model.decoder(n)(ours), decoder(theirs))
    assert "unit mean" in found.header["calibrated"]


def test_pytorch_adain_is_an_encoder_and_one_decoder(tmp_path: Path) -> None:
    whole, decoder = sequential_encoder(5, whole=True), sequential_decoder(4)
    found = convert([saved(tmp_path / "decoder.pth", decoder), saved(tmp_path / "vgg.pth", whole)])
    assert (found.format, found.name) == ("pytorch-adain", "pytorch-adain")
    model, image = model_of(found), waves(32, 48)
    assert list(model.decoders) == [4]
    assert model.encoder.widths == WIDTHS
    with torch.no_grad():
        same(model.decoder(4)(model.encoder.segment(image, 0, 4)), decoder(up_to(whole, 4)(image)))


def test_another_network_of_the_layout_of_vgg_normalised_is_rescaled(tmp_path: Path) -> None:
    whole = sequential_encoder(5, whole=True)
    found = convert([saved(tmp_path / "vgg.pth", whole)])
    assert (found.format, found.name) == ("vgg-sequential", "vgg-sequential")
    proportional(model_of(found).encoder(waves(32, 48))[2], up_to(whole, 3)(waves(32, 48)))


@pytest.mark.parametrize("classified", [True, False])
def test_torchvision_is_brought_to_unit_mean_on_the_samples(tmp_path: Path, classified: bool) -> None:
    network = TorchvisionVGG19()
    state = {k: v for k, v in network.state_dict().items() if classified or k.startswith("features")}
    found = convert([saved(tmp_path / "vgg19.pth", state)])
    assert (found.format, found.name) == ("torchvision-vgg19", "vgg19-torchvision")
    image = waves(32, 48)
    with torch.no_grad():
        for ours, theirs in zip(model_of(found).encoder(image), network.levels(image), strict=True):
            proportional(ours, theirs)
        raw = [[f.mean((0, 2, 3)) for f in network.levels(picture)] for picture in sample_pictures()]
    means = mean_activations(Encoder.from_state(part(found.tensors, "encoder")), sample_pictures())
    for level, theirs in enumerate(map(torch.stack, zip(*raw, strict=True)), 1):
        before = theirs.mean(0)
        dead = before <= DEAD * before.mean()
        assert not dead.all()
        torch.testing.assert_close(means[level, 1], torch.where(dead, before, 1.0), atol=1e-4, rtol=1e-4)


def test_the_samples_are_small_and_come_with_the_program() -> None:
    pictures = list(sample_pictures())
    assert len(pictures) == len(SAMPLES)
    assert all(0 <= float(p.min()) < float(p.max()) <= 1 and max(p.shape[2:]) <= 320 for p in pictures)
    wheel = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert all(f'"samples/{name}.jpg" = "texsynth/_samples/{name}.jpg"' in wheel for name in SAMPLES)


def test_collaborative_distillation_has_an_encoder_for_each_level(tmp_path: Path) -> None:
    levels = {n: Distilled(n) for n in (1, 2, 3, 4, 5)}
    paths = []
    for n, level in levels.items():
        paths.append(saved(tmp_path / f"{n}SD.pth", level.decoder))
        torch.save({"model": level.encoder.state_dict(), "epoch": 20}, tmp_path / f"{n}SE.pth")
        paths.append(tmp_path / f"{n}SE.pth")
    found = convert(paths)
    assert (found.format, found.name) == ("collaborative-distillation", "ckd")
    model, image = model_of(found), waves(32, 48)
    assert model.encoder.widths == (7, *WIDTHS[1:])
    with torch.no_grad():
        for n, level in levels.items():
            theirs = level.encode(image)
            same(model.encoder(image, 5)[n - 1], theirs)
            # Theirs ends in a ReLU, ours in a clamp.
            same(model.decoder(n)(theirs).clamp_min(0), level.decode(theirs))


@pytest.mark.parametrize("option", ["sum", "cat5"])
def test_wct2_unpools_by_wavelets(tmp_path: Path, option: str) -> None:
    network = Wavelets(option)
    paths = [saved(tmp_path / f"{k}.pth", state) for k, state in enumerate(network.states())]
    found = convert(paths)
    assert (found.format, found.name) == (f"wct2-{option}", f"wct2-{option}")
    model, image = model_of(found), waves(32, 48)
    with torch.no_grad():
        theirs = network.encode(image)
        ours = model.encoder(image, 4)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
        bands = [bands_of(x) for x in theirs[:3]]
        same(model.photo_decoder()(ours), network.decode(theirs[3], bands, theirs[:3]))
        random = [(torch.randn(c, c).double(), torch.randn(c).double()) for c in WIDTHS[:4]]
        maps = {n: AffineMap(*values) for n, values in enumerate(random, 1)}
        # Bands have no mean, so that the matrix alone matters to them.
        linear = {n: AffineMap(m.matrix, 0 * m.offset) for n, m in maps.items()}
        mapped = [{k: linear[n](v) for k, v in band.items()} for n, band in enumerate(bands, 1)]
        originals = [maps[n](x) for n, x in enumerate(theirs[:3], 1)]
        expected = network.decode(maps[4](theirs[3]), mapped, originals)
        torch.testing.assert_close(model.photo_decoder()(ours, maps), expected, atol=1e-4, rtol=1e-4)


def test_wavelets_lose_nothing_and_keep_energy() -> None:
    x = torch.randn(2, 5, 8, 12, dtype=torch.float64)
    bands = [pool(x, k) for k in range(BANDS)]
    torch.testing.assert_close(sum(map(unpool, bands, range(BANDS)), torch.zeros_like(x)), x)
    torch.testing.assert_close(torch.stack(bands).square().sum(), x.square().sum())
    assert all(float(pool(torch.ones(1, 1, 4, 4), k).abs().max()) == 0 for k in range(1, BANDS))


def test_wct2_is_for_photographs_alone(tmp_path: Path) -> None:
    found = convert([saved(tmp_path / f"{k}.pth", s) for k, s in enumerate(Wavelets("cat5").states())])
    model = model_of(found)
    with pytest.raises(ModelError, match="--photo"):
        fit_style(waves(32, 32), model, StylizeSettings())
    write_weights(tmp_path / "wct2.safetensors", found.tensors, found.header)
    content, style = (make_picture(tmp_path / f"{k}.png", seed=k) for k in (1, 2))
    arguments = (content, style, "--model", tmp_path / "wct2.safetensors")
    assert run_cli("stylize", *arguments, "--artistic", "-o", tmp_path / "a.png").exit_code == 6
    done = run_cli("stylize", *arguments, "--photo", "-o", tmp_path / "b.png")
    assert done.exit_code == 0, done.stderr


def test_one_level_of_small_networks_serves_cards_blends_and_styles(tmp_path: Path) -> None:
    paths = []
    for n in (1, 3):
        level = Distilled(n)
        paths += [saved(tmp_path / f"e{n}.pth", level.encoder), saved(tmp_path / f"d{n}.pth", level.decoder)]
    found = convert(paths)
    assert model_of(found).encoder.widths == (7, *WIDTHS[1:3])
    for ask in (lambda: model_of(found).decoder(2), model_of(found).photo_decoder, model_of(found).vgg):
        with pytest.raises(ModelError, match="use"):
            ask()
    weights = tmp_path / "ckd.safetensors"
    write_weights(weights, found.tensors, found.header)
    content, style = (make_picture(tmp_path / f"{k}.png", seed=k) for k in (1, 2))
    model = ("--model", weights, "--dtype", "float32")
    card = tmp_path / "style.card"
    steps: list[tuple[object, ...]] = [
        ("card", "make", style, "-o", card, *model),
        ("stylize", content, card, "--set", "levels=[3,1]", "-o", tmp_path / "card.png", *model),
        ("stylize", content, style, "--set", "levels=[3,1]", "-o", tmp_path / "style.png", *model),
        ("blend", content, "--style", style, "--set", "levels=[3,1]", "-o", tmp_path / "blend.png", *model),
    ]
    for step in steps:
        done = run_cli(*step)
        assert done.exit_code == 0, (step, done.stderr, done.stdout)
    a, b = (read_rgb8(tmp_path / f"{name}.png").astype(int) for name in ("card", "style"))
    assert abs(a - b).max() <= 1


def test_moments_of_a_level_are_those_of_its_own_encoder(tmp_path: Path) -> None:
    levels = {n: Distilled(n) for n in (2, 3)}
    paths = [saved(tmp_path / f"{n}.pth", level.encoder) for n, level in levels.items()]
    found = measure_style(waves(32, 48), model_of(convert(paths)), (3, 2))
    for n, level in levels.items():
        with torch.no_grad():
            expected = level.encode(waves(32, 48)).mean((0, 2, 3)).double()
        torch.testing.assert_close(found.moments[n].mean, expected, atol=1e-6, rtol=1e-5)


def test_descent_follows_the_encoders_of_the_levels(tmp_path: Path) -> None:
    paths = []
    for n in (1, 2):
        level = Distilled(n)
        paths += [saved(tmp_path / f"e{n}.pth", level.encoder), saved(tmp_path / f"d{n}.pth", level.decoder)]
    model = model_of(convert(paths))
    settings = StylizeSettings(levels=(2, 1), transform=DescentSettings(iterations=20), grain=0)
    style, content = fit_style(waves(32, 32, 1.0) ** 2, model, settings), waves(32, 32)

    def gap(image: Tensor) -> float:
        own = measure_style(image, model, (1,)).moments[1].second
        return float((own - style.moments[1].second).norm())

    assert gap(stylize(content, style, model, settings)) < 0.5 * gap(content)


@pytest.mark.parametrize("size", [(70, 90), (33, 47)])
def test_textures_are_optimized_with_encoders_that_end_sooner(tmp_path: Path, size: tuple[int, int]) -> None:
    small = convert([saved(tmp_path / "vgg_normalised_conv2_1.pth", sequential_encoder(2))])
    waved = convert([saved(tmp_path / f"{k}.pth", s) for k, s in enumerate(Wavelets("sum").states())])
    for found in (small, waved):
        model, rng = model_of(found), torch.Generator().manual_seed(0)
        settings = OptimizeSettings(noise_iterations=2)
        made, _ = synthesize(size, [Exemplar(waves(70, 90))], model, settings, rng, wrap=False)
        assert made.shape[2:] == size


def test_our_own_files_pass_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    write_weights(path, tiny_tensors(), {"teacher": "VGG-19"})
    found = convert([path])
    assert (found.format, found.name, found.header["teacher"]) == ("texsynth", "mine", "VGG-19")
    assert model_of(found).encoder.widths == WIDTHS
    bad = {k: v for k, v in tiny_tensors().items() if k != "encoder.conv3_2.bias"}
    save_file(bad, tmp_path / "bad.safetensors")
    with pytest.raises(ModelError, match="not a texsynth model"):
        convert([tmp_path / "bad.safetensors"])


class Trap:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def trapped(folder: Path) -> list[Path]:
    torch.save({"2.weight": Trap(folder / "sprung")}, folder / "trap.pth")
    return [folder / "trap.pth"]


def worded(folder: Path, data: bytes) -> list[Path]:
    (folder / "text.pth").write_bytes(data)
    return [folder / "text.pth"]


def changed(folder: Path, key: str, value: Tensor) -> list[Path]:
    encoder, _ = wct(folder, (3,))
    return [saved(folder / "changed.pth", {**torch.load(encoder, weights_only=True), key: value})]


def wide(folder: Path) -> list[Path]:
    encoder, _ = wct(folder, (1,))
    decoder = {"1.weight": torch.zeros(3, 9, 3, 3), "1.bias": torch.zeros(3)}
    return [encoder, saved(folder / "wide.pth", decoder)]


def twice(folder: Path) -> list[Path]:
    return [*wct(folder, (1,)), saved(folder / "d.pth", sequential_decoder(1))]


def listed(folder: Path) -> list[Path]:
    torch.save([torch.zeros(1)], folder / "list.pth")
    return [folder / "list.pth"]


def halves(folder: Path) -> list[Path]:
    encoder, _ = Wavelets("sum").states()
    return [saved(folder / "wave.pth", encoder)]


def mixed(folder: Path) -> list[Path]:
    return [*wct(folder, (1,)), *halves(folder)]


def strangers(folder: Path) -> list[Path]:
    return [*wct(folder, (2,)), saved(folder / "other.pth", sequential_encoder(1))]


BAD: dict[str, tuple[Callable[[Path], list[Path]], str]] = {
    "none": (lambda f: [], "no checkpoint"),
    "missing": (lambda f: [f / "no.pth"], "does not exist"),
    "folder": (lambda f: [f], "is a folder"),
    "text": (lambda f: worded(f, b"not weights"), "damaged"),
    "empty": (lambda f: worded(f, b""), "damaged"),
    "cut": (lambda f: [cut(wct(f, (3,))[0])], "damaged"),
    "code": (trapped, "more than tensors"),
    "no dict": (listed, "no state dict"),
    "other keys": (lambda f: [saved(f / "x.pth", nn.Linear(2, 2))], "no format"),
    "no keys": (lambda f: [saved(f / "x.pth", {})], "no tensors"),
    "nan": (lambda f: changed(f, "5.bias", torch.full((4,), torch.nan)), "finite"),
    "whole numbers": (lambda f: changed(f, "5.bias", torch.zeros(4, dtype=torch.int64)), "finite"),
    "shapes": (lambda f: changed(f, "5.weight", torch.zeros(4, 7, 3, 3)), "do not fit"),
    "flat": (lambda f: changed(f, "2.weight", torch.zeros(4)), "do not fit"),
    "preprocessing": (lambda f: changed(f, "0.weight", torch.zeros(3, 3, 3, 3)), "do not fit"),
    "decoder alone": (lambda f: wct(f, (1,))[1:], "without its encoder"),
    "deeper decoder": (lambda f: [*wct(f, (1,)), saved(f / "d.pth", sequential_decoder(2))], "level 2 too"),
    "wide decoder": (wide, "widths 9 and"),
    "two decoders": (twice, "both the decoder"),
    "two networks": (strangers, "different networks"),
    "mixed": (mixed, "different formats"),
    "no wave decoder": (halves, "lacks its decoder"),
    "small decoder alone": (lambda f: [saved(f / "d.pth", Distilled(2).decoder)], "without its encoder"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_give_one_sentence_with_the_cure(tmp_path: Path, name: str) -> None:
    make, word = BAD[name]
    with pytest.raises(ModelError, match=word) as error:
        convert(make(tmp_path))
    message = str(error.value)
    assert "\n" not in message
    assert "; " in message
    assert len(message) < 400 + 2 * len(str(tmp_path))
    assert not (tmp_path / "sprung").exists()


def test_a_trap_would_spring_without_the_guard(tmp_path: Path) -> None:
    (path,) = trapped(tmp_path)
    torch.load(path, weights_only=False)
    assert (tmp_path / "sprung").exists()
