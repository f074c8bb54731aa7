"""The rules of an expansion, each stated once: sizes, and what its methods can do.

Nothing here imports torch, so the command line refuses before the heavy start-up what the pipelines refuse.
"""

import math
from collections.abc import Sequence
from typing import Literal

from texsynth.config.settings import BORDERS, ExpandSettings
from texsynth.errors import InputError, UsageError

MIN_SIDE = 16
"""Least side in pixels of an exemplar, of an output, and of the free square that a mask must leave."""

COMPLETING_METHODS = ("auto", "patch", "patch+optimize")
"""Methods that can keep a part of a picture as it is."""

Completed = Literal["a hole", "`texsynth tile`"]  # Jobs that keep a part of a picture as it is


def output_size(settings: ExpandSettings, height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of the output of an exemplar of `height` x `width` pixels."""
    if settings.size is not None:
        return settings.size[1], settings.size[0]
    return max(1, round(height * settings.scale)), max(1, round(width * settings.scale))


def check_exemplar_size(width: int, height: int, name: object = "the exemplar") -> None:
    """Raise InputError for an exemplar with a side below MIN_SIDE."""
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{name} has {width} x {height} pixels, but an exemplar needs at least {MIN_SIDE} on both sides; "
            f"crop a larger piece"
        )


def check_same_size(name: object, size: tuple[int, int], exemplar: object, right: tuple[int, int]) -> None:
    """Refuse a map of (width, height) beside an exemplar of another size. Raises InputError."""
    if size != right:
        raise InputError(
            f"{name} has {size[0]} x {size[1]} pixels, but {exemplar} has "
            f"{right[0]} x {right[1]}; give both the same size"
        )


def check_output_size(width: int, height: int, max_pixels: int, name: object = "the exemplar") -> None:
    """Raise UsageError for an output with a side below MIN_SIDE, or with more than `max_pixels`.

    name: the exemplar, with which the message begins.
    """
    size = f"{name}: the output would have {width} x {height}"
    if min(width, height) < MIN_SIDE:
        raise UsageError(
            f"{size} pixels, but needs at least {MIN_SIDE} on both sides; choose a larger --size or --scale"
        )
    if width * height > max_pixels:
        raise UsageError(
            f"{size} = {width * height} pixels, more than --max-pixels {max_pixels}; "
            f"choose a smaller --size or --scale"
        )


def check_combination(
    settings: ExpandSettings,
    *,
    exemplars: int = 1,
    siblings: bool = False,
    mask: bool = False,
    guide: bool = False,
    completes: Completed | None = None,
) -> None:
    """Raise UsageError for what cannot be done together, or not by the stages of `settings.method`.

    The transposer lays out the whole output from one whole exemplar, and noise from one; `optimize` alone has
    no layout that a guide could steer or siblings could share; what completes a picture keeps its place.
    """
    if completes == "a hole" and guide:
        raise UsageError("--guide lays out a whole output and --hole keeps most of it; use one of them")
    if completes == "a hole" and settings.tileable:
        raise UsageError(
            "--hole keeps the borders, so --tileable is impossible; use `texsynth tile` on the result"
        )
    if completes == "a hole" and settings.upright:
        raise UsageError("--upright turns the exemplar and --hole keeps it as it is; use one of them")
    if completes and settings.upright:
        raise UsageError(
            "upright turns a picture and `texsynth tile` keeps its middle as it is; "
            "use `texsynth expand --upright --tileable`"
        )
    transposer, layout = "transposer" in settings.method, settings.method != "optimize"
    noise = settings.method == "noise"
    refused = {
        completes: completes and settings.method not in COMPLETING_METHODS,
        "several exemplars": (transposer or noise) and exemplars > 1,
        "a mask": transposer and mask,
        "a guide": guide and (transposer or noise or not layout),
        "sibling maps": siblings and not layout,
    }
    for reason, is_refused in refused.items():
        if is_refused:
            raise UsageError(
                f"method {settings.method} cannot be used with {reason}; use --method patch+optimize"
            )


def with_preset_method(settings: ExpandSettings, *, limited: bool) -> ExpandSettings:
    """Choose patch where the method that a preset names cannot do what is asked for.

    limited: as for `settle_method`.
    """
    if limited and settings.method not in COMPLETING_METHODS:
        return without_idle_network(settings.model_copy(update={"method": "patch"}))
    return settings


def settle_method(settings: ExpandSettings, *, limited: bool) -> ExpandSettings:
    """Choose patch for an open method whose choice the look of the exemplar cannot change.

    limited: several exemplars, a mask, a guide, or a picture to complete.
    """
    if settings.method == "auto" and limited:
        settings = settings.model_copy(update={"method": "patch"})
    return without_idle_network(settings)


def without_idle_network(settings: ExpandSettings) -> ExpandSettings:
    """Leave out the embedded network where no stage uses it: for patches, copies are a rough guide alone."""
    idle = "transposer" not in settings.method or "patch" in settings.method
    if settings.transposer == BORDERS and settings.method != "auto" and idle:
        return settings.model_copy(update={"transposer": None})
    return settings


def check_weights(weights: Sequence[float], name: str) -> None:
    """Raise UsageError for shares of exemplars that are none. name: what messages call them."""
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
        raise UsageError(f"{name} has a number that is negative or not finite; use 0 or more")
    if not any(weights):
        raise UsageError(f"{name} are all zero; make one of them larger")
