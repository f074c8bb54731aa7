"""By-example noise: contrast, histogram and period are kept, and nothing comes from where it must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from texsynth.errors import InputError
from texsynth.synthesis import noise as module
from texsynth.synthesis.exemplar import Exemplar
from texsynth.synthesis.noise import gaussian_texture, lay_noise


def grain(height: int = 64, width: int = 80, seed: int = 0) -> Tensor:
    """Skewed, correlated colours, (1, 3, height, width)."""
    rng = torch.Generator().manual_seed(seed)
    grey = torch.rand(1, 1, height, width, generator=rng).square()
    tint = torch.rand(1, 3, height, width, generator=rng)
    return 0.1 + 0.6 * grey + 0.2 * tint


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def everywhere(image: Tensor) -> Tensor:
    return torch.ones(image.shape[2:], dtype=torch.bool)


def make(exemplar: Exemplar, size: tuple[int, int], **options: bool) -> tuple[Tensor, Tensor]:
    """All strips put together: colours and sibling maps, each (c, *size)."""
    strips = list(lay_noise(exemplar, size, rng(), spacing=12, sharpness=2, **options).strips())
    assert [row for rows, _, _ in strips for row in range(rows.start, rows.stop)] == list(range(size[0]))
    return torch.cat([colours for _, colours, _ in strips], 1), torch.cat([maps for _, _, maps in strips], 1)


def test_values_are_gaussian_and_lead_back_to_the_colours() -> None:
    image = grain()
    texture = gaussian_texture(image, everywhere(image))
    values = texture.values.flatten(0, 1)
    assert values.mean(0).abs().max() < 1e-3
    assert values.std(0).numpy() == pytest.approx(np.ones(3), abs=0.01)
    back = texture.colours(values.numpy().copy())
    assert np.abs(back - image[0].flatten(1).numpy()).mean() < 1e-3


def test_grey_has_one_axis_and_flat_areas_stay_flat() -> None:
    image = torch.zeros(1, 3, 20, 20)
    image[..., 5:] = 0.25
    texture = gaussian_texture(image, everywhere(image))
    assert texture.values.shape == (20, 20, 1)
    assert len(texture.values.unique()) == 2
    back = texture.colours(texture.values.flatten(0, 1).numpy().copy())
    assert np.allclose(back, image[0].flatten(1).numpy(), atol=1e-6)


def test_colours_keep_their_distribution_however_much_is_made() -> None:
    image = grain()
    made, _ = make(Exemplar(image), (150, 170))
    for share in (0.02, 0.25, 0.5, 0.75, 0.98):
        was, now = (torch.quantile(x.flatten(1), share, 1) for x in (image[0], made))
        assert now.numpy() == pytest.approx(was.numpy(), abs=0.02)
    before, after = (torch.corrcoef(x.flatten(1)) for x in (image[0], made))
    assert after.numpy() == pytest.approx(before.numpy(), abs=0.06)


def test_a_strip_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = make(Exemplar(grain()), (50, 45))
    monkeypatch.setattr(module, "STRIP_PIXELS", 1)
    assert torch.equal(make(Exemplar(grain()), (50, 45))[0], whole)


@pytest.mark.parametrize("size", [(16, 16), (50, 37), (23, 90)])
def test_on_a_torus_the_pixel_beyond_the_border_is_the_first_one(size: tuple[int, int]) -> None:
    laid = lay_noise(Exemplar(grain()), size, rng(), spacing=12, sharpness=2, wrap=True)
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])[None]
    first = laid.grid.corners(rows, np.zeros((1, 1), np.int64))
    beyond = laid.grid.corners(rows, np.full((1, 1), size[1]))
    top = laid.grid.corners(np.zeros((1, 1), np.int64), columns)
    below = laid.grid.corners(np.full((1, 1), size[0]), columns)
    for one, other in ((first, beyond), (top, below)):
        sums = []
        for corners in (one, other):
            # Corners may change their order where a weight is zero.
            values = [
                np.where(w > 1e-3, laid.texture.values.flatten(0, 1).numpy()[at, 0] * w, 0)
                for at, w in corners
            ]
            sums.append(sum(values))
        assert np.allclose(*sums, atol=0.02)


def test_weights_are_barycentric() -> None:
    laid = lay_noise(Exemplar(grain()), (40, 40), rng(), spacing=12, sharpness=2)
    corners = laid.grid.corners(np.arange(40)[:, None], np.arange(40)[None])
    total = sum(weight for _, weight in corners)
    assert np.allclose(total, 1, atol=1e-4)
    assert min(float(weight.min()) for _, weight in corners) > -1e-4


def test_what_is_masked_is_never_shown() -> None:
    image = grain()
    image[:, 0] = 0.2 * image[:, 0]
    image[0, 0, :, 40:] = 1.0
    mask = torch.zeros(1, 1, 64, 80)
    mask[..., :40] = 1
    made, _ = make(Exemplar(image, mask=mask), (60, 60))
    assert made[0].max() < 0.3
    small = mask.clone()
    small[..., 15:] = 0
    with pytest.raises(InputError, match="has 15 px"):
        make(Exemplar(image, mask=small), (60, 60))


def test_sibling_pixels_are_those_of_the_exemplar() -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    place = torch.stack([rows, columns])[None] / 100
    _, maps = make(Exemplar(grain(), siblings=(place[:, :1], place[:, 1:])), (70, 90))
    assert maps.shape == (2, 70, 90)
    places = (maps * 100).round()
    assert torch.allclose(maps * 100, places, atol=1e-3)
    # Inside of a patch one step in the output is one step in the exemplar.
    steps = places.diff(dim=2)
    assert ((steps[0] == 0) & (steps[1] == 1)).float().mean() > 0.8


def test_one_colour_stays_one_colour() -> None:
    flat = torch.full((1, 3, 32, 32), 0.3)
    made, _ = make(replace(Exemplar(flat), siblings=(flat[:, :1],)), (40, 40))
    assert torch.allclose(made, torch.tensor(0.3), atol=1e-6)
