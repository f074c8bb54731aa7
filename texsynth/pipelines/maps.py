"""Maps of a surface from one photograph of it, by classical means."""

from dataclasses import dataclass

import torch
from torch import Tensor

from texsynth.analysis import relief
from texsynth.analysis.seamless import is_seamless
from texsynth.config.map_settings import MapsSettings
from texsynth.ops.color import luma
from texsynth.pipelines.progress import OnStep, Step, parts, silent

TIMES = (2.0, 1.0, 4.0, 1.0)  # That light, height, occlusion and roughness take, in any unit


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
    light, shape, sky, rest = parts(on_step, *TIMES)
    tileable = is_seamless(image) if settings.tileable is None else settings.tileable
    grid, side = relief.Grid(tileable), min(image.shape[2:])
    lightness = luma(image)[0, 0]
    if settings.even_light:
        lightness = lightness - settings.even_light * relief.slow_light(lightness, grid)
    light(Step("light", 1, 1))
    details = relief.bands(lightness, grid)
    shape(Step("height", 1, 2))
    surface = sum(
        (weight * part for weight, part in zip(settings.bands, details, strict=True)), torch.zeros(())
    )
    height = relief.to_height(-surface if settings.invert else surface)
    shape(Step("height", 2, 2))
    depth_px = settings.depth * side
    normal = relief.normals(height, depth_px, grid, green_down=settings.green == "down")
    ao = relief.occlusion(
        height, depth_px, settings.reach * side, grid,
        lambda done: sky(Step("occlusion", done, relief.DIRECTIONS)),
    )  # fmt: skip
    rough = relief.roughness(lightness, max(2, side // 64), *settings.roughness, grid)
    rest(Step("roughness", 1, 1))
    grey = (plane.clamp(0, 1)[None, None] for plane in (height, rough, ao))
    return SurfaceMaps(next(grey), normal[None], next(grey), next(grey), tileable, depth_px)
