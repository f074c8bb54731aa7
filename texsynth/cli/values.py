"""From flags to settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from texsynth.errors import UsageError

if TYPE_CHECKING:
    from texsynth.settings import RunSettings, Settings

S = TypeVar("S", bound="Settings")


def look_settings(kind: type[S], preset: str | None, sets: Sequence[str], flags: Mapping[str, object]) -> S:
    """Settings of a command: defaults < preset < --set < flags. Raises UsageError."""
    from texsynth.presets import SECTIONS, load, resolve

    loaded = load(preset) if preset else None
    section = next(name for name, other in SECTIONS.items() if other is kind)
    if loaded and section not in loaded.sections:
        raise UsageError(
            f"preset {preset!r} has no settings for {section}; use one of {', '.join(_with(section))}"
        )
    return resolve(kind, loaded, sets, flags)


def run_settings(**flags: object) -> RunSettings:
    """What a run needs besides the look, from the flags that are not None. Raises UsageError."""
    from texsynth.cli.jobs import check_model
    from texsynth.explain import validated
    from texsynth.settings import RunSettings

    run = validated(RunSettings, given(flags), "")
    check_model(run.model)
    return run


def given(values: Mapping[str, object]) -> dict[str, object]:
    """`values` that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def _with(section: str) -> list[str]:
    from texsynth.presets import load, names

    return [name for name in names() if section in load(name).sections]
