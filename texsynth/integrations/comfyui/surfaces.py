"""What the nodes share that lay out a texture and the other maps of its surface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from texsynth.config.expand_rules import check_same_size
from texsynth.integrations.comfyui.bridge import (
    Pixels,
    absent,
    for_each,
    masks,
    pictures,
    to_image,
    working,
)
from texsynth.integrations.comfyui.fields import NAME, Inputs, picture_field, texture_inputs
from texsynth.integrations.comfyui.node import Node, keywords
from texsynth.pipelines.progress import sub_progress

TEXTURE, NORMAL = "texture", "normal"
MAPS = {NORMAL: "normals", "height_map": "heights", "roughness": "roughness", "other": "other values"}
"""Inputs besides the colours, and what they hold. `height` alone is the size of an output."""


class Surface(Node):
    """A node that takes a texture and other maps of its surface, and gives the same, laid out alike."""

    RETURN_TYPES = ("IMAGE",) * (1 + len(MAPS))
    RETURN_NAMES = (TEXTURE, *MAPS)
    OUTPUT_TOOLTIPS: ClassVar = (
        "The texture.",
        *(f"The {values} that went in, laid out alike; nothing without." for values in MAPS.values()),
    )

    @classmethod
    def own_inputs(cls) -> Inputs:
        """Declare what the node takes besides the maps of a surface."""
        raise NotImplementedError

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Inputs]:
        """Return the inputs, as ComfyUI asks for them."""
        maps = {
            name: picture_field(f"The surface's {values}, laid out alike.") for name, values in MAPS.items()
        }
        mask = picture_field("White where pixels may be taken from.", "MASK")
        return {"required": cls.own_inputs(), "optional": {"mask": mask, **maps, **texture_inputs()}}

    def lay(
        self,
        function: Callable[..., Any],
        texture: Tensor,
        inputs: dict[str, Any],
        **more: object,
    ) -> tuple[Any, ...]:
        """Call `expand` or `tile` for every picture of a batch, with the maps that are there.

        inputs: those of the node but for the texture. more: further keywords of the function. Returns the
        texture and its maps, each an IMAGE, or what stands for a map that did not go in. Raises
        TexsynthError.
        """
        name, mask = inputs.pop("name", NAME), inputs.pop("mask", None)
        batches = {key: batch for key in MAPS if (batch := inputs.pop(key, None)) is not None}
        options = keywords(inputs, self.own_inputs()) | more
        frames = pictures(texture, TEXTURE)
        areas = masks(mask, frames, "mask")
        maps = {key: _alike(batch, frames, key) for key, batch in batches.items()}
        # Results come in this order.
        keys = [TEXTURE, *(key for key in maps if key != NORMAL), *(key for key in maps if key == NORMAL)]
        results: dict[str, list[Pixels]] = {key: [] for key in keys}
        with working() as progress:
            for number, frame in enumerate(frames):
                outputs = function(
                    frame,
                    name=name,
                    mask=areas[number],
                    siblings=[maps[key][number] for key in maps if key != NORMAL],
                    normals=[maps[key][number] for key in maps if key == NORMAL],
                    progress=sub_progress(progress, number, len(frames)),
                    **options,
                )
                for key, output in zip(keys, outputs if maps else [outputs], strict=True):
                    results[key].append(output)
        return tuple(to_image(results[key]) if key in results else absent() for key in (TEXTURE, *MAPS))


def _alike(batch: Tensor, frames: list[Pixels], key: str) -> list[Pixels]:
    """Return a map for each of the pictures; one goes for all. Raises InputError."""
    maps = pictures(batch, key)
    (height, width), (right_height, right_width) = maps[0].shape[:2], frames[0].shape[:2]
    check_same_size(f"the {key}", (width, height), f"the {TEXTURE}", (right_width, right_height))
    return for_each(maps, len(frames), key)
