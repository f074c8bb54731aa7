"""The nodes: each states its inputs in ComfyUI's way and calls one function of `import texsynth`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args

from torch import Tensor

import texsynth
from texsynth.config.settings import Method
from texsynth.integrations.comfyui.bridge import (
    masks,
    pictures,
    to_image,
    working,
)
from texsynth.integrations.comfyui.cards import CARD, LoadStyleCard, StyleCard
from texsynth.integrations.comfyui.fields import (
    MAPS,
    NAME,
    NORMAL,
    TEXTURE,
    Inputs,
    changed,
    choice_field,
    look_inputs,
    number_field,
    picture_field,
    preset_input,
    seed_input,
    surface_inputs,
    switch_field,
    texture_inputs,
    whole_field,
)

STYLE = f"IMAGE,{CARD}"
LARGEST_SIDE = 16384
STYLES = range(1, 5)


class Expand:
    """Make more of a texture, and of the other maps of its surface alike."""

    CATEGORY = "texsynth"
    FUNCTION = "expand"
    DESCRIPTION = "Makes more of a texture: larger, not repeating, seamless when asked."
    RETURN_TYPES = ("IMAGE",) * 5
    RETURN_NAMES = (TEXTURE, *MAPS)
    OUTPUT_TOOLTIPS: ClassVar = (
        "The texture.",
        *(f"The {name} that went in, enlarged alike." for name in MAPS),
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        return {
            "required": {
                "exemplar": picture_field("The texture, at least 16 pixels on both sides."),
                "scale": number_field(2.0, 0.25, 16, "Size of the result over the exemplar's."),
                "width": whole_field(0, LARGEST_SIDE, "Pixels; 0: by the scale. Give both or none."),
                "height": whole_field(0, LARGEST_SIDE, "Pixels; 0: by the scale. Give both or none."),
                "tileable": switch_field(False, "Make the borders meet."),
                **preset_input("expand"),
                "method": choice_field(list(get_args(Method)), "auto", "auto takes what suits the texture."),
                "variety": number_field(0.5, 0, 1, "How hard copies are kept apart."),
                **seed_input(),
            },
            "optional": surface_inputs(),
        }

    def expand(
        self,
        exemplar: Tensor,
        width: int,
        height: int,
        mask: Tensor | None = None,
        name: str = NAME,
        **inputs: Any,  # noqa: ANN401
    ) -> tuple[Tensor | None, ...]:
        """Return the texture and its maps; None for a map that did not go in. Raises TexsynthError."""
        if bool(width) != bool(height):
            raise texsynth.UsageError(f"the size is {width} x {height}; give both sides, or 0 for both")
        maps = {key: inputs.pop(key, None) for key in MAPS}
        options = changed(inputs, self.INPUT_TYPES()["required"])
        if width:
            options = {**options, "size": (width, height), "scale": None}
        return _with_maps(texsynth.expand, exemplar, maps, mask, name, options)


class Tile:
    """Make a picture seamless, and the other maps of its surface alike."""

    CATEGORY = "texsynth"
    FUNCTION = "tile"
    DESCRIPTION = "Makes a picture seamless: its borders meet, the middle stays."
    RETURN_TYPES = Expand.RETURN_TYPES
    RETURN_NAMES = Expand.RETURN_NAMES
    OUTPUT_TOOLTIPS: ClassVar = ("The texture.", *(f"The {name} that went in, alike." for name in MAPS))

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        return {
            "required": {
                "image": picture_field("The picture to make seamless."),
                **preset_input("expand"),
                **seed_input(),
            },
            "optional": surface_inputs(),
        }

    def tile(
        self,
        image: Tensor,
        mask: Tensor | None = None,
        name: str = NAME,
        **inputs: Any,  # noqa: ANN401
    ) -> tuple[Tensor | None, ...]:
        """Return the texture and its maps; None for a map that did not go in. Raises TexsynthError."""
        maps = {key: inputs.pop(key, None) for key in MAPS}
        options = changed(inputs, self.INPUT_TYPES()["required"])
        return _with_maps(texsynth.tile, image, maps, mask, name, options)


class Fill:
    """Fill a hole in a texture."""

    CATEGORY = "texsynth"
    FUNCTION = "fill"
    DESCRIPTION = "Fills the hole in a texture from the rest of it; all else stays as it is."
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

    def fill(
        self,
        image: Tensor,
        hole: Tensor,
        name: str = NAME,
        **inputs: Any,  # noqa: ANN401
    ) -> tuple[Tensor]:
        """Return the filled picture. Raises TexsynthError."""
        options = changed(inputs, self.INPUT_TYPES()["required"])
        frames = pictures(image)
        with working() as progress:
            holes = masks(hole, len(frames))
            pairs = zip(frames, holes, strict=True)
            filled = [
                texsynth.fill(frame, gap, name=name, progress=progress, **options) for frame, gap in pairs
            ]
        return (to_image(filled),)


class Stylize:
    """Give pictures the style of another one."""

    CATEGORY = "texsynth"
    FUNCTION = "stylize"
    DESCRIPTION = "Gives pictures the style of another one, painted or as a photograph."
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

    def stylize(self, content: Tensor, style: Tensor | str, **inputs: Any) -> tuple[Tensor]:  # noqa: ANN401
        """Return the pictures in the style, which is measured once. Raises TexsynthError."""
        with working() as progress:
            options = changed(inputs, self.INPUT_TYPES()["required"])
            paint = texsynth.Stylizer(_style(style), progress=progress, **options)
            return (to_image([paint(frame) for frame in pictures(content)]),)


class Blend:
    """Give pictures several styles at once."""

    CATEGORY = "texsynth"
    FUNCTION = "blend"
    DESCRIPTION = "Mixes up to four styles, by weight or by region."
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
        used = [n for n in STYLES if styles[n] is not None]
        shares = [weights[n] for n in used]
        frames = pictures(content)
        areas = {n: _areas(regions[n], len(frames)) for n in used}
        options = changed(inputs, self.INPUT_TYPES()["required"])
        with working() as progress:
            network = {"name": options.pop("model", None), "preset": options.get("preset")}
            options |= {"model": texsynth.load_model(**network), "progress": progress}
            results = []
            for number, frame in enumerate(frames):
                own: dict[str, Any] = {
                    "styles": [_style(styles[n]) for n in used],
                    "weights": shares if set(shares) != {1.0} else None,
                    "masks": [areas[n][number] for n in used],
                }
                # Without any the preset has them, and what belongs to them.
                results.append(texsynth.blend(frame, **(own if used else {}), **options))
        return (to_image(results),)


class Describe:
    """Say what a texture is like."""

    CATEGORY = "texsynth"
    FUNCTION = "describe"
    DESCRIPTION = "Says what a texture is like: regularity, periods, orientations, contrast, colours."
    RETURN_TYPES = ("STRING", "STRING")
    RETURN_NAMES = ("text", "json")
    OUTPUT_TOOLTIPS: ClassVar = ("To read.", "For other programs.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        return {"required": {"image": picture_field("The texture; of several the first counts.")}}

    def describe(self, image: Tensor) -> tuple[str, str]:
        """Return the description as lines and as JSON. Raises TexsynthError."""
        with working():
            looks = texsynth.describe(pictures(image)[0])
        return "\n".join(looks.lines), json.dumps(looks.fields)


def _style(style: Tensor | str) -> Any:  # noqa: ANN401
    """Return the first picture of an IMAGE, or the path of a card."""
    return style if isinstance(style, str) else pictures(style)[0]


def _areas(mask: Tensor | None, count: int) -> Sequence[Any]:
    """Return a mask, or None, for each of `count` pictures."""
    return [None] * count if mask is None else masks(mask, count)


def _with_maps(
    function: Any,  # noqa: ANN401
    texture: Tensor,
    maps: Mapping[str, Tensor | None],
    mask: Tensor | None,
    name: str,
    options: Mapping[str, object],
) -> tuple[Tensor | None, ...]:
    """Call `expand` or `tile` for every picture of the batch, with the maps that are there."""
    frames = pictures(texture)
    there = {key: pictures(batch) for key, batch in maps.items() if batch is not None}
    for key, batch in there.items():
        if len(batch) != len(frames):
            raise texsynth.InputError(f"{len(frames)} textures have {len(batch)} maps {key}; give as many")
    siblings, normals = [key for key in there if key != NORMAL], [key for key in there if key == NORMAL]
    results: dict[str, list[Any]] = {key: [] for key in (TEXTURE, *siblings, *normals)}
    with working() as progress:
        for number, (frame, area) in enumerate(zip(frames, _areas(mask, len(frames)), strict=True)):
            output = function(
                frame, name=name, mask=area, progress=progress,
                siblings=[there[key][number] for key in siblings],
                normals=[there[key][number] for key in normals], **options,
            )  # fmt: skip
            for key, one in zip(results, output if there else [output], strict=True):
                results[key].append(one)
    return tuple(to_image(results[key]) if key in results else None for key in (TEXTURE, *maps))


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
