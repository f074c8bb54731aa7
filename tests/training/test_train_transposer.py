"""Training of the Transposer: data, losses, critic, rescue, exact resume."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.transposer_runs import OWN_WIDTHS, SMALL, make_features, make_textures, run_of, train
from safetensors.torch import load_file, save_file
from texsynth.models.transposer import Transposer, load_transposer
from texsynth.training.procedural import PATTERNS, texture
from torch import Tensor

from texsynth.config.presets import load, resolve
from texsynth.config.settings import TransposerSettings
from texsynth.errors import InputError
from texsynth.models.registry import load_model
from texsynth.models.weights import read_weights
from texsynth.training import transposer as module
from texsynth.training.data import find_pictures, is_held_out, load_pictures
from texsynth.training.transposer import (
    Adversary,
    Batch,
    PatchCritic,
    TransposerRun,
    draw,
    gram_term,
    perceptual_term,
    wasserstein_term,
)

VARIANTS = [f"transposer-{encoder}-{loss}" for encoder in ("own", "lite") for loss in ("gram", "wasserstein")]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Narrow networks of their own, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(module, "OWN_WIDTHS", OWN_WIDTHS)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_textures(tmp_path_factory.mktemp("textures"))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features(tmp_path_factory.mktemp("model"))


def test_an_exemplar_is_a_crop_of_its_target_at_the_same_scale() -> None:
    pictures = [np.random.default_rng(0).integers(0, 255, (90, 100, 3), dtype=np.uint8)]
    batch = draw(pictures, 6, 16, 0.5, rng())
    assert batch.target.shape == (6, 3, 32, 32)
    assert batch.exemplar.shape == (6, 3, 16, 16)
    for target, exemplar, (y, x) in zip(batch.target, batch.exemplar, batch.origins, strict=True):
        assert torch.equal(exemplar, target[:, y : y + 16, x : x + 16])
    assert len(set(batch.origins)) > 1, "random places"
    again = draw(pictures, 6, 16, 0.5, rng())
    assert torch.equal(batch.target, again.target)
    assert 0 <= batch.target.min() <= batch.target.max() <= 1


def test_no_held_out_picture_is_trained_on(textures: Path) -> None:
    assert not any(is_held_out(path) for path in find_pictures(textures, held_out=False))
    assert all(is_held_out(path) for path in find_pictures(textures, held_out=True))


@pytest.mark.parametrize("kind", PATTERNS)
def test_procedural_textures_are_seeded_endless_and_textured(kind: str) -> None:
    drawn = torch.stack([texture(48, rng(seed), kind) for seed in range(4)])
    assert torch.equal(drawn[0], texture(48, rng(0), kind))
    assert drawn.shape == (4, 3, 48, 48)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert (drawn.std((2, 3)).amax(1) > 0.005).all(), "no plain ones"
    assert not torch.equal(drawn[0], drawn[1])


def test_all_kinds_are_drawn() -> None:
    assert {"bricks", "weave", "stones", "wood", "noise", "reaction-diffusion", "tiling"} == set(PATTERNS)
    generator = rng()
    one, two = texture(32, generator), texture(32, generator)
    assert not torch.equal(one, two)


def maps(seed: int, *sizes: int) -> list[Tensor]:
    return [torch.rand(2, 5, size, size, generator=rng(seed)) for size in sizes]


def test_terms_are_zero_for_equal_pictures_and_free_of_scale() -> None:
    features, goals = maps(0, 16, 8), maps(1, 16, 8)
    settings = TransposerSettings.model_validate(SMALL)

    def terms(a: list[Tensor], b: list[Tensor]) -> list[float]:
        return [
            float(t)
            for t in (gram_term(a, b), wasserstein_term(a, b, settings, rng()), perceptual_term(a, b))
        ]

    assert terms(goals, goals) == [0, 0, 0]
    assert all(term > 0 for term in terms(features, goals))
    assert terms([3 * f for f in features], [3 * f for f in goals]) == pytest.approx(
        terms(features, goals), rel=1e-3
    )


def test_regions_see_where_things_are() -> None:
    f = torch.rand(1, 3, 8, 8, generator=rng())
    f[..., :4] += 2
    whole = TransposerSettings.model_validate(SMALL)
    parts = TransposerSettings.model_validate({**SMALL, "regions": 2})
    assert wasserstein_term([f], [f.flip(3)], whole, rng()) < 1e-6
    assert wasserstein_term([f], [f.flip(3)], parts, rng()) > 0.1


def test_the_critic_is_lipschitz_and_learns() -> None:
    torch.manual_seed(0)
    adversary = Adversary(0, torch.device("cpu"), rate=2e-3)
    real, fake = torch.rand(4, 3, 32, 32, generator=rng()), torch.full((4, 3, 32, 32), 0.5)
    losses = [float(adversary.learn(real, fake)) for _ in range(15)]
    assert losses[-1] < losses[0] - 0.1
    assert adversary.judge(real) < adversary.judge(fake)
    before = {key: value.clone() for key, value in adversary.net.state_dict().items()}
    adversary.learn(torch.full_like(real, torch.nan), fake)
    adversary.net.eval()
    assert all(torch.isfinite(value).all() for value in adversary.net.parameters()), before.keys()
    norms = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
             for layer in PatchCritic().train().layers if isinstance(layer, torch.nn.Conv2d)]  # fmt: skip
    assert all(0.3 < norm.item() < 3 for norm in norms)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_four_variants_train(name: str, textures: Path, features: Path, tmp_path: Path) -> None:
    settings = resolve(TransposerSettings, load(name), [], {})
    encoder, loss = name.split("-")[1:]
    assert settings.encoder == encoder
    assert (settings.gram > 0, settings.wasserstein > 0) == (loss == "gram", loss == "wasserstein")
    run = TransposerRun(
        textures, tmp_path / name, settings.model_copy(update=SMALL), steps=2, features=str(features)
    )
    train(run)
    net = load_transposer(str(run.folder / module.NETWORK))
    assert net.own == (encoder == "own")
    with (run.folder / "transposer.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1"]
    assert {loss, "perceptual", "critic", "residual"} <= set(rows[0])


def test_a_pretrained_encoder_stays_as_it_is(textures: Path, features: Path, tmp_path: Path) -> None:
    run = run_of(textures, features, tmp_path / "run", encoder="lite")
    train(run)
    after, before = load_file(run.folder / module.NETWORK), read_weights(features)[0]
    for key, value in after.items():
        if key.startswith("encoder."):
            torch.testing.assert_close(value, before[key].float())
    assert after["copy.query2.weight"].abs().max() > 0, "the rest learns"
    assert after["residual3.weight"].abs().max() > 0


def test_a_killed_run_goes_on_bit_for_bit(textures: Path, features: Path, tmp_path: Path) -> None:
    whole, broken = (run_of(textures, features, tmp_path / name, steps=4) for name in ("whole", "broken"))
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop_at=3)
    train(broken, resume=True)
    one, two = (torch.load(r.folder / "transposer.checkpoint", weights_only=True) for r in (whole, broken))
    assert one["module"].keys() == two["module"].keys()
    assert all(torch.equal(one["module"][key], two["module"][key]) for key in one["module"])
    a, b = (c["critic_state"]["net"] for c in (one, two))
    assert all(torch.equal(a[key], b[key]) for key in a), "the critic too"
    assert (whole.folder / "transposer.csv").read_text() == (broken.folder / "transposer.csv").read_text()


class Poisoned(module.Losses):
    """Turns non-finite at chosen calls."""

    bad: set[int]
    calls = 0

    def __call__(self, batch: Batch, rng: torch.Generator, *, learn: bool = True) -> dict[str, Tensor]:
        terms = super().__call__(batch, rng, learn=learn)
        type(self).calls += 1
        if type(self).calls in self.bad:
            terms["residual"] = terms["residual"] * torch.nan
        return terms


def test_a_loss_that_is_not_finite_goes_back_to_the_last_good_state(
    textures: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Losses", Poisoned)
    monkeypatch.setattr(Poisoned, "bad", {1, 3, 6}, raising=False)
    monkeypatch.setattr(Poisoned, "calls", 0)
    run = run_of(textures, features, tmp_path / "run", steps=4)
    said = train(run)
    assert sum("not finite" in line and "back to the state after step" in line for line in said) == 3
    net = load_file(run.folder / module.NETWORK)
    assert all(value.isfinite().all() for value in net.values())
    with (run.folder / "transposer.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    assert not any("nan" in value for row in rows for value in row.values())


def test_a_loss_that_is_never_finite_gives_up(
    textures: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Losses", Poisoned)
    monkeypatch.setattr(Poisoned, "bad", set(range(100)), raising=False)
    with pytest.raises(InputError, match="not finite 6 times"):
        train(run_of(textures, features, tmp_path / "run"))


@pytest.mark.slow
def test_training_improves_its_loss(textures: Path, features: Path, tmp_path: Path) -> None:
    """From a bad start, a copy head that mixes all copies; measured on the same crops before and after."""
    only_style = {"perceptual": 0.0, "critic": 0.0, "procedural": 0.0}
    run = run_of(textures, features, tmp_path / "run", 16, **only_style, kernel_rate=3e-3, rate=5e-2)
    blunt = module.begin_transposer(run)
    assert isinstance(blunt, Transposer)
    with torch.no_grad():
        blunt.copy.rounds.fill_(-2.0)
        blunt.copy.fine.fill_(-3.0)
    start = tmp_path / "start.safetensors"
    save_file(blunt.state_dict(), start)
    # One checkpoint, at the end.
    train(replace(run, init=start, save_every=100))
    judge = load_model(str(features)).vgg()
    pictures = load_pictures(find_pictures(textures, held_out=True), 32)
    batch = draw(pictures, 8, 16, 0.0, rng())

    def loss(file: Path) -> float:
        terms = module.Losses(load_transposer(str(file)), judge, None, run.settings)(batch, rng(1))
        return float(terms["wasserstein"])

    assert loss(run.folder / module.NETWORK) < 0.97 * loss(start)
