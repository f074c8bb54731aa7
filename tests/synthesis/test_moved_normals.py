"""Normal maps whose pixels are resampled, against those of the resampled height."""

import numpy as np
import torch
from torch import Tensor

from texsynth.analysis.lattice import Lattice
from texsynth.analysis.map_kinds import map_kind
from texsynth.images import Picture
from texsynth.ops.normals import normal_lengths
from texsynth.synthesis.exemplar import Exemplar
from texsynth.synthesis.warp import turn_exemplar, warp_to_lattice


def height_and_normals(*, green_down: bool) -> tuple[Tensor, Tensor]:
    """A smooth height, and its normals as colours; (1, 1, 97, 97) and (1, 3, 97, 97)."""
    y, x = torch.meshgrid(torch.arange(97.0), torch.arange(97.0), indexing="ij")
    height = 3 * torch.sin(x / 9) * torch.cos((y + 0.5 * x) / 11)
    return height[None, None], normals_of(height, green_down=green_down)


def normals_of(height: Tensor, *, green_down: bool) -> Tensor:
    down, across = torch.gradient(height)
    vectors = torch.stack([-across, -down if green_down else down, torch.ones_like(height)])
    colours: Tensor = (vectors / vectors.norm(dim=0) + 1) / 2
    return colours[None]


def exemplar(*, green_down: bool) -> Exemplar:
    height, normals = height_and_normals(green_down=green_down)
    return Exemplar(
        (height / 10 + 0.5).expand(1, 3, -1, -1),  # Colours are resampled between pixels
        (normals, (height > 0).float(), height / 10 + 0.5),
        normals=(0,),
        green_down=(0,) if green_down else (),
    )


def check_moved(moved: Exemplar, *, green_down: bool) -> None:
    normals, label, height = moved.siblings
    want = normals_of((moved.image[0, 0] - 0.5) * 10, green_down=green_down)
    inner = (..., slice(6, -6), slice(6, -6))
    inside = torch.ones_like(label) if moved.mask is None else moved.mask
    assert float(((normals - want).abs() * inside)[inner].max()) < 0.02
    assert float((normal_lengths(normals) - 1).abs()[inner].max()) < 1e-3
    assert set(label.unique().tolist()) <= {0.0, 1.0}
    before = exemplar(green_down=green_down).siblings[2]
    assert set(height.unique().tolist()) <= set(before.unique().tolist()), "values are copied, not mixed"


def test_turned_normals_are_those_of_the_turned_height() -> None:
    for green_down in (False, True):
        for angle in (17.0, -40.0):
            check_moved(turn_exemplar(exemplar(green_down=green_down), angle), green_down=green_down)


def test_bent_normals_are_those_of_the_bent_height() -> None:
    before = Lattice(torch.tensor([[20.0, 1.0], [2.0, 16.0]], dtype=torch.float64), 1.0)
    after = Lattice(torch.tensor([[18.0, 3.0], [0.5, 17.5]], dtype=torch.float64), 1.0)
    for green_down in (False, True):
        check_moved(warp_to_lattice(exemplar(green_down=green_down), before, after), green_down=green_down)


def test_what_green_means_is_seen() -> None:
    for green_down, kind in ((False, "opengl"), (True, "directx")):
        normals = height_and_normals(green_down=green_down)[1]
        noise = torch.randn(1, 3, 97, 97, generator=torch.Generator().manual_seed(1)) * 0.01
        pixels = ((normals + noise).clamp(0, 1)[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
        assert map_kind(Picture(pixels)) == kind


def test_colours_are_no_normals() -> None:
    rng = np.random.default_rng(0)
    assert map_kind(Picture(rng.integers(0, 256, (40, 40, 3), np.uint8))) == "values"
    sky = (np.array([90, 140, 250]) - rng.integers(0, 60, (40, 40, 3))).astype(np.uint8)
    assert map_kind(Picture(sky)) == "values"
