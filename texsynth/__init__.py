"""Texture synthesis and style transfer, offline from the first minute.

`texsynth.expand`, `tile`, `fill`, `stylize`, `blend`, `describe`, `match`, `maps`, `material` and `tileset`
do what the commands do, on pictures in memory or in files; see `texsynth.api`. Torch is imported when one of
them is used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from texsynth.api import (
        Stylizer,
        expand,
        fill,
        load_model,
        load_preset,
        make_card,
        stylize,
        tile,
    )
    from texsynth.api_blend import (
        blend,
    )
    from texsynth.api_frames import (
        stylize_sequence,
    )
    from texsynth.api_maps import (
        maps,
        material,
        tileset,
    )
    from texsynth.api_search import (
        describe,
        match,
    )
    from texsynth.config.map_settings import MapsSettings, TilesetSettings
    from texsynth.config.settings import ExpandSettings, StylizeSettings
    from texsynth.errors import (
        InputError,
        MemoryExhaustedError,
        ModelError,
        OutputError,
        TexsynthError,
        UsageError,
    )

    __version__: str

__all__ = [
    "ExpandSettings",
    "InputError",
    "MapsSettings",
    "MemoryExhaustedError",
    "ModelError",
    "OutputError",
    "StylizeSettings",
    "Stylizer",
    "TexsynthError",
    "TilesetSettings",
    "UsageError",
    "__version__",
    "blend",
    "describe",
    "expand",
    "fill",
    "load_model",
    "load_preset",
    "make_card",
    "maps",
    "match",
    "material",
    "stylize",
    "stylize_sequence",
    "tile",
    "tileset",
]


def __getattr__(name: str) -> object:
    from importlib import import_module, metadata

    if name == "__version__":
        try:
            return metadata.version("texsynth")
        except metadata.PackageNotFoundError:  # a source checkout that was never installed
            return "0+source"
    if name not in __all__:
        raise AttributeError(f"module 'texsynth' has no attribute {name!r}")
    homes = {"stylize_sequence": "api_frames", "blend": "api_blend"}
    homes |= dict.fromkeys(("describe", "match"), "api_search")
    homes |= dict.fromkeys(("maps", "material", "tileset"), "api_maps")
    homes |= dict.fromkeys(("MapsSettings", "TilesetSettings"), "config.map_settings")
    home = "errors" if name.endswith("Error") else "config.settings" if name.endswith("Settings") else "api"
    home = homes.get(name, home)
    return getattr(import_module(f"texsynth.{home}"), name)


def __dir__() -> list[str]:
    return __all__
