"""Styles from files: pictures that are measured, and cards that were measured before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from torch import Tensor

from texsynth.batch import cards
from texsynth.batch.files import memory_guard, read_input, recorded_path, refuse_transparent
from texsynth.batch.plan import Input
from texsynth.batch.tiles import style_tile
from texsynth.errors import InputError
from texsynth.images.tensors import to_image, to_weight
from texsynth.models.registry import Model
from texsynth.pipelines.regions import fitted
from texsynth.pipelines.stylize import FittedStyle, fit_style
from texsynth.records import Source
from texsynth.settings import RunSettings, StylizeSettings


@dataclass(frozen=True)
class Measured:
    """The moments of a style and where they are from."""

    style: FittedStyle
    source: Source
    warnings: tuple[str, ...] = ()


def measured(
    item: Input,
    model: Model,
    settings: StylizeSettings,
    run: RunSettings,
    mask: Tensor | None = None,
) -> Measured:
    """The style in a picture or a card, at the levels of `settings`.

    mask: (1, 1, h, w), which part of a picture counts. Raises InputError, also for a card of other weights
    or without one of the levels.
    """
    if item.is_card:
        return _from_card(item, model, settings, mask)
    picture, source = read_input(item, run)
    refuse_transparent(item, picture)
    with memory_guard(item):
        weight = to_weight(picture)
        if mask is not None:
            mask = fitted(mask, picture.height, picture.width, smooth=False)
            weight = mask if weight is None else weight * mask
        tile = style_tile(picture.height, picture.width, settings.style_scale)
        style = fit_style(to_image(picture), model, settings, weight=weight, tile=tile)
    return Measured(style, source, tuple(f"{item}: {warning}" for warning in picture.warnings))


def _from_card(item: Input, model: Model, settings: StylizeSettings, mask: Tensor | None) -> Measured:
    data = item.read()
    card = cards.read_card(data, str(item))
    cards.check_model(card, model, str(item))
    if mask is not None:
        raise InputError(f"{item} is a card, which has no pixels to label; give the picture itself")
    missing = set(settings.levels) - set(card.moments)
    if missing:
        raise InputError(f"{item} has no level {max(missing)}; make it again with `texsynth card make`")
    source = Source(path=recorded_path(item), sha256=hashlib.sha256(data).hexdigest())
    note: tuple[str, ...] = ()
    if settings.style_scale not in (1.0, card.style_scale):
        note = (f"{item}: a card keeps its own style scale, {card.style_scale:g}",)
    return Measured(FittedStyle(card.moments).only(settings.levels), source, note)
