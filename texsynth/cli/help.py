"""What `--help` says of types, in plain words, and three examples for each command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

from typer.core import TyperCommand, TyperGroup

BRACES = re.compile(r"^\{(.+)\}(?:\.\.\.)?$")

TYPES = {int: "NUMBER", float: "NUMBER", str: "TEXT", Path: "FILE"}

EXAMPLES = {
    "expand": (
        "texsynth expand bricks.png --scale 3",
        "texsynth expand grass.jpg --size 2048x1024 --tileable -o meadow.png",
        "texsynth expand rust.png --count 4 --seed 7 -o variations/",
    ),
    "tile": (
        "texsynth tile wall.png",
        "texsynth tile wall.png --with wall_normal.png -o seamless/",
        "texsynth tile textures/ -o seamless/ --resume",
    ),
    "tileset": (
        "texsynth tileset grass.png",
        "texsynth tileset grass.png --size 256 -o tiles/",
        "texsynth tileset grass.png --with grass_normal.png -o tiles/",
    ),
    "maps": (
        "texsynth maps bricks.jpg",
        "texsynth maps bricks.jpg --green down -o material/",
        "texsynth maps textures/ --depth 0.05 -o material/",
    ),
    "stylize": (
        "texsynth stylize photo.jpg painting.jpg -o out.png",
        "texsynth stylize photos/ painting.jpg --strength 0.7 -o painted/",
        "texsynth stylize street.jpg sunset.jpg --photo -o evening.png",
    ),
    "blend": (
        "texsynth blend photo.jpg --style swirl.jpg:0.7 --style dots.jpg:0.3",
        "texsynth blend photo.jpg --style swirl.jpg --style dots.jpg --sweep 5 -o between/",
        "texsynth blend photo.jpg --style sea.jpg --style sky.jpg --mask water.png --mask rest",
    ),
    "batch": (
        "texsynth batch jobs.yaml --resume",
        "texsynth batch jobs.csv -o out/ --executor processes --workers 4",
        "texsynth batch jobs.yaml --shard 2/8 --report part-2.html",
    ),
    "match": (
        "texsynth match bricks.jpg textures/",
        "texsynth match bricks.jpg textures/ -k 10 --sheet alike.png",
        "texsynth match bricks.jpg textures/ --rotation-invariant --json",
    ),
    "describe": (
        "texsynth describe bricks.jpg",
        "texsynth describe bricks.jpg --json",
        "texsynth describe textures/ -r --json",
    ),
    "replay": (
        "texsynth replay out.png",
        "texsynth replay out.png --style moved/painting.jpg -o again.png",
        "texsynth replay mixed.png --input old/swirl.jpg=new/swirl.jpg",
    ),
    "serve": (
        "texsynth serve",
        "texsynth serve --port 9000 --no-open",
        "texsynth serve --model lite --max-upload 64 --queue 4",
    ),
    "doctor": ("texsynth doctor", "texsynth doctor --threads 4", "texsynth doctor --gradients --device cpu"),
    "bench": ("texsynth bench", "texsynth bench --quick", "texsynth bench --quick --threads 4 --json"),
    "card": (
        "texsynth card make painting.jpg",
        "texsynth card make paintings/ -o painter.card",
        "texsynth card show painter.card",
    ),
    "presets": (
        "texsynth presets list",
        "texsynth presets explain style_scale",
        "texsynth presets new mine --from bold",
    ),
    "models": (
        "texsynth models list",
        "texsynth models fetch vgg19",
        "texsynth models import vgg_normalised.pth",
    ),
    "train": (
        "texsynth train borders runs/borders --data textures",
        "texsynth train decoder --model vgg19 --data pictures -p decoder-paper",
        "texsynth train descriptor runs/descriptor --data textures",
    ),
    "evaluate": (
        "texsynth evaluate expand textures/ --crop 128 -o comparison",
        "texsynth evaluate stylize --content photos/ --style paintings/ -o comparison",
        "texsynth evaluate flicker frames/ out/",
    ),
    "blender": (
        "texsynth blender",
        "texsynth blender -o addons/",
        "texsynth blender -o texsynth.zip --force",
    ),
    "docs": ("texsynth docs", "texsynth docs expand", "texsynth docs faq"),
}


PART_EXAMPLES = {
    "models export": (
        "texsynth models export lite -o lite-onnx",
        "texsynth models export vgg19 -o networks/vgg19 --force",
        "texsynth models export mine.safetensors -o mine-onnx --json",
    ),
}
"""Of commands inside others, those that have some of their own."""


def epilog(name: str) -> str:
    """Return the end of a command's help."""
    # The first letter keeps Typer from joining the lines.
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in {**EXAMPLES, **PART_EXAMPLES}[name])))


class PlainCommand(TyperCommand):
    """A command whose help names types in plain words."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 (typer's signature)
        """Return options and arguments, with words for their types."""
        return plain(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 (typer's signature)
        """Return the words of the usage, without braces around names that need none."""
        return [BRACES.sub(r"\1", piece) for piece in super().collect_usage_pieces(ctx)]


class PlainGroup(TyperGroup):
    """A group of such commands."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 (typer's signature)
        """Return its own options."""
        return plain(super().get_params(ctx))


def plain(parameters: list[Any]) -> list[Any]:
    """Name the types of parameters that have no other name for their values; a flag needs none."""
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            # Its name says what it is.
            parameter.display_type = _unsaid
        elif parameter.metavar is None:
            kind = parameter.type_descriptor.annotation
            (element,) = get_args(kind) or (kind,)
            parameter.metavar = "" if parameter.is_flag else TYPES.get(element, "")
    return parameters


def _unsaid(_: object) -> None:
    """Return no name of a type."""
