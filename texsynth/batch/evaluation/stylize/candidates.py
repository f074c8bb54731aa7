"""The methods that an evaluation of stylizations compares: baselines, presets, and single transforms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from texsynth import presets
from texsynth.errors import UsageError
from texsynth.explain import nearest
from texsynth.settings import StylizeSettings

PRESET, PHOTO, AT = "preset:", "photo:", "@"
"""What precedes the name of a preset, a transform in photo mode, and the model of a single method."""

TRANSFORMS = ("ift", "wct", "ot", "adain")
"""In both modes; `optimize` only paints."""

BASELINES = {
    "content": "the content as it is",
    "colour": "the content with the mean and covariance of the style's RGB values",
}
"""What needs no network, and a sentence for the page."""


@dataclass(frozen=True)
class Candidate:
    """Something that stylizes: a baseline, or `stylize` with these settings and this model."""

    name: str
    settings: StylizeSettings | None
    model: str | None
    """Name or weight file; None for a baseline."""

    @property
    def description(self) -> str:
        """A sentence for the page."""
        if self.settings is None:
            return BASELINES[self.name]
        return f"texsynth stylize, {self.settings.mode}, {self.settings.transform.name}, model {self.model}"


def candidates(names: Sequence[str], sets: Sequence[str], models: Sequence[str]) -> list[Candidate]:
    """The methods called `names`, each once; all of `default_names` when empty.

    A name may end with @MODEL; the others are tried with each of `models`, at least one, and named after it
    when there are several. sets: settings of all but the baselines, as in `presets.resolve`. Raises
    UsageError.
    """
    wanted = list(names or default_names())
    used = [*models, *(model for name in wanted for _, sign, model in [name.partition(AT)] if sign)]
    found: dict[str, Candidate] = {}
    for name in wanted:
        for candidate in _named(name, sets, models, used):
            found.setdefault(candidate.name, candidate)
    return list(found.values())


def default_names() -> list[str]:
    """Baselines and the presets that say how to stylize."""
    return [*BASELINES, *(f"{PRESET}{name}" for name in stylize_presets())]


def stylize_presets() -> list[str]:
    """Names of the presets with a section for `stylize`."""
    return [name for name in presets.names() if "stylize" in presets.load(name).sections]


def _named(name: str, sets: Sequence[str], models: Sequence[str], used: Sequence[str]) -> Iterator[Candidate]:
    """The candidates of one name. used: all models of the evaluation."""
    method, sign, model = name.partition(AT)
    if sign and not model:
        raise UsageError(f"method {name!r} names no model after {AT}; write it like {method}{AT}lite")
    if method in BASELINES:
        if sign:
            raise UsageError(f"method {name!r}: {method} uses no model; leave out {AT}{model}")
        yield Candidate(name, None, None)
        return
    settings = _settings(method, sets)
    for each in [model] if sign else models:
        full = f"{method}{AT}{_label(each, used)}" if sign or len(models) > 1 else method
        yield Candidate(full, settings, each)


def _settings(method: str, sets: Sequence[str]) -> StylizeSettings:
    if method.startswith(PRESET):
        name = method.removeprefix(PRESET)
        preset = presets.load(name)
        if "stylize" not in preset.sections:
            raise UsageError(f"preset {name!r} has no settings for stylize{nearest(name, stylize_presets())}")
        return presets.resolve(StylizeSettings, preset, sets, {})
    transform = method.removeprefix(PHOTO)
    if transform not in (*TRANSFORMS, "optimize"):
        known = [*default_names(), *TRANSFORMS, "optimize", *(PHOTO + t for t in TRANSFORMS)]
        raise UsageError(f"unknown method {method!r}{nearest(method, known)}")
    mode = {"mode": "photo"} if method.startswith(PHOTO) else {}
    return presets.resolve(StylizeSettings, None, sets, {**mode, "transform": {"name": transform}})


def _label(model: str, used: Sequence[str]) -> str:
    """The name of a weight file without folder and ending, unless another model would be called the same."""
    others = {Path(other).stem for other in used if other != model}
    return model if Path(model).stem in others else Path(model).stem
