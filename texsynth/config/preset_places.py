"""Where presets lie: at a path, in the user's folders, and in texsynth. The first one of a name is taken."""

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from platformdirs import user_config_path

from texsynth.config.validation import nearest
from texsynth.errors import UsageError
from texsynth.paths import Place, is_folder, listing, real, status, unreadable

SUFFIXES = (".yaml", ".yml")

VARIABLE = "TEXSYNTH_PRESETS"


def package_data(name: str) -> Path:
    """Return the folder `name` of this installation: `texsynth/_name` in a wheel, or beside the package."""
    package = Path(str(files("texsynth")))
    inside = package / f"_{name}"
    return inside if is_folder(inside) else package.parent / name


def user_folders() -> list[Path]:
    """Return the folders that TEXSYNTH_PRESETS names, or else the user's one. They need not exist."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return named or [user_config_path("texsynth", appauthor=False) / "presets"]


def built_in() -> list[str]:
    """Return the names of the presets that come with texsynth, sorted."""
    return sorted(path.stem for path in preset_files(package_data("presets")))


def users() -> dict[str, Path]:
    """Return the user's presets: names, sorted, and files."""
    paths = [path for folder in reversed(user_folders()) for path in reversed(preset_files(folder))]
    return dict(sorted((path.stem, path) for path in {path.stem: path for path in paths}.values()))


def names() -> list[str]:
    """Return the names of all presets, the user's among them, sorted."""
    return sorted({*built_in(), *users()})


def preset_files(folder: Path) -> list[Path]:
    """Return the YAML files in a folder, which need not exist, sorted."""
    return [path for path in listing(folder).files if path.suffix in SUFFIXES]


def is_file_name(name: str) -> bool:
    """Return whether a preset of this name is a file, not one of a name alone."""
    return name.endswith(SUFFIXES) or "/" in name or "\\" in name


def is_built_in(path: Path) -> bool:
    """Return whether a preset's file is one of texsynth's own."""
    return real(path.parent) == real(package_data("presets"))


def find(name: str, extending: Path | None = None) -> Path:
    """Return the file of preset `name`. Raises UsageError.

    extending: the file that names it. Files count from its folder; its own name is that of the preset which
    it hides; and what a preset of texsynth extends is one of texsynth, so that it stays what is documented.
    """
    if is_file_name(name):
        path = extending.parent / name if extending else Path(name)
        if reason := unreadable(path):
            stem = Path(name).stem
            known = f"; the preset {stem!r} is named without a suffix" if name.endswith(SUFFIXES) else ""
            raise UsageError(f"preset file {path} {reason}{known * (stem in names())}")
        return path
    own = real(extending) if extending else ""
    for path in _candidates(name, only_built_in=extending is not None and is_built_in(extending)):
        if status(path).kind is not Place.MISSING and real(path) != own:
            if reason := unreadable(path):
                raise UsageError(f"preset file {path} {reason}")
            return path
    raise UsageError(f"unknown preset {name!r}{nearest(name, names())}")


def hidden_by(path: Path) -> Path | None:
    """Return the built-in preset that the user's preset in `path` stands before, or None."""
    name = path.stem
    return package_data("presets") / f"{name}.yaml" if not is_built_in(path) and name in built_in() else None


def spellings(name: str) -> list[str]:
    """Return a name, and the same with `color` for `colour` or the other way round."""
    other = name.replace("colour", "color") if "colour" in name else name.replace("color", "colour")
    return [name] if other == name else [name, other]


def _candidates(name: str, *, only_built_in: bool) -> Iterator[Path]:
    for spelling in spellings(name):
        for folder in () if only_built_in else user_folders():
            yield from (folder / f"{spelling}{suffix}" for suffix in SUFFIXES)
        yield package_data("presets") / f"{spelling}.yaml"
