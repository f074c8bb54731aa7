"""The styles that pictures get, measured: several of them come together by weight, level or region."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice

from torch import Tensor

from texsynth.analysis.label_maps import LabelMap
from texsynth.config.records import Source
from texsynth.config.settings import RunSettings, StylizeSettings
from texsynth.errors import InputError
from texsynth.images import Picture, contact_sheet, read, thumbnails
from texsynth.images.tensors import to_image, to_weight
from texsynth.jobs import cards
from texsynth.jobs.blend_inputs import BlendJob, BlendSpec, StyledJob, StyleSource
from texsynth.jobs.checks import check_proportions
from texsynth.jobs.files import memory_guard, read_input, read_visible
from texsynth.jobs.inputs import Input
from texsynth.jobs.labels import as_tensor, label_regions, merging, read_labels
from texsynth.jobs.memory import check_style, style_tile
from texsynth.jobs.outcomes import Report
from texsynth.jobs.recorded import recorded_path
from texsynth.jobs.region_styles import RegionalStyles
from texsynth.models.registry import Model
from texsynth.ops.color import luma
from texsynth.pipelines.masks import label_masks, resize_mask, share_masks
from texsynth.pipelines.stylize import FittedStyle, StyledRegion, fit_style

FitStyle = Callable[..., FittedStyle]
"""Measures a style; takes what `fit_style` takes."""


@dataclass(frozen=True)
class MeasuredStyle:
    """A style with its moments."""

    style: FittedStyle
    by_label: dict[int, FittedStyle]  # The same of each of its labels
    mask: Tensor | None


class MeasuredStyles:
    """All styles of a job, fitted to a model."""

    def __init__(
        self,
        spec: BlendSpec,
        model: Model,
        settings: StylizeSettings,
        run: RunSettings,
        fit: FitStyle = fit_style,
    ) -> None:
        """Raise InputError for a file that cannot be used, ModelError and UsageError as `fit_style` does.

        fit: does what `fit_style` does.
        """
        self._spec, self._model, self._settings, self._run = spec, model, settings, run
        self._fit_picture = fit
        self.warnings: list[str] = []
        self.sources: dict[Input, Source] = {}
        """What was read."""
        self._labels: LabelMap | None = None
        if spec.content_labels:
            self._labels, self.sources[spec.content_labels] = read_labels(spec.content_labels, run)
            self._warn(spec.content_labels, merging(self._labels))
        self._parts = [self._measure(part) for part in spec.styles]
        self.regional = RegionalStyles(spec, model, run) if settings.regions == "auto" else None

    def layers(self, job: StyledJob, size: tuple[int, int]) -> list[Sequence[StyledRegion]]:
        """Return the styles that are laid over a content of a size (height, width), one after the other."""
        pairs = [(part, weight) for part, weight in zip(self._parts, job.weights, strict=True) if weight > 0]
        styles = tuple(part.style for part, _ in pairs)
        weights = tuple(weight for _, weight in pairs)
        if self._spec.sequential:
            return [[StyledRegion((style,), (1.0,))] for style in styles]
        if self._labels is not None:
            labels, values = as_tensor(self._labels.labels), range(len(self._labels.colours))
            _check_fit(self._spec.content_labels, labels, job, size)
            masks = label_masks(resize_mask(labels, *size, smooth=False), values, self._spec.feather)
            return [[
                StyledRegion(tuple(part.by_label.get(value, part.style) for part, _ in pairs), weights, mask)
                for value, mask in zip(values, masks, strict=True)
            ]]  # fmt: skip
        masked = [(part, weight) for part, weight in pairs if part.mask is not None]
        if not masked:
            return [[StyledRegion(styles, weights)]]
        for item, part in zip(self._spec.styles, self._parts, strict=True):
            if part.mask is not None:
                _check_fit(item.mask, part.mask, job, size)
        fitting = [resize_mask(p.mask, *size, smooth=True) for p, _ in masked if p.mask is not None]
        masks = share_masks(fitting, [weight for _, weight in masked])
        parts = [StyledRegion((p.style,), (1.0,), m) for (p, _), m in zip(masked, masks, strict=True)]
        rest = [(part.style, weight) for part, weight in pairs if part.mask is None]
        if rest:
            parts.append(StyledRegion(tuple(s for s, _ in rest), tuple(w for _, w in rest)))
        return [parts]

    def _measure(self, part: StyleSource) -> MeasuredStyle:
        settings = self._settings.model_copy(update={"levels": part.levels or self._settings.levels})
        style = reduce(FittedStyle.plus, [self._fit(item, settings) for item in part.sources])
        by_label = {}
        if part.labels and self._labels is not None:
            labels, self.sources[part.labels] = read_labels(part.labels, self._run, self._labels)
            regions, remarks = label_regions(self._labels, labels, part.sources[0])
            self._warn(part.labels, remarks)
            by_label = {label: self._fit(part.sources[0], settings, mask) for label, mask in regions.items()}
        mask = None
        if part.mask:
            picture, self.sources[part.mask] = read_input(part.mask, self._run, as_data=True)
            # Lightness times opacity, (1, 1, H, W) in [0, 1].
            mask, opaque = luma(to_image(picture)), to_weight(picture)
            mask = mask if opaque is None else mask * opaque
        return MeasuredStyle(style, by_label, mask)

    def _warn(self, item: Input, remarks: Sequence[str]) -> None:
        if remarks:
            self.warnings.append(f"{item}: {'; '.join(remarks)}")

    def _fit(self, item: Input, settings: StylizeSettings, mask: Tensor | None = None) -> FittedStyle:
        """Measure a picture, or the part in `mask` (1, 1, h, w), or take the moments from a card."""
        if item.is_card:
            return self._fit_card(item, settings, mask)
        picture, self.sources[item] = read_visible(item, self._run)
        if mask is None:
            self.warnings += [f"{item}: {warning}" for warning in picture.warnings]
        check_style(item, (picture.height, picture.width), self._model, self._run)
        with memory_guard(item):
            weight = to_weight(picture)
            if mask is not None:
                mask = resize_mask(mask, picture.height, picture.width, smooth=False)
                weight = mask if weight is None else weight * mask
            tile = style_tile(picture.height, picture.width)
            return self._fit_picture(to_image(picture), self._model, settings, weight=weight, tile=tile)

    def _fit_card(self, item: Input, settings: StylizeSettings, mask: Tensor | None) -> FittedStyle:
        data = item.read()
        card = cards.read_card(data, str(item))
        cards.check_model(card, self._model, str(item))
        if mask is not None:
            raise InputError(f"{item} is a card, which has no pixels to label; give the picture itself")
        missing = set(settings.levels) - set(card.moments)
        if missing:
            raise InputError(f"{item} has no level {max(missing)}; make it again with `texsynth card make`")
        self.sources[item] = Source(path=recorded_path(item), sha256=hashlib.sha256(data).hexdigest())
        return FittedStyle(card.moments, card.colours).only(settings.levels)


def _check_fit(item: Input | None, mask: Tensor, job: StyledJob, size: tuple[int, int]) -> None:
    """Raise InputError for a mask (1, 1, h, w) that does not fit a content of `size` (height, width)."""
    assert item
    check_proportions(item, (mask.shape[3], mask.shape[2]), job.picture, (size[1], size[0]))


def sweep_sheet(report: Report, steps: int) -> Picture:
    """Lay the results of a sweep side by side: in a line, a triangle or a square. steps: along every side."""
    done = {outcome.job.output: outcome.job for outcome in report.done}
    jobs = [job for job in sorted(done.values(), key=lambda job: job.output) if isinstance(job, BlendJob)]
    small = iter(thumbnails([read(job.output) for job in jobs]))
    lengths = {2: [steps], 3: range(1, steps + 1), 4: [steps] * steps}[len(jobs[0].spec.styles)]
    rows = (list(islice(small, length)) for length in lengths)
    return contact_sheet([row for row in rows if row])
