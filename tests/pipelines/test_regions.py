"""Regions that content and style share: what belongs together, soft masks, and the resulting colours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cli import make_picture, run_cli
from helpers.nets import tiny_model, waves
from torch import Tensor
from torch.testing import assert_close

import texsynth
from texsynth.analysis.clusters import SharedClusters, shared_clusters
from texsynth.config.settings import StylizeSettings
from texsynth.errors import InputError, UsageError
from texsynth.images import Picture, embedded_settings, read, write
from texsynth.models.registry import load_model
from texsynth.ops.guided_filter import guide_masks
from texsynth.pipelines.rasters import TensorRaster
from texsynth.pipelines.region_styles import regional_style
from texsynth.pipelines.shared_regions import look_over, region_masks, shared_regions
from texsynth.pipelines.stylize import FittedStyle, stylize

PHOTO = StylizeSettings(mode="photo", regions="auto")


def blob(centre: float, count: int, seed: int = 0) -> Tensor:
    return centre + 0.1 * torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def clustered(*pictures: Tensor) -> SharedClusters:
    rng = torch.Generator().manual_seed(0)
    return shared_clusters(pictures, [torch.ones(len(p)) for p in pictures], rng)


def halves(left: tuple[float, ...], right: tuple[float, ...], height: int = 96, width: int = 128) -> Tensor:
    """Two colours side by side, (1, 3, H, W)."""
    image = torch.tensor(left).view(1, 3, 1, 1).repeat(1, 1, height, width)
    image[:, :, :, width // 2 :] = torch.tensor(right).view(1, 3, 1, 1)
    return image


def test_what_is_alike_in_both_pictures_is_one_cluster_whatever_its_share() -> None:
    content = torch.cat([blob(0, 300), blob(5, 100, 1)])
    style = torch.cat([blob(5, 90, 2), blob(0, 10, 3)])
    shared = clustered(content, style)
    assert_close(shared.shares, torch.tensor([[0.75, 0.25], [0.1, 0.9]], dtype=torch.float64))
    assert shared.labels[0].tolist() == [0] * 300 + [1] * 100
    assert shared.labels[1].tolist() == [1] * 90 + [0] * 10
    assert shared.alike.all()


def test_what_only_one_picture_has_joins_the_nearest_cluster() -> None:
    content = torch.cat([blob(0, 200), blob(5, 200, 1)])
    style = torch.cat([blob(0, 100, 2), blob(5, 100, 3), blob(-4, 200, 4)])
    shared = clustered(content, style)
    assert shared.count == 2
    assert_close(shared.shares[1].max(), torch.tensor(0.75, dtype=torch.float64))


def test_a_part_that_is_less_like_the_content_s_than_all_of_the_style_is_not_alike() -> None:
    content = torch.cat([blob(0, 200), blob(5, 200, 1)])
    style = torch.cat([blob(-3, 10, 2), blob(4, 190, 3)])
    shared = clustered(content, style)
    assert shared.alike[0].all()
    part = int(shared.labels[1][0])
    near = (blob(-3, 10, 2).mean(0) - blob(0, 200).mean(0)).norm() <= (
        style.mean(0) - blob(0, 200).mean(0)
    ).norm()
    assert bool(shared.alike[1, part]) == bool(near)


def test_pictures_that_are_flat_or_of_one_pixel_have_one_region() -> None:
    model = tiny_model()
    for content, style in [((1, 1), (1, 1)), ((1, 70), (3, 2)), ((40, 50), (30, 30))]:
        views = [look_over(TensorRaster(torch.full((1, 3, *size), 0.5)), model) for size in (content, style)]
        assert shared_regions(views[0], views[1:]).count == 1


def test_hidden_samples_do_not_count() -> None:
    content, style = torch.cat([blob(0, 200), blob(5, 200, 1)]), torch.cat([blob(0, 100, 2), blob(5, 100, 3)])
    shown = torch.tensor([1.0, 0.0]).repeat_interleave(200)
    shared = shared_clusters([content, style], [shown, torch.ones(200)], torch.Generator().manual_seed(0))
    assert shared.count == 1


def test_masks_add_up_to_one_and_do_not_depend_on_strips() -> None:
    image = waves(61, 83)
    rough = torch.rand(3, 61, 83, generator=torch.Generator().manual_seed(0)).softmax(0)
    field = guide_masks(image, rough, (122, 166), radius=5, flatness=1e-3)
    large = waves(122, 166)
    whole = field.apply(large)
    assert_close(whole.sum(0), torch.ones(122, 166))
    assert 0 <= whole.min() <= whole.max() <= 1
    strips = [field.apply(large[:, :, top : top + 37], top) for top in range(0, 122, 37)]
    assert_close(torch.cat(strips, 1), whole)


def test_a_mask_moves_to_the_contour_of_the_picture() -> None:
    image = halves((0.9, 0.9, 0.9), (0.1, 0.1, 0.1))
    rough = torch.zeros(2, 96, 128)
    rough[0, :, :60], rough[1, :, 60:] = 1, 1  # The contour is at 64
    (left, _) = guide_masks(image, rough, (96, 128), radius=16, flatness=1e-4).apply(image)
    assert left[:, :64].min() > 0.5 > left[:, 64:].max()


def test_each_region_takes_the_colour_of_its_counterpart_where_that_lies_elsewhere() -> None:
    model = load_model("lite")
    content = halves((0.8, 0.85, 0.9), (0.25, 0.2, 0.15))
    style = halves((0.1, 0.3, 0.1), (0.95, 0.8, 0.5))
    out = stylize(content, regional_style(TensorRaster(content), style, model, PHOTO), model, PHOTO)
    for columns, colour in ((slice(8, 56), (0.95, 0.8, 0.5)), (slice(72, 120), (0.1, 0.3, 0.1))):
        assert_close(out[0, :, 8:88, columns].mean((1, 2)), torch.tensor(colour), atol=0.06, rtol=0)


@pytest.mark.parametrize("mode", ["artistic", "photo"])
def test_tiles_give_what_the_whole_gives_and_results_are_the_same_each_time(mode: str) -> None:
    model = tiny_model()
    settings = StylizeSettings.model_validate({"mode": mode, "regions": "auto"})
    content, style = halves((0.9,) * 3, (0.1,) * 3, 120, 150), halves((0.2,) * 3, (0.8,) * 3, 90, 110)
    content, style = 0.9 * content + 0.1 * waves(120, 150), 0.9 * style + 0.1 * waves(90, 110, 1.0)
    regions = [regional_style(TensorRaster(content), style, model, settings) for _ in range(2)]
    assert not isinstance(regions[0], FittedStyle)
    whole, again = (stylize(content, region, model, settings) for region in regions)
    assert torch.equal(whole, again)
    assert_close(stylize(content, regions[0], model, settings, tile=48), whole, atol=2e-4, rtol=0)


def test_masks_of_a_picture_in_memory_are_those_of_its_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = TensorRaster(waves(120, 150))
    view = look_over(picture, tiny_model())
    labels = (torch.arange(len(view.opacity)) % 7 > 3).long()
    whole = region_masks(picture, view, labels, 2)
    monkeypatch.setattr("texsynth.pipelines.rasters.STRIP_PIXELS", 1500)
    assert_close(region_masks(picture, view, labels, 2), whole)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, sky, ground in (("cat", 230, 60), ("oil", 160, 20)):
        pixels = np.full((72, 96, 3), ground, np.uint8)
        pixels[:40] = sky
        pixels[:, :, 2] //= 2
        write(Picture(pixels), tmp_path / f"{name}.png")
    return tmp_path


FLAGS = ["--photo", "--regions", "auto", "--dtype", "float32"]


def test_the_command_says_which_regions_there_are_and_replays(place: Path) -> None:
    run = run_cli("stylize", "cat.png", "oil.png", "-o", "a.png", "-v", *FLAGS)
    assert run.exit_code == 0, run.stderr
    assert " regions " in run.stderr
    assert "of the style" in run.stderr
    assert "regions: auto" in embedded_settings(Path("a.png"))
    assert run_cli("replay", "a.png", "-o", "b.png").exit_code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    plain = run_cli("stylize", "cat.png", "oil.png", "-o", "c.png", "--json", *FLAGS, "--regions", "off")
    assert "regions" not in json.loads(plain.stdout)
    one = texsynth.stylize("cat.png", "oil.png", photo=True, regions="auto", dtype="float32")
    assert (np.asarray(one) == read(Path("a.png")).rgb).all()


def test_several_styles_are_mixed_or_laid_over_each_other_by_region(place: Path) -> None:
    make_picture(place / "wave.png", seed=3, height=64, width=64)
    flags = ["--set", "regions=auto", "--dtype", "float32", "--photo"]
    styles = ["--style", "oil.png", "--style", "wave.png"]
    for extra in ([], ["--sequential"]):
        run = run_cli("blend", "cat.png", *styles, *extra, "-o", "a.png", "-f", *flags)
        assert run.exit_code == 0, run.stderr
    assert run_cli("replay", "a.png", "-o", "b.png").exit_code == 0
    assert (read(Path("a.png")).rgb == read(Path("b.png")).rgb).all()


def test_what_cannot_go_with_regions_is_refused(place: Path) -> None:
    assert run_cli("card", "make", "oil.png", "-o", "oil.card").exit_code == 0
    card = run_cli("stylize", "cat.png", "oil.card", "-o", "a.png", *FLAGS)
    assert card.exit_code == InputError.exit_code
    assert "oil.card is a card, which has no pixels" in card.stderr
    masked = run_cli(
        "blend", "cat.png", "--style", "oil.png", "--mask", "cat.png", "--set", "regions=auto", "-o", "a.png"
    )
    assert masked.exit_code == UsageError.exit_code
    assert "use regions off" in masked.stderr
    assert not Path("a.png").exists()
