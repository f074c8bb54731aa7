"""What an expansion by a named Transposer can do, known from its file before torch is loaded."""

from collections.abc import Iterator
from contextlib import suppress

from texsynth.config.settings import BORDERS, ExpandSettings
from texsynth.config.validation import nearest
from texsynth.errors import ModelError, UsageError
from texsynth.models.hub.catalog import SUFFIX, locate, model_names
from texsynth.models.weights import Facts, facts_of

BYTES_PER_CHANNEL = 26
"""Bytes per pixel of an output and channel at its size in layout paper, four fifths of what was measured."""

COPIES_BYTES = 450
"""Bytes per pixel of an output that is laid out of copies, with or without a network; four fifths of what was
measured at 4096 x 4096 pixels."""


def settle_transposer(settings: ExpandSettings, *, siblings: bool = False) -> ExpandSettings:
    """Return `settings` with the method `transposer` where one is named and the method is open.

    siblings: whether maps are to be expanded along. Raises UsageError for a method without this stage and for
    what the layout of the network cannot do, ModelError for a file that is missing, damaged or no Transposer.
    """
    name = settings.transposer
    if name in (None, BORDERS):
        return settings
    if settings.method == "auto":
        settings = settings.model_copy(update={"method": "transposer"})
    if "transposer" not in settings.method:
        other = "transposer" if settings.method == "noise" else f"transposer+{settings.method}"
        raise UsageError(
            f"method {settings.method} does not use the transposer {name}; leave it out, or use --method "
            f"{other}"
        )
    if layout_of(name) == "paper":
        if settings.tileable:
            raise UsageError(
                f"outputs of the transposer {name}, of layout paper, have borders; leave out --tileable or "
                "use one of layout copies"
            )
        if siblings and "patch" not in settings.method:
            raise UsageError(
                f"the transposer {name}, of layout paper, copies no pixels that sibling maps could follow; "
                "use --method transposer+patch"
            )
    return settings


def bytes_per_pixel(settings: ExpandSettings) -> int:
    """Return the least memory that the transposer stage takes for a pixel of the output, 0 without it."""
    if "transposer" not in settings.method:
        return 0
    if settings.transposer is None:
        return COPIES_BYTES
    facts = _facts(settings.transposer)
    network = BYTES_PER_CHANNEL * sum(facts.widths)
    return network if facts.transposer == "paper" else max(network, COPIES_BYTES)


def layout_of(name: str) -> str:
    """Return the layout of a Transposer, in the cache or a file. Raises UsageError, ModelError."""
    layout = _facts(name).transposer
    if layout is None:
        raise ModelError(f"{name} is a model of features, not a Transposer; give it as --model")
    return layout


def _facts(name: str) -> Facts:
    if name not in model_names() and not name.endswith(SUFFIX):
        known = list(_known())
        cure = f"{nearest(name, known)}, or give" if known else "; give"
        raise UsageError(f"unknown transposer {name!r}{cure} a {SUFFIX} file")
    return facts_of(locate(name))


def _known() -> Iterator[str]:
    for name in model_names():
        with suppress(ModelError):
            if facts_of(locate(name)).transposer:
                yield name
