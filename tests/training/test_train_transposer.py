"""Training of the network of paper 004: data, losses, critic, rescue, exact resume with a critic."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.transposer_runs import SMALL, make_features, make_textures, run_of, train
from safetensors.torch import load_file
from torch import Tensor

from texsynth.config.training import TransposerSettings
from texsynth.errors import InputError
from texsynth.training import transposer as module
from texsynth.training.data import find_pictures, is_held_out
from texsynth.training.transposer import (
    Adversary,
    PatchCritic,
    draw,
    gram_term,
    perceptual_term,
    wasserstein_term,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_textures(tmp_path_factory.mktemp("textures"))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features(tmp_path_factory.mktemp("model"))


def test_targets_are_pieces_of_pictures_flipped_and_turned() -> None:
    """At twice the side there is one piece, seen from one distance."""
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    targets = draw([picture], 12, 16, rng())
    assert targets.shape == (12, 3, 32, 32)
    assert torch.equal(targets, draw([picture], 12, 16, rng()))
    whole = torch.from_numpy(picture).permute(2, 0, 1) / 255
    variants = [y for x in (whole, whole.transpose(1, 2)) for y in (x, x.flip(1), x.flip(2), x.flip(1, 2))]
    kinds = {next(k for k, v in enumerate(variants) if torch.equal(v, target)) for target in targets}
    assert len(kinds) > 3


def test_no_held_out_picture_is_trained_on(textures: Path) -> None:
    assert not any(is_held_out(path) for path in find_pictures(textures, held_out=False))
    assert all(is_held_out(path) for path in find_pictures(textures, held_out=True))


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


def test_a_killed_run_goes_on_bit_for_bit(textures: Path, features: Path, tmp_path: Path) -> None:
    whole, broken = (
        run_of(textures, features, tmp_path / name, steps=4, critic=0.2) for name in ("whole", "broken")
    )
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
    """Turns non-finite at chosen calls of those that learn."""

    bad: set[int]
    calls = 0

    def __call__(
        self, target: Tensor, rng: torch.Generator, *, learn: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        image, terms = super().__call__(target, rng, learn=learn)
        type(self).calls += learn
        if learn and type(self).calls in self.bad:
            terms["perceptual"] = terms["perceptual"] * torch.nan
        return image, terms


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
