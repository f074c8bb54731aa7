"""Training of decoders on stylised pictures: the cascade, its derivatives, resuming, and the command."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from helpers.cli import run_cli
from helpers.decoder_runs import same_weights
from helpers.nets import WIDTHS, tiny_tensors, waves
from helpers.stylised_runs import (
    SMALL,
    command,
    lively,
    random_teacher,
    run_of,
    train,
)
from torch import Tensor

from texsynth.config.presets import load, resolve
from texsynth.config.settings import StylizeSettings, TransformSettings
from texsynth.config.training import StylisedSettings
from texsynth.errors import UsageError
from texsynth.metrics.style import edge_similarity, gram_distance
from texsynth.models.autoencoder import Decoder
from texsynth.models.registry import load_model
from texsynth.models.vgg import Encoder
from texsynth.models.weights import read_weights, write_exact
from texsynth.pipelines.stylize import fit_style, stylize
from texsynth.training.cascade import MAPPED, Cascade, Spread, map_matrix, roots, spreads
from texsynth.training.style_judge import Judge, grid_strength
from texsynth.training.stylised import TRANSFORMS, flattened, losses
from texsynth.transforms import fit_map
from texsynth.transforms.moments import Moments


def positive(seed: int, size: int = 5) -> Tensor:
    rows = torch.randn(size, 3 * size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return rows @ rows.T / (3 * size)


def test_roots_and_their_derivatives() -> None:
    matrix = positive(0)
    root, inverse = roots(matrix)
    torch.testing.assert_close(root @ root, matrix)
    torch.testing.assert_close(root @ inverse, torch.eye(5, dtype=torch.float64))
    symmetric = matrix.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: roots((m + m.T) / 2), symmetric)


def test_equal_eigenvalues_have_a_derivative() -> None:
    """Of the root of t I by t: 1 / (2 sqrt t) in every diagonal entry."""
    matrix = (4 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    roots(matrix)[0].trace().backward()
    torch.testing.assert_close(matrix.grad, torch.eye(3, dtype=torch.float64) / 4)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_maps_are_those_of_the_program_and_differentiable(name: str) -> None:
    own, style = (Spread(torch.randn(5, dtype=torch.float64), positive(k)) for k in (1, 2))
    matrix = map_matrix(own, style, TRANSFORMS[name])
    one, two = (Moments.of_gaussian(100.0, *spread) for spread in (own, style))
    torch.testing.assert_close(matrix, fit_map(TRANSFORMS[name], one, two).matrix, rtol=1e-7, atol=1e-9)
    if name != "ift":  # its derivative takes the sizes of steps as given
        free = own.covariance.clone().requires_grad_()

        def of(covariance: Tensor) -> Tensor:
            return map_matrix(
                own._replace(covariance=(covariance + covariance.T) / 2), style, TRANSFORMS[name]
            )

        assert torch.autograd.gradcheck(of, free)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_cascade_is_that_of_stylize(name: str) -> None:
    model, content, style = lively(), waves(64, 64), waves(64, 64, phase=2.0).flip(2)
    transform: TransformSettings = TRANSFORMS[name]
    settings = StylizeSettings(
        transform=transform, strength=0.7, grain=0.0, preserve_detail=0.0, preserve_light=0.0
    )
    expected = stylize(content, fit_style(style, model, settings), model, settings)
    cascade = Cascade({level: model.decoders[level] for level in MAPPED})
    with torch.no_grad():
        fitted = {level: spreads(f) for level, f in enumerate(model.vgg()(style, 4), 1)}
        result = cascade(model.vgg(), content, fitted, [transform], torch.tensor([0.7]))
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-3)
    assert float((result - content).abs().mean()) > 0.05


def test_a_flat_content_is_no_harm() -> None:
    model, white = lively(), torch.ones(2, 3, 32, 32)
    cascade = Cascade({level: model.decoders[level].requires_grad_() for level in MAPPED})
    fitted = {
        level: spreads(f) for level, f in enumerate(model.vgg()(waves(32, 32).repeat(2, 1, 1, 1), 4), 1)
    }
    result = cascade(model.vgg(), white, fitted, [TRANSFORMS["wct"], TRANSFORMS["ot"]], torch.ones(2))
    result.square().mean().backward()
    assert bool(result.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in cascade.parameters() if p.grad is not None)


def test_what_the_next_level_takes_back_has_no_gradient() -> None:
    """WCT gives features the style's mean and covariance, so scaling and moving them changes nothing."""
    features = torch.rand(1, 4, 12, 12, generator=torch.Generator().manual_seed(0))
    style = Spread(torch.ones(4, dtype=torch.float64), positive(3, 4))
    gain, shift = torch.ones((), requires_grad=True), torch.zeros((), requires_grad=True)
    x = gain * features + shift
    (own,) = spreads(x)
    mapped = map_matrix(own, style, TRANSFORMS["wct"]) @ (x[0].flatten(1).double() - own.mean[:, None])
    (mapped * torch.rand(mapped.shape, dtype=torch.float64)).sum().backward()
    assert gain.grad is not None
    assert shift.grad is not None
    assert abs(float(shift.grad)) < 1e-4
    assert abs(float(gain.grad)) < 1e-3


def judged(result: Tensor, content: Tensor, style: Tensor, strength: float = 1.0) -> dict[str, float]:
    settings = StylisedSettings(precision="float32", gram=1.0, covariance=1.0, content=1.0, edges=1.0)
    judge = Judge(random_teacher(), settings)
    terms = judge(result, content, style, torch.full((len(result),), strength))
    return {name: float(value) for name, value in terms.items()}


def test_the_judge_measures_what_evaluate_measures() -> None:
    content, style, result = waves(48, 48), waves(48, 48, 2.0).flip(2), waves(48, 48, 1.0)
    terms = judged(result, content, style)
    of = [[Moments.of(f) for f in random_teacher()(image, 4)] for image in (result, style)]
    roots_of = [(gram_distance(a, b) + 0.01) ** 0.5 for a, b in zip(*of, strict=True)]
    assert terms["gram"] == pytest.approx(sum(roots_of) / 4, rel=1e-3)
    assert 1 - terms["edges"] == pytest.approx(edge_similarity(result, content), abs=2e-3)
    least = 0.01**0.5
    same = judged(style, style, style)
    assert same["gram"] == pytest.approx(least, rel=1e-3)
    assert same["covariance"] == pytest.approx(least, rel=1e-3)
    assert same["content"] == pytest.approx(0, abs=1e-6)
    assert same["edges"] == pytest.approx(0, abs=1e-5)
    assert judged(content, content, style, strength=0.0)["gram"] == pytest.approx(least, rel=1e-3)


def test_a_grid_is_told_from_noise() -> None:
    noise = torch.rand(4, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    assert float(grid_strength(noise)) == pytest.approx(1, abs=0.15)
    woven = noise + 0.2 * torch.rand(8, 8, generator=torch.Generator().manual_seed(1)).repeat(24, 24)
    assert float(grid_strength(woven)) > 3
    assert float(grid_strength(waves(192, 192))) < 1


def test_flattened_pictures_are_soft_and_keep_their_colours() -> None:
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    assert torch.equal(flattened(images, 0.0, rng), images)
    soft = flattened(images, 1.0, rng)
    torch.testing.assert_close(soft.mean((2, 3)), images.mean((2, 3)), atol=0.03, rtol=0)
    assert float(soft.diff(dim=3).abs().mean()) < 0.1 * float(images.diff(dim=3).abs().mean())


def test_the_loss_falls() -> None:
    """On one batch, over and over."""
    net, settings = lively(), StylisedSettings.model_validate({**SMALL, "grain": 0.0})
    cascade = Cascade({level: net.decoders[level].requires_grad_() for level in MAPPED})
    judge = Judge(random_teacher(), settings)
    content, style = (torch.cat([waves(32, 32, k + p) for k in range(4)]) for p in (0.0, 0.5))
    descent, totals = torch.optim.Adam(cascade.parameters(), 2e-3), []
    for _ in range(20):
        terms = losses(net.vgg(), cascade, judge, content, style, settings, torch.Generator().manual_seed(1))
        assert set(terms) == {
            *("gram", "covariance", "content", "edges", "grid"),
            *("identity", "tint", "reconstruction", "cycle"),
        }
        total = torch.stack(list(terms.values())).sum()
        descent.zero_grad()
        total.backward()
        descent.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.8 * totals[0]


def test_a_stopped_run_goes_on_bit_for_bit(
    model: Path, pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    whole, broken = (run_of(model, pictures, teacher, tmp_path / name) for name in ("whole", "broken"))
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=5)
    train(run_of(model, pictures, teacher, tmp_path / "broken"), resume=True)
    start = tiny_tensors()
    for level in MAPPED:
        one, two = (run.folder / f"decoder{level}.safetensors" for run in (whole, broken))
        assert same_weights(one, two)
        tensors, header = read_weights(one)
        assert header["trained"] == "6 steps on stylised pictures"
        assert header["crop_px"] == "32"
        key = f"decoder{level}.inv1_1.weight"
        assert not torch.equal(tensors[key], start[key].half().float())
    assert whole.curve.read_text() == broken.curve.read_text()
    with whole.curve.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "2", "4", "6"]
    assert all(float(row["identity"]) > 0 and float(row["gram_wct"]) > 0 for row in rows)
    state = torch.load(whole.checkpoint, weights_only=True)
    average = state["average"]["module.decoders.4.inv4_1.weight"]
    written = read_weights(whole.folder / "decoder4.safetensors")[0]["decoder4.inv4_1.weight"]
    assert torch.equal(average, written), "the average is what is written"


def test_the_command_from_a_model_to_a_packed_file(
    model: Path, pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    folder, packed = tmp_path / "run", tmp_path / "mine.safetensors"
    common = ("--model", model, "--data", pictures, "--teacher", teacher, "--steps", 2)
    command(folder, *common)
    assert "add --resume" in command(folder, *common, code=2)
    assert "is finished already" in command(folder, *common, "--resume")
    assert "was made with seed 0, not 3" in command(folder, *common, "--resume", "--seed", 3, code=2)
    run_cli("train", "pack", folder, "--data", pictures, "-o", packed)
    before, after = load_model(str(model)), load_model(str(packed))
    assert sorted(after.decoders) == [1, 2, 3, 4, 5]
    assert after.photo is not None
    states = [net.decoders[5].state_dict() for net in (before, after)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert "stylised pictures" in after.provenance["training"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "--stylised needs --teacher"),
        (("--level", 3), "--level does not go with --stylised"),
        (("--teacher", "TEACHER", "--set", "ift=0", "--set", "wct=0", "--set", "ot=0", "--set", "adain=0"),
         "one of the odds ift, wct, ot and adain"),
        (("--teacher", "SHALLOW"), "ends before relu4_1"),
        (("--teacher", "TEACHER"), "has no decoder of level 4 to start from"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_the_work(
    pictures: Path, teacher: Path, tmp_path: Path, arguments: tuple[object, ...], word: str
) -> None:
    folder = tmp_path / "run"
    decoders = {level: Decoder(WIDTHS, level) for level in (1, 2, 3)}
    if "SHALLOW" in arguments:
        decoders[4] = Decoder(WIDTHS, 4)
    parts = {"encoder": Encoder(WIDTHS), **{f"decoder{level}": d for level, d in decoders.items()}}
    for name, part in parts.items():
        write_exact(
            folder / f"{name}.safetensors", {f"{name}.{k}": v for k, v in part.state_dict().items()}, {}
        )
    before = sorted(path.name for path in folder.iterdir())
    shallow = tmp_path / "shallow.safetensors"
    write_exact(shallow, Encoder((4, 6)).state_dict(), {})
    files = {"TEACHER": teacher, "SHALLOW": shallow}
    line = [files.get(str(argument), argument) for argument in arguments]
    assert word in command(folder, "--data", pictures, *line, code=2)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_styles_and_teacher_are_refused_without_stylised(pictures: Path, tmp_path: Path) -> None:
    result = run_cli("train", "decoder", tmp_path / "run", "--data", pictures, "--styles", pictures)
    assert result.exit_code == 2
    assert "add --stylised" in result.stderr


def test_settings_without_a_style_loss_are_refused() -> None:
    with pytest.raises(UsageError, match="one of gram and covariance"):
        resolve(StylisedSettings, load("cascade"), ["gram=0", "covariance=0"], {})
