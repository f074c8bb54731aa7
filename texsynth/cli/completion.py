"""What the shell is told when a word of a command line is to be completed."""

from collections.abc import Callable
from importlib import import_module

import typer


def completion(module: str, attribute: str) -> Callable[[str], list[str]]:
    """Return what completes a word by the names in `attribute` of a module, which is loaded only then."""

    def complete(incomplete: str) -> list[str]:
        names = getattr(import_module(module), attribute)
        return [name for name in (names() if callable(names) else names) if name.startswith(incomplete)]

    return complete


_TRANSPOSERS = ("borders", "none")


def complete_model(incomplete: str) -> list[str]:
    """Complete the name of a model that pictures can be stylized with."""
    names = completion("texsynth.models.hub.catalog", "model_names")(incomplete)
    return [name for name in names if name not in _TRANSPOSERS]


def complete_transposer(incomplete: str) -> list[str]:
    """Complete the name of a network for the transposer stage."""
    names = completion("texsynth.models.hub.catalog", "cached_names")("")
    return [name for name in (*_TRANSPOSERS, *names) if name.startswith(incomplete)]


def _sections(ctx: typer.Context) -> list[str]:
    from texsynth.config.preset_texts import COMMANDS

    name = ctx.info_name or ""
    return [section for section, commands in COMMANDS.items() if name in " ".join(commands).split()]


def complete_preset(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a preset that has settings for the command, for others of any."""
    from texsynth.config.presets import sound

    sections = set(_sections(ctx))
    fit = [name for name, preset in sound().items() if not sections or sections & set(preset.sections)]
    return [name for name in fit if name.startswith(incomplete)]


def complete_setting(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the key of a setting that `--set` can change in the command."""
    from texsynth.config.preset_texts import section_rows

    keys = [key for section in _sections(ctx)[:1] for key in section_rows(section)]
    return [f"{key}=" for key in keys if key.startswith(incomplete)]
