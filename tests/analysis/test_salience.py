"""What stands out in a texture."""

import torch

from texsynth.analysis.salience import salience


def test_flat_areas_between_specks_are_finite() -> None:
    """Sums over boxes leave rounding of either sign where nothing changes."""
    for seed in range(4):
        random = torch.Generator().manual_seed(seed)
        specks = torch.rand(1, 1, 256, 256, generator=random) > 0.995
        image = torch.where(specks, torch.rand(1, 3, 256, 256, generator=random), 0.3)
        assert bool(salience(image).isfinite().all())


def test_the_odd_place_stands_out() -> None:
    image = 0.4 + 0.1 * torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    image[..., 40:52, 60:72] = torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1)
    field = salience(image)
    assert float(field[44:48, 64:68].min()) > 2 * float(field[:30, :40].max())
