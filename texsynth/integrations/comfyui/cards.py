"""Nodes for style cards: styles measured once, as files in ComfyUI's folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

import texsynth
from texsynth.integrations.comfyui.bridge import (
    Card,
    card_to_read,
    card_to_write,
    host_device,
    pictures,
    working,
)
from texsynth.integrations.comfyui.fields import Inputs, look_inputs, picture_field, text_field
from texsynth.integrations.comfyui.node import Node

CARD = "TEXSYNTH_CARD"  # A `Card`


class StyleCard(Node):
    """Measure styles once, and keep what was measured."""

    FUNCTION = "save"
    DESCRIPTION = "Measures the pictures of a style once and keeps that in a small file."
    SEARCH_ALIASES: ClassVar = ("save style", "style transfer", "style preset")
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

    def save(self, styles: Tensor, name: str, model: str) -> dict[str, Any]:
        """Return the card, and its path to show. Raises TexsynthError."""
        with working():
            looks = pictures(styles, "style")
            card = Card(texsynth.make_card(looks, card_to_write(name), model=model, **host_device()))
        return {"ui": {"text": [str(card)]}, "result": (card,)}


class LoadStyleCard(Node):
    """Take a style from a card."""

    FUNCTION = "load"
    DESCRIPTION = "Takes a style from a card in the output or input folder."
    SEARCH_ALIASES: ClassVar = ("open style", "style transfer", "style preset")
    RETURN_TYPES = (CARD,)
    RETURN_NAMES = ("style",)
    OUTPUT_TOOLTIPS: ClassVar = ("The style, for Stylize and Blend.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        return {"required": {"name": text_field("style", "Name of the card, without .card.")}}

    @classmethod
    def VALIDATE_INPUTS(cls, name: str | None) -> str | bool:
        """Return whether the card is there, or why not, before any work. name: None from another node."""
        try:
            return name is None or bool(card_to_read(name))
        except texsynth.InputError as error:
            return str(error)

    @classmethod
    def IS_CHANGED(cls, **inputs: str | None) -> str:
        """Return which file the card is, and of when. Raises InputError."""
        name = inputs["name"]
        return "" if name is None else str(Path(card_to_read(name)).stat().st_mtime_ns)

    def load(self, name: str) -> tuple[Card]:
        """Return the card. Raises InputError."""
        return (card_to_read(name),)
