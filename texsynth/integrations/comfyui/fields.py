"""What ComfyUI is told of the inputs of nodes: types, ranges, defaults and tooltips."""

from __future__ import annotations

from typing import Any

from texsynth.config import presets
from texsynth.models.hub import catalog

Inputs = dict[str, tuple[Any, ...]]

NONE = "none"  # In lists of presets
NAME = "image"  # Of a texture without a file
LARGEST_SEED = 2**53 - 1  # The largest that browsers keep exactly


def picture_field(tooltip: str, kind: str = "IMAGE") -> tuple[str, dict[str, Any]]:
    """Declare a picture, or what `kind` says, that another node gives."""
    return kind, {"tooltip": tooltip}


def number_field(default: float, low: float, high: float, tooltip: str) -> tuple[str, dict[str, Any]]:
    """Declare a number from `low` to `high`."""
    return "FLOAT", {"default": default, "min": low, "max": high, "step": 0.05, "tooltip": tooltip}


def whole_field(default: int, high: int, tooltip: str, **more: object) -> tuple[str, dict[str, Any]]:
    """Declare a whole number from 0 to `high`."""
    return "INT", {"default": default, "min": 0, "max": high, "tooltip": tooltip, **more}


def switch_field(default: bool, tooltip: str) -> tuple[str, dict[str, Any]]:
    """Declare a switch."""
    return "BOOLEAN", {"default": default, "tooltip": tooltip}


def choice_field(names: list[str], default: str, tooltip: str) -> tuple[list[str], dict[str, Any]]:
    """Declare a choice of names."""
    return names, {"default": default, "tooltip": tooltip}


def text_field(default: str, tooltip: str) -> tuple[str, dict[str, Any]]:
    """Declare a line of text."""
    return "STRING", {"default": default, "tooltip": tooltip}


def preset_input(section: str, *beside: str) -> Inputs:
    """Declare the choice of a preset that says something for a command; see `presets.usable`."""
    names = [NONE, *presets.fitting(section, ("run", *beside))]
    return {"preset": choice_field(names, NONE, "Settings to start from; none: the defaults.")}


def seed_input() -> Inputs:
    """Declare the seed."""
    text = "Decides all that is random; the same seed gives the same pixels."
    return {"seed": whole_field(0, LARGEST_SEED, text, control_after_generate="fixed")}


def texture_inputs() -> Inputs:
    """Declare what else counts for the seed of a texture."""
    text = (
        "The file's name, where the result is to be that of the command line: it counts there like the seed."
    )
    return {"name": text_field(NAME, text)}


def look_inputs(*beside: str) -> Inputs:
    """Inputs that `stylize` and `blend` share. beside: further sections of presets that are taken."""
    models = [name for name in catalog.model_names() if name != "borders"]
    return {
        **preset_input("stylize", *beside),
        "photo": switch_field(False, "Keep contours as in a photograph; otherwise paint."),
        "strength": number_field(1.0, 0, 1, "0 keeps the content, 1 applies the whole style."),
        "style_scale": number_field(1.0, 0.25, 8, "Size of strokes over the style's."),
        "preserve_color": switch_field(False, "Keep the content's colours."),
        "model": choice_field(models, "lite", "The network; lite comes with texsynth."),
        **seed_input(),
    }
