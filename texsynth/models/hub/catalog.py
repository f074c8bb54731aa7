"""Names of the models and the places of their files, known before torch is loaded."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from texsynth.errors import ModelError, UsageError
from texsynth.paths import listing

ASSETS = Path(__file__).parents[1] / "assets"  # Folder of the embedded weights

EMBEDDED = ("lite", "borders")

SUFFIX = ".safetensors"

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names of devices on Windows."""


@dataclass(frozen=True)
class Source:
    """Address of a published checkpoint of a `format`. sha256: how its hash begins, where it is published."""

    format: str
    url: str
    sha256: str = ""


SOURCES: Mapping[str, Source] = {
    "vgg19": Source(
        "vgg_normalised",
        "https://github.com/naoto0804/pytorch-AdaIN/releases/download/v0.0.0/vgg_normalised.pth",
    ),
    "vgg19-torchvision": Source(
        "torchvision-vgg19", "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d"
    ),
}
"""Models that `texsynth models fetch` knows by name."""


def cache_folder() -> Path:
    """Return TEXSYNTH_CACHE, or else the user's folder of fetched and imported models. It need not exist."""
    named = os.environ.get("TEXSYNTH_CACHE")
    return Path(named) if named else user_cache_path("texsynth") / "models"


def cached_names() -> list[str]:
    """Return the models in the cache, sorted."""
    files = listing(cache_folder()).files
    return [path.name.removesuffix(SUFFIX) for path in files if path.suffix == SUFFIX]


def model_names() -> list[str]:
    """Return the models that `--model` accepts by name: embedded, then cached ones."""
    return [*EMBEDDED, *(name for name in cached_names() if name not in EMBEDDED)]


def known_names() -> list[str]:
    """Return the models that `--model` accepts by name, then those that can be fetched."""
    names = model_names()
    return [*names, *(name for name in SOURCES if name not in names)]


def check_name(name: str) -> None:
    """Raise UsageError unless a model in the cache may be called `name`: it becomes the name of a file."""
    taken = {"none", *(embedded.casefold() for embedded in EMBEDDED)}
    odd = not _SAFE.fullmatch(name) or _RESERVED.fullmatch(name) or name.endswith((".", SUFFIX))
    if odd or name.casefold() in taken:
        raise UsageError(
            f"a model in the cache cannot be called {name!r}; use letters, digits, dots, dashes and "
            f"underscores, and no name of an embedded model"
        )


def locate(name: str) -> Path:
    """Return the file of a model, embedded, in the cache or a path. Raises ModelError for an unknown name."""
    if name in EMBEDDED:
        return ASSETS / f"{name}{SUFFIX}"
    if name in cached_names():
        return cache_folder() / f"{name}{SUFFIX}"
    if Path(name).suffix == SUFFIX:
        return Path(name)
    if name in SOURCES:
        raise ModelError(
            f"model {name} is not in the cache {cache_folder()}; fetch it with "
            f"`texsynth models fetch {name}`, or import a file with `texsynth models import FILE`"
        )
    raise ModelError(f"unknown model {name}; use one of {', '.join(known_names())} or a {SUFFIX} file")
