"""Nodes for style cards: styles measured once, as files in ComfyUI's folders."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

import texsynth
from texsynth.integrations.comfyui.bridge import card_to_read, card_to_write, pictures, working
from texsynth.integrations.comfyui.fields import Inputs, look_inputs, picture_field, text_field

CARD = "TEXSYNTH_CARD"  # The path of a style card


class StyleCard:
    """Measure styles once, and keep what was measured."""

    CATEGORY = "texsynth"
    FUNCTION = "save"
    DESCRIPTION = "Measures the pictures of a style once and keeps that in a small file."
    OUTPUT_NODE = True
    RETURN_TYPES = (CARD,)
    RETURN_NAMES = ("style",)
    OUTPUT_TOOLTIPS: ClassVar = ("The style, for Stylize and Blend.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        models = look_inputs()["model"]
        name = text_field(
            "style", "Name of the file in the output folder, without .card; a card there is kept."
        )
        return {
            "required": {
                "styles": picture_field("One picture, or several that become one style."),
                "name": name,
                "model": models,
            }
        }

    def save(self, styles: Tensor, name: str, model: str) -> tuple[str]:
        """Return the path of the card. Raises TexsynthError."""
        with working():
            return (str(texsynth.make_card(pictures(styles), card_to_write(name), model=model)),)


class LoadStyleCard:
    """Take a style from a card."""

    CATEGORY = "texsynth"
    FUNCTION = "load"
    DESCRIPTION = "Takes a style from a card in the output or input folder."
    RETURN_TYPES = (CARD,)
    RETURN_NAMES = ("style",)
    OUTPUT_TOOLTIPS: ClassVar = ("The style, for Stylize and Blend.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        return {"required": {"name": text_field("style", "Name of the card, without .card.")}}

    def load(self, name: str) -> tuple[str]:
        """Return the path of the card. Raises InputError."""
        return (card_to_read(name),)
