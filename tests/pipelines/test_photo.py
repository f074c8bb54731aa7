"""Photo mode: what it changes, and what it leaves exactly as it is."""

from __future__ import annotations

import itertools

import pytest
import torch
from helpers.nets import waves

from texsynth.config.settings import (
    AdaINSettings,
    IFTSettings,
    OTSettings,
    StylizeSettings,
    TransformSettings,
)
from texsynth.models.registry import load_model
from texsynth.ops.bilateral_grid import fit_field
from texsynth.pipelines.photo import without_guesses
from texsynth.pipelines.stylize import StyledRegion, fit_style, stylize
from texsynth.transforms import fit_map
from texsynth.transforms.affine import AffineMap
from texsynth.transforms.moments import Moments

LEVEL = 1 / 255


def photo(transform: TransformSettings, *, edge_aware: bool = True) -> StylizeSettings:
    return StylizeSettings(mode="photo", transform=transform, edge_aware=edge_aware)


def chart() -> torch.Tensor:
    """All 27 colours of three steps per channel, in patches of 16 pixels."""
    colours = torch.tensor(list(itertools.product((0.0, 0.5, 1.0), repeat=3)))
    return colours.T.reshape(1, 3, 3, 9).repeat_interleave(16, 2).repeat_interleave(16, 3)


@pytest.mark.parametrize("edge_aware", [True, False])
@pytest.mark.parametrize("transform", [IFTSettings(), OTSettings(), AdaINSettings()], ids=lambda t: t.name)
def test_a_picture_as_its_own_style_stays_as_it_is(transform: TransformSettings, edge_aware: bool) -> None:
    model, settings = load_model("lite"), photo(transform, edge_aware=edge_aware)
    for content in (chart(), waves(64, 96), waves(192, 48, 1.0)):
        out = stylize(content, fit_style(content, model, settings), model, settings)
        assert float((out - content).abs().max()) < LEVEL
        assert float((out - content).mean((0, 2, 3)).abs().max()) < 0.1 * LEVEL


@pytest.mark.parametrize("edge_aware", [True, False])
def test_grey_stays_grey_with_a_grey_style_and_takes_the_colour_of_another(edge_aware: bool) -> None:
    model, settings = load_model("lite"), photo(IFTSettings(), edge_aware=edge_aware)
    content, style = (picture[:, :1].expand(-1, 3, -1, -1) for picture in (waves(64, 80), waves(70, 50, 2.0)))
    sepia = style * torch.tensor([1.0, 0.8, 0.5]).view(1, 3, 1, 1)

    def chroma(other: torch.Tensor) -> float:
        out = stylize(content, fit_style(other, model, settings), model, settings)
        return float((out.amax(1) - out.amin(1)).mean())

    assert chroma(style) < 0.1 * LEVEL
    assert chroma(sepia) > 0.1


@pytest.mark.parametrize("size", [(1, 12), (3, 4), (8, 8), (5, 20)])
def test_a_few_pixels_get_the_colours_of_the_style_and_no_wild_ones(size: tuple[int, int]) -> None:
    model, settings = load_model("lite"), photo(IFTSettings())
    rng = torch.Generator().manual_seed(3)
    content = torch.rand(1, 3, *size, generator=rng)
    style = 0.5 + 0.2 * (waves(64, 64, 1.0) - 0.5)
    out = stylize(content, fit_style(style, model, settings), model, settings)
    assert float((out - style.mean((0, 2, 3), keepdim=True)).mean((0, 2, 3)).abs().max()) < 0.1
    assert float(out.std()) < 0.7 * float(content.std())


def test_a_mask_of_a_few_pixels_gets_no_wild_colours() -> None:
    model, settings = load_model("lite"), photo(IFTSettings())
    content, style = waves(96, 96), 0.5 + 0.2 * (waves(64, 64, 1.0) - 0.5)
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., 40:43, 40:44] = 1
    region = StyledRegion((fit_style(style, model, settings),), (1.0,), mask)
    out = stylize(content, [region], model, settings)
    inside = out[:, :, 40:43, 40:44].flatten(2)
    assert torch.equal(out * (1 - mask), content * (1 - mask))
    assert float((inside.mean((0, 2)) - style.mean((0, 2, 3))).abs().max()) < 0.1


def test_the_field_takes_from_the_network_only_what_it_changes() -> None:
    """A network that loses half of all colour, and a change of light: the content's own colour counts."""
    content = waves(60, 90)
    plain = 0.25 + 0.5 * content
    field = fit_field(content, 0.8 * plain + 0.05, (60, 90), plain=plain)
    torch.testing.assert_close(field.apply(content), 0.8 * content + 0.05, atol=5e-3, rtol=0)
    # Where pixels do not count, they may be anything.
    weight = torch.ones(1, 1, 60, 90)
    weight[..., 45:] = 0
    changed = 0.8 * content + 0.05
    field = fit_field(content, torch.where(weight > 0, changed, 1 - content), (60, 90), weight=weight)
    torch.testing.assert_close(field.apply(content)[..., :40], changed[..., :40], atol=5e-3, rtol=0)


def test_a_map_from_few_cells_keeps_their_mean_and_their_contrast() -> None:
    rng = torch.Generator().manual_seed(0)
    style = Moments.of(torch.randn(1, 8, 30, 30, generator=rng) * 2 + 1)
    for cells in (1, 3, 100):
        own = Moments.of(torch.randn(1, 8, 1, cells, generator=rng))
        fitted = fit_map(OTSettings(), own, style)
        shrunk = without_guesses(fitted, own)
        torch.testing.assert_close(
            shrunk.matrix @ own.mean + shrunk.offset, fitted.matrix @ own.mean + fitted.offset
        )
        if cells == 100:
            assert torch.equal(shrunk.matrix, fitted.matrix)
        elif cells > 1:
            away = shrunk.matrix - shrunk.matrix.diagonal().mean() * torch.eye(8)
            assert float(away.norm()) < 0.5 * float((fitted.matrix - torch.eye(8)).norm())
    same = without_guesses(AffineMap.identity(8), own)
    torch.testing.assert_close(same.matrix, torch.eye(8, dtype=torch.float64))
