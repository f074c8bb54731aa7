"""Requests to the server, with the names of pictures in the place of their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.serving import Client

SHORT = {"method": "patch", "patch.iterations": [1], "patch.refine": 0.1, "patch.layouts": 1}

SIBLINGS = ("wall_rough.png", "wall_normal.png")

ASKED: dict[str, dict[str, Any]] = {
    "stylize": {"command": "stylize", "picture": "photo.jpg", "styles": [{"picture": "ink.png"}]},
    "photo": {
        "command": "stylize", "picture": "photo.jpg", "styles": [{"picture": "ink.png"}], "preset": "photo",
        "changes": {"strength": 0.7, "level_strength.3": 0.5}, "run": {"seed": 3, "max_side": 40},
    },
    "deep": {
        "command": "stylize", "picture": "deep.tif", "styles": [{"picture": "ink.png"}], "preset": "bold",
        "changes": {"mode": "photo", "levels": [4, 2], "preserve_color": True, "style_scale": 2},
    },
    "mode without a preset": {
        "command": "stylize", "picture": "photo.jpg", "styles": [{"picture": "ink.png"}],
        "changes": {"mode": "photo", "transform": {"name": "wct", "ridge": 0.01}}, "run": {"format": "jpg"},
    },
    "the same picture twice": {
        "command": "stylize", "picture": "photo.jpg", "styles": [{"picture": "photo.jpg"}],
    },
    "blend": {
        "command": "blend", "picture": "photo.jpg", "preset": "gentle", "run": {"seed": 7},
        "styles": [
            {"picture": "ink.png", "weight": 0.3}, {"picture": "swirl.jpg", "weight": 1e-5},
            {"picture": "wall.png", "weight": 0}, {"picture": "deep.tif", "weight": 2},
        ],
    },
    "blend with a mask and the rest": {
        "command": "blend", "picture": "photo.jpg", "changes": {"strength": 0.9, "preserve_color": True},
        "styles": [{"picture": "ink.png", "mask": "mask.png"}, {"picture": "swirl.jpg", "weight": 0.5}],
    },
    "one style with a mask": {
        "command": "blend", "picture": "photo.jpg", "styles": [{"picture": "ink.png", "mask": "mask.png"}],
    },
    "expand": {
        "command": "expand", "picture": "wall.png", "changes": {**SHORT, "size": [50, 44]},
        "run": {"seed": 2},
    },
    "expand by a preset": {
        "command": "expand", "picture": "wall.png", "preset": "fast",
        "changes": {"scale": 1.5, "tileable": True, "even_light": 0.5},
    },
    "a method that is chosen": {"command": "expand", "picture": "wall.png", "changes": {"scale": 1.25}},
    "siblings": {
        "command": "expand", "picture": "wall.png", "siblings": [*SIBLINGS],
        "changes": {**SHORT, "size": [48, 40], "orientations": "mirror", "variety": 0.2},
    },
    "a mask of a texture": {
        "command": "expand", "picture": "wall.png", "mask": "allowed.png", "preset": "fast",
        "changes": {"size": [30, 30]}, "run": {"format": "tif"},
    },
    "tile": {"command": "tile", "picture": "wall.png", "changes": {"patch.iterations": [1]}},
    "tile by a preset": {
        "command": "tile", "picture": "wall.png", "preset": "fast", "siblings": ["wall_rough.png"],
    },
    "hole": {
        "command": "expand", "picture": "wall.png", "hole": "hole.png", "changes": {"patch.iterations": [1]},
    },
    "maps": {
        "command": "maps", "picture": "ink.png",
        "changes": {"depth": 0.05, "green": "down", "invert": True, "tileable": None},
    },
}  # fmt: skip


def with_ids(server: Client, place: Path, asked: Any) -> Any:  # noqa: ANN401 (JSON)
    """Give the pictures of a request, and return it with their ids."""
    if isinstance(asked, dict):
        return {
            key: value if key == "changes" else with_ids(server, place, value) for key, value in asked.items()
        }
    if isinstance(asked, list):
        return [with_ids(server, place, value) for value in asked]
    is_file = isinstance(asked, str) and (place / asked).is_file()
    return server.give(place / asked) if is_file else asked
