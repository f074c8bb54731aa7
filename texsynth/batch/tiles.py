"""How large the tiles of a stylization may be, so that it stays within its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from texsynth.batch.memory import available_bytes, size_text
from texsynth.errors import MemoryExhaustedError
from texsynth.models.registry import Model
from texsynth.pipelines.tiling import autoencoder_reach, photo_reach
from texsynth.settings import MEMORY_LIMIT, RunSettings, StylizeSettings

STEP_PX = 64
"""Sides of tiles are multiples of this."""

UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

BASE_BYTES = 380 << 20
"""Of the program, torch and `lite`, and of what convolutions need at any size; measured, as all of these."""

PICTURE_BYTES = {"artistic": 64, "photo": 28}
"""Per pixel of the picture, for what is kept of it whole while networks work."""

FINISH_BYTES = {"artistic": 64, "photo": 100}
"""Per pixel of the picture after that; edge-aware finishing takes most."""

COLOR_BYTES, PART_BYTES = 36, 48
"""Per pixel of the picture, where its colours are kept, and for each part with a mask."""

FEATURE_COPIES = {"artistic": 3.1, "photo": 3.6}
"""Features of level 1 that would take as much memory as the networks do at once."""

STYLE_PIXELS, STYLE_TILE_PX = 1 << 22, 1024
"""Styles of more pixels are measured in tiles, whatever the memory: their moments never depend on it."""


@dataclass(frozen=True)
class Forecast:
    """Memory that a stylization takes."""

    height: int
    width: int
    halo: int
    kept: int
    """Bytes of whole pictures while networks work."""
    finish: int
    """Bytes of whole pictures after that."""
    per_pixel: float
    """Bytes of features for a pixel of a tile with its halo."""

    @classmethod
    def of(cls, height: int, width: int, model: Model, settings: StylizeSettings, masks: int = 0) -> Forecast:
        """masks: number of parts that have one."""
        mode = settings.mode
        photo = mode == "photo"
        halo = photo_reach(model.photo_decoder()) if photo else autoencoder_reach(max(settings.levels))
        more = masks * PART_BYTES + settings.preserve_color * COLOR_BYTES
        features = FEATURE_COPIES[mode] * model.encoder.widths[0] * model.dtype.itemsize
        pixels = height * width
        kept, finish = PICTURE_BYTES[mode] + more, FINISH_BYTES[mode] + more
        return cls(height, width, halo, pixels * kept, pixels * finish, features)

    def bytes(self, tile: int | None) -> int:
        """With tiles of this side in pixels; None for the whole picture at once."""
        sides = [n if tile is None else min(n, tile + 2 * self.halo) for n in (self.height, self.width)]
        return BASE_BYTES + max(self.kept + round(sides[0] * sides[1] * self.per_pixel), self.finish)

    def largest(self, limit: int) -> int | None:
        """Side of the largest tiles that stay within `limit` bytes, 0 when none do, None without tiles."""
        if self.bytes(None) <= limit:
            return None
        longest = -(-max(self.height, self.width) // STEP_PX) * STEP_PX
        fitting = (side for side in range(longest, 0, -STEP_PX) if self.bytes(side) <= limit)
        return next(fitting, 0)


def chosen_tile(
    name: object,
    size: tuple[int, int],
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    masks: int = 0,
) -> int | None:
    """Side in pixels of the tiles for a picture of `size` (height, width); None to take it as a whole.

    run.tile decides, or else run.memory_limit, or else half of what is free. masks: number of parts that have
    one. name: what the message of the MemoryExhaustedError calls a picture that needs more even in tiles.
    """
    if run.tile is not None or settings.transform.name == "optimize":
        return run.tile or None
    free = free_bytes(model.device)
    limit = allowed_bytes(run.memory_limit, lambda: free)
    if limit is None:
        return None
    forecast = Forecast.of(*size, model, settings, masks)
    tile = forecast.largest(limit)
    if tile == 0 and run.memory_limit is None and free is not None and forecast.bytes(STEP_PX) <= free:
        tile = STEP_PX
    if tile == 0:
        least = size_text(forecast.bytes(STEP_PX))
        there = f"{size_text(free or limit)} are free;"
        if run.memory_limit is not None:
            there = f"{size_text(limit)} are allowed; raise --memory-limit or"
        raise MemoryExhaustedError(
            f"{name}: {size[1]} x {size[0]} pixels need {least} of memory even in small tiles, and {there} "
            f"reduce it with --max-side"
        )
    return tile


def style_tile(height: int, width: int, scale: float) -> int | None:
    """Side in pixels of the tiles that a style is measured in; None for all at once."""
    return STYLE_TILE_PX if height * width * scale**2 > STYLE_PIXELS else None


def allowed_bytes(limit: str | None, free: Callable[[], int | None]) -> int | None:
    """What `--memory-limit` allows, by default half of what is free; None where nobody says what is free."""
    found = MEMORY_LIMIT.fullmatch(limit or "50%")
    assert found, "settings have checked it"
    if found[2] != "%":
        return int(float(found[1]) * UNITS[found[2] or ""])
    there = free()
    return None if there is None else int(there * float(found[1]) / 100)


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free on `device`."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes()
