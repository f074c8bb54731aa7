"""Maps of a surface from one photograph of it, by classical means."""

from dataclasses import dataclass

import torch
from torch import Tensor

from texsynth.analysis import relief
from texsynth.analysis.seamless import is_seamless
from texsynth.config.map_settings import MapsSettings
from texsynth.ops.color import luma
from texsynth.pipelines.progress import OnStep, Step, silent

STEPS = 4  # Parts of the work that progress counts


@dataclass(frozen=True)
class SurfaceMaps:
    """What a photograph suggests about the surface it shows; tensors have values in [0, 1]."""

    height: Tensor  # (1, 1, H, W)
    normal: Tensor  # (1, 3, H, W), the vectors x, y, z as (v + 1) / 2
    roughness: Tensor  # (1, 1, H, W)
    ao: Tensor  # (1, 1, H, W), 1 where nothing hides the sky
    tileable: bool  # Whether they are periodic
    depth_px: float  # Height in pixels from 0 to 1


@torch.no_grad()
def surface_maps(image: Tensor, settings: MapsSettings, on_step: OnStep = silent) -> SurfaceMaps:
    """Guess the maps of the surface in `image`, (1, 3, H, W) sRGB in [0, 1], sides of at least 16.

    The normals are exactly the gradient of the height, in pixels, whatever it is worth.
    """
    tileable = is_seamless(image) if settings.tileable is None else settings.tileable
    grid, side = relief.Grid(tileable), min(image.shape[2:])
    lightness = luma(image)[0, 0]
    if settings.even_light:
        lightness = lightness - settings.even_light * relief.slow_light(lightness, grid)
    on_step(Step("light", 1, STEPS))
    parts = relief.bands(lightness, grid)
    surface = sum(
        (weight * part for weight, part in zip(settings.bands, parts, strict=True)), torch.zeros(())
    )
    height = relief.to_height(-surface if settings.invert else surface)
    on_step(Step("height", 2, STEPS))
    depth_px = settings.depth * side
    normal = relief.normals(height, depth_px, grid, green_down=settings.green == "down")
    ao = relief.occlusion(height, depth_px, settings.reach * side, grid)
    on_step(Step("occlusion", 3, STEPS))
    rough = relief.roughness(lightness, max(2, side // 64), *settings.roughness, grid)
    on_step(Step("roughness", 4, STEPS))
    grey = (plane.clamp(0, 1)[None, None] for plane in (height, rough, ao))
    return SurfaceMaps(next(grey), normal[None], next(grey), next(grey), tileable, depth_px)
