"""From what is asked for to the settings of a command, as the command line would settle them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from texsynth.config.expand_rules import with_preset_method
from texsynth.config.preset_places import is_file_name
from texsynth.config.presets import SECTIONS, Preset, Tree, check_usable, load, resolve
from texsynth.config.settings import ExpandSettings, RunSettings, Settings
from texsynth.config.shared_settings import BlendPreset
from texsynth.config.validation import nearest, validate
from texsynth.errors import UsageError
from texsynth.images.formats import ResultFormat
from texsynth.models.hub.catalog import model_names
from texsynth.serve.asking import FORMATS, Asked
from texsynth.strict_json import shown
from texsynth.strict_yaml import inline

OF_SERVER = ("model", "device", "dtype", "backend", "compiled", "threads", "memory_limit")
"""Settings of a run that are the server's: presets may name the same ones only."""


@dataclass(frozen=True)
class Settled:
    """All that a command has settled before it plans its jobs."""

    settings: Settings
    run: RunSettings
    result_format: ResultFormat
    mixture: BlendPreset = field(default_factory=BlendPreset)
    """How the styles of a blend come together."""


def settle(asked: Asked, base: RunSettings) -> Settled:
    """Return the settings of a request: defaults < preset < changes. base: those of the server's runs.

    Raises UsageError.
    """
    preset = usable_preset(asked)
    settings = resolve(SECTIONS[asked.section], preset, assignments(asked), {})
    if isinstance(settings, ExpandSettings):
        if "method" not in asked.changes:
            limited = asked.command == "tile" or asked.mask is not None or asked.hole is not None
            settings = with_preset_method(settings, limited=limited)
        # A preset is the user's, a change may be anyone's who has the address.
        own = resolve(ExpandSettings, preset, [], {}).transposer
        if settings.transposer not in (None, own, *model_names()):
            name = str(settings.transposer)
            raise UsageError(f"unknown transposer {name!r}{nearest(name, model_names())}")
    saved: Tree = dict(preset.sections.get("run", {})) if preset else {}
    form = saved.pop("format", None)
    form = asked.run.format or (None if form is None else str(form).lower().lstrip("."))
    if form is not None and form not in FORMATS:
        raise UsageError(f"run.format is {form!r} but must be one of {', '.join(FORMATS)}")
    if asked.section != "stylize":
        saved.pop("max_side", None)
    given: Tree = {
        name: value for name in ("seed", "max_side") if (value := getattr(asked.run, name)) is not None
    }
    run = validate(RunSettings, Tree(base.model_dump()) | saved | given, "")
    for name in OF_SERVER:
        if name in saved and getattr(run, name) != getattr(base, name):
            raise UsageError(
                f"preset {asked.preset!r} has run.{name} {inline(saved[name])}, which is the server's to "
                f"choose; start it with --{name.replace('_', '-')}, or leave it out of the preset"
            )
    mixture = BlendPreset()
    if preset and asked.command == "blend":
        tree = preset.sections.get("blend", {})
        mixture = validate(
            BlendPreset, {key: tree[key] for key in ("sequential", "feather") if key in tree}, ""
        )
    return Settled(settings, run, ResultFormat(None if form is None else f".{form}", run.bit_depth), mixture)


def usable_preset(asked: Asked) -> Preset | None:
    """Return the preset that is asked for, if one is. Raises UsageError."""
    name, section = asked.preset, asked.section
    if name is None:
        return None
    if is_file_name(name) or "\0" in name:
        raise UsageError(f"the preset {name!r} is a file; give the name of one that the server has")
    preset = load(name)
    check_usable(preset, section, ("run", "blend") if asked.command == "blend" else ("run",))
    return preset


def assignments(asked: Asked) -> list[str]:
    """Return the changes as `--set` takes them. Raises UsageError."""
    for path in asked.changes:
        # It would be another setting on the command line than it is here.
        if "=" in path or path != path.strip():
            raise UsageError(f"unknown setting {shown(path)}; give its path alone, like finish.steps")
    return [f"{path}={as_yaml(path, value)}" for path, value in asked.changes.items()]


def as_yaml(path: str, value: Any) -> str:  # noqa: ANN401 (JSON)
    """Return a value as YAML on one line. Raises UsageError for one that YAML cannot hold."""
    try:
        return inline(value)
    except (ValueError, TypeError, RecursionError):
        raise UsageError(f"the value of {path!r} cannot be a setting") from None
