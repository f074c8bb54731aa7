"""The nodes: each states its inputs in ComfyUI's way and calls one function of `import texsynth`."""

from __future__ import annotations

import json
from typing import Any, ClassVar, get_args

from torch import Tensor

import texsynth
from texsynth.config.settings import Method
from texsynth.integrations.comfyui.bridge import Card, host_device, masks, pictures, to_image, working
from texsynth.integrations.comfyui.cards import CARD, LoadStyleCard, StyleCard
from texsynth.integrations.comfyui.fields import (
    NAME,
    Inputs,
    choice_field,
    look_inputs,
    number_field,
    picture_field,
    preset_input,
    seed_input,
    switch_field,
    texture_inputs,
    whole_field,
)
from texsynth.integrations.comfyui.node import Node, keywords
from texsynth.integrations.comfyui.surfaces import Surface
from texsynth.pipelines.progress import sub_progress

STYLE = f"IMAGE,{CARD}"
LARGEST_SIDE = 16384
STYLES = range(1, 5)


class Expand(Surface):
    """Make more of a texture, and of the other maps of its surface alike."""

    FUNCTION = "expand"
    DESCRIPTION = "Makes more of a texture: larger, not repeating, seamless when asked."
    SEARCH_ALIASES: ClassVar = ("texture synthesis", "seamless texture", "tileable", "enlarge texture")

    @classmethod
    def own_inputs(cls) -> Inputs:
        """Declare what the node takes besides the maps of a surface."""
        return {
            "exemplar": picture_field("The texture, at least 16 pixels on both sides."),
            "scale": number_field(2.0, 0.25, 16, "Size of the result over the exemplar's."),
            "width": whole_field(0, LARGEST_SIDE, "Pixels; 0: by the scale. Give both or none."),
            "height": whole_field(0, LARGEST_SIDE, "Pixels; 0: by the scale. Give both or none."),
            "tileable": switch_field(False, "Make the borders meet."),
            **preset_input("expand"),
            "method": choice_field(list(get_args(Method)), "auto", "auto takes what suits the texture."),
            "variety": number_field(0.5, 0, 1, "How hard copies are kept apart."),
            **seed_input(),
        }

    def expand(self, exemplar: Tensor, width: int, height: int, **inputs: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Return the texture and its maps. Raises TexsynthError."""
        if bool(width) != bool(height):
            raise texsynth.UsageError(f"the size is {width} x {height}; give both sides, or 0 for both")
        size = {"size": (width, height), "scale": None} if width else {}
        return self.lay(texsynth.expand, exemplar, inputs, **size)


class Tile(Surface):
    """Make a picture seamless, and the other maps of its surface alike."""

    FUNCTION = "tile"
    DESCRIPTION = "Makes a picture seamless: its borders meet, the middle stays."
    SEARCH_ALIASES: ClassVar = ("seamless texture", "tileable", "tile texture")

    @classmethod
    def own_inputs(cls) -> Inputs:
        """Declare what the node takes besides the maps of a surface."""
        return {
            "image": picture_field("The picture to make seamless."),
            **preset_input("expand"),
            **seed_input(),
        }

    def tile(self, image: Tensor, **inputs: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Return the texture and its maps. Raises TexsynthError."""
        return self.lay(texsynth.tile, image, inputs)


class Fill(Node):
    """Fill a hole in a texture."""

    FUNCTION = "fill"
    DESCRIPTION = "Fills the hole in a texture from the rest of it; all else stays as it is."
    SEARCH_ALIASES: ClassVar = ("inpaint", "remove object", "texture synthesis")
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS: ClassVar = ("The picture without its hole.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        return {
            "required": {
                "image": picture_field("The texture."),
                "hole": picture_field("White where the picture is filled.", "MASK"),
                **preset_input("expand"),
                **seed_input(),
            },
            "optional": texture_inputs(),
        }

    def fill(self, image: Tensor, hole: Tensor, name: str = NAME, **inputs: Any) -> tuple[Tensor]:  # noqa: ANN401
        """Return the filled pictures. Raises TexsynthError."""
        options = keywords(inputs, self.INPUT_TYPES()["required"])
        frames = pictures(image, "image")
        pairs = zip(frames, masks(hole, frames, "hole"), strict=True)
        with working() as progress:
            filled = [
                texsynth.fill(
                    frame, gap, name=name, progress=sub_progress(progress, number, len(frames)), **options
                )
                for number, (frame, gap) in enumerate(pairs)
            ]
        return (to_image(filled),)


class Stylize(Node):
    """Give pictures the style of another one."""

    FUNCTION = "stylize"
    DESCRIPTION = "Gives pictures the style of another one, painted or as a photograph."
    SEARCH_ALIASES: ClassVar = ("style transfer", "paint", "colour grading", "color transfer")
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS: ClassVar = ("The content in the style's look.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        return {
            "required": {
                "content": picture_field("The pictures to change."),
                "style": picture_field("The picture, or style card, with the look.", STYLE),
                **look_inputs(),
            }
        }

    def stylize(self, content: Tensor, style: Tensor | Card, **inputs: Any) -> tuple[Tensor]:  # noqa: ANN401
        """Return the pictures in the style, which is measured once. Raises TexsynthError."""
        options = keywords(inputs, self.INPUT_TYPES()["required"])
        frames = pictures(content, "content")
        with working() as progress:
            paint = texsynth.Stylizer(_style(style, "style"), progress=progress, **options)
            results = [
                paint(frame, progress=sub_progress(progress, number, len(frames)))
                for number, frame in enumerate(frames)
            ]
        return (to_image(results),)


class Blend(Node):
    """Give pictures several styles at once."""

    FUNCTION = "blend"
    DESCRIPTION = "Mixes up to four styles, by weight or by region."
    SEARCH_ALIASES: ClassVar = ("style transfer", "mix styles", "masked style")
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS: ClassVar = ("The content in the mixed look.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        weight = {
            f"weight_{n}": number_field(1.0, 0, 100, f"Share of style {n}, over the sum of all.")
            for n in STYLES
        }
        style = {
            f"style_{n}": picture_field(
                f"Style {n}, a picture or style card; none at all: those of the preset.", STYLE
            )
            for n in STYLES
        }
        region = {
            f"mask_{n}": picture_field(f"White where style {n} goes; none: the rest.", "MASK") for n in STYLES
        }
        return {
            "required": {
                "content": picture_field("The pictures to change."),
                **weight,
                **look_inputs("blend"),
            },
            "optional": {**style, **region},
        }

    def blend(self, content: Tensor, **inputs: Any) -> tuple[Tensor]:  # noqa: ANN401
        """Return the pictures in the mixed styles. Raises TexsynthError."""
        weights, styles, regions = (
            {n: inputs.pop(f"{kind}_{n}", None) for n in STYLES} for kind in ("weight", "style", "mask")
        )
        for n in STYLES:
            if styles[n] is None and regions[n] is not None:
                raise texsynth.UsageError(f"mask_{n} is there without style_{n}; connect both, or none")
        used = [n for n in STYLES if styles[n] is not None]
        shares = [weights[n] for n in used]
        options = keywords(inputs, self.INPUT_TYPES()["required"])
        frames = pictures(content, "content")
        looks = [_style(styles[n], f"style {n}") for n in used]
        areas = [masks(regions[n], frames, f"mask {n}") for n in used]
        with working() as progress:
            network = {key: options.get(key) for key in ("preset", "device")}
            options["model"] = texsynth.load_model(options.get("model"), **network)
            results = []
            for number, frame in enumerate(frames):
                own: dict[str, Any] = {
                    "styles": looks,
                    "weights": shares if set(shares) != {1.0} else None,
                    "masks": [area[number] for area in areas],
                }
                part = sub_progress(progress, number, len(frames))
                # Without any the preset has them, and what belongs to them.
                results.append(texsynth.blend(frame, **(own if used else {}), progress=part, **options))
        return (to_image(results),)


class Describe(Node):
    """Say what a texture is like."""

    FUNCTION = "describe"
    DESCRIPTION = "Says what a texture is like: regularity, periods, orientations, contrast, colours."
    SEARCH_ALIASES: ClassVar = ("analyse texture", "texture information", "palette")
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING", "STRING")
    RETURN_NAMES = ("text", "json")
    OUTPUT_TOOLTIPS: ClassVar = ("To read.", "For other programs.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        return {"required": {"image": picture_field("The texture; of several the first counts.")}}

    def describe(self, image: Tensor) -> dict[str, Any]:
        """Return the description as lines, also to show, and as JSON. Raises TexsynthError."""
        with working():
            looks = texsynth.describe(pictures(image, "image")[0], **host_device())
        text = "\n".join(line for line in looks.lines if "--json" not in line)  # It has its own output
        return {"ui": {"text": [text]}, "result": (text, json.dumps(looks.fields))}


def _style(style: Tensor | Card, role: str) -> Any:  # noqa: ANN401
    """Return the first picture of an IMAGE, or the path of a card. Raises InputError."""
    return str(style) if isinstance(style, Card) else pictures(style, role)[0]


NODE_CLASS_MAPPINGS: dict[str, Any] = {
    "TexsynthExpand": Expand,
    "TexsynthTile": Tile,
    "TexsynthFill": Fill,
    "TexsynthStylize": Stylize,
    "TexsynthBlend": Blend,
    "TexsynthStyleCard": StyleCard,
    "TexsynthLoadStyleCard": LoadStyleCard,
    "TexsynthDescribe": Describe,
}
"""Names in workflows -> nodes, as ComfyUI asks for them."""

NODE_DISPLAY_NAME_MAPPINGS = {
    "TexsynthExpand": "Expand Texture",
    "TexsynthTile": "Make Seamless",
    "TexsynthFill": "Fill Hole in Texture",
    "TexsynthStylize": "Stylize",
    "TexsynthBlend": "Blend Styles",
    "TexsynthStyleCard": "Make Style Card",
    "TexsynthLoadStyleCard": "Load Style Card",
    "TexsynthDescribe": "Describe Texture",
}
"""Names in workflows -> names on the screen, as ComfyUI asks for them."""
