"""Estimates of memory, and the tiles that a stylization needs to stay within it."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from texsynth.config.settings import MEMORY_LIMIT, RunSettings, StylizeSettings
from texsynth.errors import MemoryExhaustedError, is_exhaustion

if TYPE_CHECKING:
    import torch

    from texsynth.models.registry import Model

STEP_PX = 64  # Sides of tiles are multiples of this

UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

BASE_BYTES = 380 << 20
"""Bytes of the program, torch and `lite`, and of what convolutions always need; measured, as all of these."""

PICTURE_BYTES = {"artistic": 56, "photo": 42}
"""Bytes per pixel of the picture, for what is kept of it whole while networks work."""

FINISH_BYTES = {"artistic": 56, "photo": 70}
"""Bytes per pixel of the picture after that; edge-aware finishing takes most."""

COLOR_BYTES, PART_BYTES = 36, 48
"""Bytes per pixel of the picture, where its colours are kept, and for each part with a mask."""

FEATURE_COPIES = {"artistic": 3.1, "photo": 3.6}
"""Features of level 1 that would take as much memory as the networks do at once."""

STROKES_BYTES, STROKES_COPIES = 120, 20.0
"""Bytes per pixel of the picture while its strokes are finished, and features of level 1 in float32 that
would take as much memory as the networks then do, their derivatives and what lies idle of it included."""

WAVELET_COPIES = 8.9
"""The same for a photo decoder that unpools wavelets, measured with the larger of the two kinds."""

DESCENT_BYTES, DESCENT_WIDTH_BYTES = 650, 64
"""Bytes per pixel of a descent on the picture: history of L-BFGS, and for each channel of level 1."""

FRAME_BYTES = 26
"""Bytes per pixel of each frame of a take that is measured: content, opacity and result so far."""

SPILLED_BYTES = 350 << 20
"""Bytes for the strips of pictures that are kept in files, read, written and encoded."""

SPILLED_MASK_BYTES = 16
"""Bytes per pixel of such a picture and part with a mask, which stays in memory."""

SPILLED_TILE_PX = 2048  # Larger tiles would hardly be faster there

STYLE_PIXELS, STYLE_TILE_PX = 1 << 22, 1024
"""Styles of more pixels are measured in tiles, whatever the memory: their moments never depend on it."""

STYLE_BYTES, STYLE_COPIES = 30, 3.0
"""Bytes per pixel of a style, and features of level 1 that would take as much as the encoder of styles."""

T = TypeVar("T")


@dataclass(frozen=True)
class TilePlan:
    """The way to work on a picture."""

    tile: int | None = None  # Side of tiles in pixels; None for the whole picture at once
    spilled: bool = False  # Whether pictures are kept in scratch files instead of memory


@dataclass(frozen=True)
class MemoryEstimate:
    """The way to work on a picture, and the bytes of memory that it takes."""

    tiles: TilePlan
    bytes: int

    def __str__(self) -> str:
        """Return the estimate for people."""
        tiles = f", in tiles of {self.tiles.tile} pixels" if self.tiles.tile else ""
        return size_text(self.bytes) + tiles + (", with scratch files" if self.tiles.spilled else "")


@dataclass(frozen=True)
class MemoryForecast:
    """The memory that a stylization takes."""

    height: int
    width: int
    halo: int
    kept: int  # Bytes of whole pictures while networks work
    finish: int  # Bytes of whole pictures after that
    spilled: int  # Bytes of whole pictures where these are in files
    per_pixel: float  # Bytes of features for a pixel of a tile with its halo
    descent: int = 0  # Bytes of a descent on the picture itself, which works on all of it

    @classmethod
    def of(
        cls, height: int, width: int, model: Model, settings: StylizeSettings, masks: int = 0, frames: int = 0
    ) -> MemoryForecast:
        """masks: number of parts that have one. frames: number of those that are measured for it."""
        from texsynth.models.wavelets import WaveDecoder
        from texsynth.pipelines.stroke_scale import size_for_strokes
        from texsynth.pipelines.tiling import autoencoder_reach, photo_reach

        if settings.mode == "artistic" and settings.style_scale < 1:
            # Small strokes are painted on an enlarged picture.
            height, width = size_for_strokes((height, width), settings.style_scale)
        mode, pixels = settings.mode, height * width
        copies = FEATURE_COPIES[mode]
        if mode == "photo":
            halo = photo_reach(model.encoder, model.photo_decoder())
            if isinstance(model.photo, WaveDecoder):
                copies = WAVELET_COPIES
        else:
            halo = autoencoder_reach(model.encoder, model.decoder(max(settings.levels)))
        descends = settings.transform.name == "optimize"
        kept, per_cell = PICTURE_BYTES[mode], copies * model.dtype.itemsize
        if settings.finish.steps:
            kept, per_cell = max(kept, STROKES_BYTES), max(per_cell, STROKES_COPIES * 4)
        more = (
            masks * (1 + frames) * PART_BYTES + frames * FRAME_BYTES + settings.preserve_color * COLOR_BYTES
        )
        return cls(
            height,
            width,
            halo,
            kept=pixels * (kept + more),
            finish=pixels * (FINISH_BYTES[mode] + more),
            spilled=SPILLED_BYTES + pixels * masks * (1 + frames) * SPILLED_MASK_BYTES,
            per_pixel=per_cell * model.encoder.widths[0],
            descent=pixels * (DESCENT_BYTES + DESCENT_WIDTH_BYTES * model.encoder.widths[0]) * descends,
        )

    def bytes(self, tiles: TilePlan) -> int:
        """Return the bytes that the work takes with `tiles`."""
        reach = None if tiles.tile is None else tiles.tile + 2 * self.halo
        height, width = (n if reach is None else min(n, reach) for n in (self.height, self.width))
        networks = round(height * width * self.per_pixel)
        if tiles.spilled:
            return BASE_BYTES + self.spilled + max(networks, self.descent)
        return BASE_BYTES + max(self.kept + networks, self.finish, self.descent)

    def best_plan(self, limit: int, *, spilled: bool) -> TilePlan | None:
        """Return the plan with the largest tiles within `limit` bytes; None when there is none.

        spilled: pictures may be kept in files.
        """
        longest = -(-max(self.height, self.width) // STEP_PX) * STEP_PX
        plans = [TilePlan()]
        for side in range(longest, 0, -STEP_PX):
            plans.append(TilePlan(side))
            # Files, where they allow for larger tiles, up to what is worth it.
            if spilled and side <= SPILLED_TILE_PX:
                plans.append(TilePlan(side, spilled=True))
        return next((tiles for tiles in plans if self.bytes(tiles) <= limit), None)


def plan_tiles(
    name: object,
    size: tuple[int, int],
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    *,
    masks: int = 0,
    frames: int = 0,
    can_spill: bool = False,
) -> TilePlan:
    """Choose the way to work on a picture of `size` (height, width).

    run.tile decides on the tiles, or else run.memory_limit, or else half of what is free. masks: number of
    parts that have one. frames: number of those that are measured for it. can_spill: whether files may be
    used. name: what the message of the MemoryExhaustedError calls a picture that needs more even in tiles.
    """
    free = free_bytes(model.device)
    limit = allowed_bytes(run.memory_limit, free)
    forecast = MemoryForecast.of(*size, model, settings, masks, frames)
    if run.tile is not None:
        tiles = TilePlan(run.tile or None)
        return TilePlan(tiles.tile, can_spill and limit is not None and forecast.bytes(tiles) > limit)
    if limit is None:
        return TilePlan()
    plan = forecast.best_plan(limit, spilled=can_spill)
    if plan is None and run.memory_limit is None and free is not None:
        plan = forecast.best_plan(free, spilled=can_spill)
        # Half of what is free is not enough, so as little as possible.
        plan = plan and TilePlan(STEP_PX, plan.spilled)
    if plan is None:
        least = size_text(min(forecast.bytes(TilePlan(STEP_PX, where)) for where in {False, can_spill}))
        there = f"{size_text(free or limit)} are free;"
        if run.memory_limit is not None:
            there = f"{size_text(limit)} are allowed; raise --memory-limit or"
        raise MemoryExhaustedError(
            f"{name}: {size[1]} x {size[0]} pixels need {least} of memory even in small tiles, and {there} "
            f"reduce it with --max-side{', or set finish.steps to 0' if settings.finish.steps else ''}"
        )
    return plan


def retry_with_smaller_tiles(
    attempt: Callable[[TilePlan], T], tiles: TilePlan, size: tuple[int, int], *, automatic: bool
) -> tuple[T, TilePlan]:
    """Return the result of `attempt`, with smaller tiles when memory runs out, and the tiles.

    A forecast may be wrong, most of all on a GPU that others use too. automatic: whether the tiles may be
    changed; those that a user has set may not. Raises what `attempt` raises.
    """
    while True:
        try:
            return attempt(tiles), tiles
        except (MemoryError, RuntimeError) as error:
            side = tiles.tile or max(size)
            if not automatic or not is_exhaustion(error) or side <= STEP_PX:
                raise
        # Outside of the handler, which holds on to everything that was computed.
        tiles = TilePlan(max(STEP_PX, side // 2 // STEP_PX * STEP_PX), tiles.spilled)
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def style_tile(height: int, width: int) -> int | None:
    """Return the side in pixels of the tiles that a style is measured in; None for all at once."""
    return STYLE_TILE_PX if height * width > STYLE_PIXELS else None


def check_style(name: object, size: tuple[int, int], model: Model, run: RunSettings) -> None:
    """Raise MemoryExhaustedError for a style of `size` (height, width) that a given limit has no room for.

    It is not measured in smaller tiles, since what it gives must not depend on the limit. A limit that the
    program itself does not hold is left to the content's own plan.
    """
    allowed = run.memory_limit and allowed_bytes(run.memory_limit, free_bytes(model.device))
    needed = style_bytes(*size, model)
    if allowed and BASE_BYTES <= allowed < needed:
        raise MemoryExhaustedError(
            f"{name}: {size[1]} x {size[0]} pixels need {size_text(needed)} of memory to be measured as a "
            f"style, and {size_text(allowed)} are allowed; raise --memory-limit, or give a smaller picture "
            f"or a card of it"
        )


def style_bytes(height: int, width: int, model: Model) -> int:
    """Estimate the bytes of memory that it takes to measure a style."""
    from texsynth.pipelines.tiling import encoder_reach

    side, reach = style_tile(height, width), encoder_reach(model.encoder, len(model.encoder.widths))
    rows, columns = (n if side is None else min(n, side + 2 * reach) for n in (height, width))
    features = rows * columns * STYLE_COPIES * model.dtype.itemsize * model.encoder.widths[0]
    return BASE_BYTES + height * width * STYLE_BYTES + round(features)


def allowed_bytes(limit: str | None, free: int | None) -> int | None:
    """Return what `--memory-limit` allows, by default half of what is free; None where that is not known."""
    parts = MEMORY_LIMIT.fullmatch(limit or "50%")
    assert parts, "settings have checked it"
    if parts[2] != "%":
        return int(float(parts[1]) * UNITS[parts[2] or ""])
    return None if free is None else int(free * float(parts[1]) / 100)


def free_bytes(device: torch.device) -> int | None:
    """Return the bytes of memory that are free on `device`."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes()


EXPAND_BASE_BYTES = 300 << 20  # Bytes of the program, torch and the networks, for expansions

BYTES_PER_PIXEL = {"noise": 12, "transposer": 100, "patch": 120, "optimize": 40, "auto": 120}
"""Bytes per pixel of an output while a stage works, about four fifths of what was measured; `optimize` works
in tiles, and whatever `auto` chooses has patches."""

NOISE_BYTES_PER_PIXEL = 500
"""The same of `optimize` alone, which starts from noise and takes features of the whole output."""

SIBLING_BYTES_PER_PIXEL = 36

CGROUP = Path("/sys/fs/cgroup")


def check_memory(
    name: object, width: int, height: int, *, method: str, network: int = 0, siblings: int = 0, cure: str
) -> None:
    """Refuse an output that cannot fit. MemoryExhaustedError with the sizes and the `cure`.

    network: bytes per pixel of the output that the transposer stage takes, where it is more than the method.
    The estimate is a lower bound: what passes may still turn out too large, what does not pass is hopeless.
    """
    available = available_bytes()
    # The stage that takes most decides.
    most = max(network, *(BYTES_PER_PIXEL[stage] for stage in method.split("+")))
    per_pixel = (NOISE_BYTES_PER_PIXEL if method == "optimize" else most) + siblings * SIBLING_BYTES_PER_PIXEL
    needed = EXPAND_BASE_BYTES + width * height * per_pixel
    if available is not None and needed > available:
        raise MemoryExhaustedError(
            f"{name}: an output of {width} x {height} pixels needs at least {size_text(needed)} of memory, "
            f"and {size_text(available)} are free; {cure}"
        )


def available_bytes() -> int | None:
    """Return the bytes that this process may still take, within its container; None where not known."""
    return min((limit for limit in (_system(), _container()) if limit is not None), default=None)


def _system() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
        # Without that line, what is unused is less than what is available, but the best there is.
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def _container() -> int | None:
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)


def return_freed_memory() -> None:
    """Return memory that was freed to the system, where the C library does not do so by itself.

    It keeps heaps for each thread, and pieces of pictures that were freed by another thread than the one that
    goes on with them gather there.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def size_text(count: int) -> str:
    """Write `count` bytes for a message."""
    return f"{count / 2**30:.1f} GiB" if count >= 10 << 30 else f"{count >> 20} MiB"
